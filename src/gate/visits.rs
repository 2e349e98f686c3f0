//! Who still depends on a gate: requests and sessions that are not past it yet. A gate that was replaced is kept alive, its
//! checks with it, until the last of them has left.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The count of a gate that lets nobody in any more. No machine holds so many sessions.
const OVER: usize = usize::MAX;

/// Somebody who is not past the gate yet; ends with its drop.
#[derive(Debug)]
#[must_use = "dropping it ends the visit"]
pub struct Visit {
    visits: Arc<Visits>,
}

#[derive(Debug, Default)]
pub(super) struct Visits {
    count: AtomicUsize,
    left: Notify,
    retired: AtomicBool,
}

impl Visits {
    /// None once the last visitor of a replaced gate has left: there is a newer gate to go to.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Visit> {
        let one_more = |count: usize| count.checked_add(1);
        let entered = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        entered.ok().map(|_| Visit { visits: Arc::clone(self) })
    }

    /// Another gate took its place.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn is_over(&self) -> bool {
        self.count.load(Ordering::Acquire) == OVER
    }

    /// Resolves when nobody is left, and lets nobody in from there on.
    pub(super) async fn over(&self) {
        while self.count.compare_exchange(0, OVER, Ordering::AcqRel, Ordering::Acquire).is_err() && !self.is_over() {
            self.left.notified().await;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.visits.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.visits.left.notify_one();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_gate_is_over_when_the_last_visitor_has_left_and_lets_nobody_in_then() {
        let visits = Arc::new(Visits::default());
        let (first, second) = (visits.begin().unwrap(), visits.begin().unwrap());
        drop(first);
        assert!(visits.over().now_or_never().is_none() && !visits.is_over());
        let third = visits.begin().unwrap();
        drop(second);
        assert!(visits.over().now_or_never().is_none());
        drop(third);
        assert!(visits.over().now_or_never().is_some() && visits.is_over());
        assert!(visits.begin().is_none());
    }

    #[test]
    fn a_gate_that_nobody_visits_is_over_at_once() {
        let visits = Arc::new(Visits::default());
        assert!(visits.over().now_or_never().is_some() && visits.begin().is_none());
    }

    #[tokio::test]
    async fn whoever_waits_for_the_end_is_told_of_it() {
        let visits = Arc::new(Visits::default());
        let visit = visits.begin().unwrap();
        let waiting = tokio::spawn({
            let visits = Arc::clone(&visits);
            async move { visits.over().await }
        });
        tokio::task::yield_now().await;
        drop(visit);
        waiting.await.unwrap();
    }
}
