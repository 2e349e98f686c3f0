//! What all holds together may take: bytes and sessions of the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The process-wide limits, and what is taken of them.
#[derive(Debug)]
pub struct Budget {
    bytes: AtomicUsize,
    most_bytes: AtomicUsize,
    sessions: AtomicUsize,
    most_sessions: AtomicUsize,
    carried: AtomicUsize,
}

/// One session's place in the budget; gives everything back when dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
    /// What the session keeps beside its hold, to the end of the lease.
    luggage: usize,
}

impl Budget {
    /// A budget of so many bytes and sessions.
    #[must_use]
    pub fn new(most_bytes: usize, most_sessions: usize) -> Arc<Self> {
        let [bytes, sessions] = [0, 0].map(AtomicUsize::new);
        let [most_bytes, most_sessions, carried] = [most_bytes, most_sessions, usize::MAX].map(AtomicUsize::new);
        Arc::new(Self { bytes, most_bytes, sessions, most_sessions, carried })
    }

    /// Other limits from here on. What is taken stays taken: under lower limits nothing more is given until enough has
    /// come back.
    pub fn limit(&self, most_bytes: usize, most_sessions: usize) {
        self.most_bytes.store(most_bytes, Ordering::Relaxed);
        self.most_sessions.store(most_sessions, Ordering::Relaxed);
    }

    /// No more sessions than these, whatever else the limit is.
    pub fn carry(&self, sessions: usize) {
        self.carried.store(sessions, Ordering::Relaxed);
    }

    /// A place for one more session, or none if all are taken.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Lease> {
        take(&self.sessions, 1, self.limits().1).then(|| Lease { budget: Arc::clone(self), bytes: 0, luggage: 0 })
    }

    /// Bytes taken at this moment.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Sessions held at this moment.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// The limits: bytes and sessions.
    #[must_use]
    pub fn limits(&self) -> (usize, usize) {
        let [bytes, sessions, carried] =
            [&self.most_bytes, &self.most_sessions, &self.carried].map(|most| most.load(Ordering::Relaxed));
        (bytes, sessions.min(carried))
    }

    /// Neither a byte nor a session more would be taken.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let (most_bytes, most_sessions) = self.limits();
        self.bytes() >= most_bytes || self.sessions() >= most_sessions
    }
}

impl Lease {
    /// The same with room for `luggage` bytes more, for as long as it lasts; none if there is not so much.
    #[must_use]
    pub fn with_luggage(mut self, luggage: usize) -> Option<Self> {
        let fits = take(&self.budget.bytes, luggage, self.budget.limits().0);
        fits.then(|| {
            self.luggage += luggage;
            self
        })
    }

    /// Takes up to `most` bytes and says how many: fewer, or none, when the budget runs out.
    #[must_use]
    pub fn grow(&mut self, most: usize) -> usize {
        let mut taken = self.budget.bytes.load(Ordering::Relaxed);
        loop {
            let grant = most.min(self.budget.limits().0.saturating_sub(taken));
            match self.budget.bytes.compare_exchange_weak(taken, taken + grant, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    self.bytes += grant;
                    return grant;
                }
                Err(other) => taken = other,
            }
        }
    }

    /// Gives back what goes beyond the `used` bytes.
    pub fn settle(&mut self, used: usize) {
        let back = self.bytes.saturating_sub(used);
        self.bytes -= back;
        self.budget.bytes.fetch_sub(back, Ordering::AcqRel);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.settle(0);
        self.budget.bytes.fetch_sub(self.luggage, Ordering::AcqRel);
        self.budget.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

fn take(counter: &AtomicUsize, count: usize, most: usize) -> bool {
    if count == 0 {
        return true;
    }
    counter
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| (taken + count <= most).then_some(taken + count))
        .is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_lease_gives_everything_back_when_it_goes() {
        let budget = Budget::new(100, 1);
        let mut lease = budget.enter().unwrap();
        assert!(budget.enter().is_none() && budget.is_spent());
        assert_eq!((lease.grow(70), lease.grow(70), budget.bytes()), (70, 30, 100));
        lease.settle(10);
        assert_eq!((budget.bytes(), budget.sessions()), (10, 1));
        drop(lease);
        assert_eq!((budget.bytes(), budget.sessions()), (0, 0));
    }

    #[test]
    fn luggage_is_kept_while_the_lease_grows_and_shrinks() {
        let budget = Budget::new(100, 2);
        let mut lease = budget.enter().unwrap().with_luggage(60).unwrap();
        assert_eq!((lease.grow(70), budget.bytes()), (40, 100));
        lease.settle(0);
        assert_eq!(budget.bytes(), 60);
        assert!(budget.enter().unwrap().with_luggage(41).is_none(), "more than there is");
        assert_eq!((budget.bytes(), budget.sessions()), (60, 1));
        assert!(budget.enter().unwrap().with_luggage(40).is_some());
        drop(lease);
        assert_eq!((budget.bytes(), budget.sessions()), (0, 0));
    }

    #[test]
    fn nothing_to_carry_fits_into_a_spent_budget() {
        let budget = Budget::new(10, 2);
        let full = budget.enter().unwrap().with_luggage(10);
        budget.limit(5, 2);
        assert!(budget.enter().unwrap().with_luggage(0).is_some());
        drop(full);
    }

    #[test]
    fn lower_limits_take_nothing_away_and_give_nothing_more() {
        let budget = Budget::new(100, 2);
        let mut lease = budget.enter().unwrap();
        assert_eq!(lease.grow(80), 80);
        budget.limit(50, 1);
        assert_eq!((lease.grow(1), budget.bytes(), budget.limits()), (0, 80, (50, 1)));
        assert!(budget.enter().is_none() && budget.is_spent());
        budget.limit(90, 2);
        assert_eq!(lease.grow(20), 10);
        assert!(budget.enter().is_some());
    }

    #[test]
    fn no_more_sessions_enter_than_are_carried_and_no_fewer_than_the_limit_says() {
        let budget = Budget::new(100, 3);
        budget.carry(1);
        let lease = budget.enter().unwrap();
        assert!(budget.enter().is_none() && budget.is_spent());
        budget.limit(100, 2);
        assert_eq!(budget.limits(), (100, 1));
        budget.carry(5);
        assert_eq!(budget.limits(), (100, 2));
        drop(lease);
    }

    #[test]
    fn settling_for_more_than_was_taken_gives_nothing_back() {
        let budget = Budget::new(100, 1);
        let mut lease = budget.enter().unwrap();
        assert_eq!(lease.grow(5), 5);
        lease.settle(50);
        assert_eq!(budget.bytes(), 5);
    }

    #[test]
    fn many_threads_together_never_take_more_than_there_is() {
        const MOST: usize = 1_000;
        let budget = Budget::new(MOST, 4);
        thread::scope(|scope| {
            for thread in 0..4 {
                let budget = &budget;
                scope.spawn(move || {
                    let mut lease = budget.enter().unwrap();
                    for round in 0..20_000 {
                        let taken = lease.grow(thread * 200 + round % 7);
                        assert!(budget.bytes() <= MOST, "{} bytes taken", budget.bytes());
                        lease.settle(taken / 2);
                    }
                });
            }
        });
        assert_eq!((budget.bytes(), budget.sessions()), (0, 0));
    }
}
