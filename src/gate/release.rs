//! Who may dial when the gate opens: oldest first, so many at a time. PURE.
//!
//! Everyone released at once knocks over a server that just started
//! (<https://github.com/gravitational/teleport/issues/6889>). So a release begins with a few dials at a time, and there is
//! one more for each that took long, up to the most that may be. Where dials are answered at once, more of them under way
//! would be no faster: they share the same CPUs, and all would be done late together.

use std::{collections::BTreeSet, num::NonZeroUsize, time::Duration};

/// Dials at a time with which a release begins.
const FIRST: usize = 8;

/// A dial that took so long was waited for, not worked on, and there is room for another beside it. Eight that take less
/// are 1,600 dials a second or more, and 10,000 sessions are released in some seconds.
const LONG: Duration = Duration::from_millis(5);

/// The waiting and the number under way. Every method that can free a place answers with the grants that follow,
/// oldest first.
#[derive(Debug)]
pub struct Release {
    /// As configured.
    most: usize,
    /// At this moment.
    room: usize,
    open: bool,
    in_flight: usize,
    waiting: BTreeSet<u64>,
}

impl Release {
    /// Nobody waits, and the gate is shut.
    #[must_use]
    pub fn new(concurrency: NonZeroUsize) -> Self {
        let most = concurrency.get();
        Self { most, room: most.min(FIRST), open: false, in_flight: 0, waiting: BTreeSet::new() }
    }

    /// `seq` waits from here on; a smaller number is older.
    #[must_use]
    pub fn join(&mut self, seq: u64) -> Vec<u64> {
        self.waiting.insert(seq);
        self.grant()
    }

    /// `seq` waits no more. A grant it already got is not given back by this, but by [`Self::finish`].
    pub fn leave(&mut self, seq: u64) {
        self.waiting.remove(&seq);
    }

    /// The gate opened or shut. Grants given before it shut stay good; who comes after it is released as at first.
    #[must_use]
    pub fn open(&mut self, open: bool) -> Vec<u64> {
        if !open {
            self.room = self.most.min(FIRST);
        }
        self.open = open;
        self.grant()
    }

    /// Granted and not done.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// One of the granted is done, so long after its grant.
    #[must_use]
    pub fn finish(&mut self, took: Duration) -> Vec<u64> {
        if took >= LONG {
            self.room = self.most.min(self.room + 1);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.grant()
    }

    fn grant(&mut self) -> Vec<u64> {
        let mut grants = Vec::new();
        while self.open && self.in_flight < self.room {
            let Some(oldest) = self.waiting.pop_first() else { break };
            self.in_flight += 1;
            grants.push(oldest);
        }
        grants
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    #[derive(Clone, Debug)]
    enum Event {
        Join(u64),
        Leave(u64),
        Open(bool),
        Finish(Duration),
    }

    fn event() -> impl Strategy<Value = Event> {
        let seq = || 0_u64..40;
        prop_oneof![
            4 => seq().prop_map(Event::Join),
            1 => seq().prop_map(Event::Leave),
            1 => prop::bool::ANY.prop_map(Event::Open),
            2 => (0_u64..10).prop_map(|millis| Event::Finish(Duration::from_millis(millis))),
        ]
    }

    /// What must hold, kept the plain way.
    #[derive(Default)]
    struct Model {
        waiting: Vec<u64>,
        in_flight: usize,
        open: bool,
    }

    impl Model {
        fn apply(&mut self, release: &mut Release, event: Event) -> Vec<u64> {
            match event {
                Event::Join(seq) if self.waiting.contains(&seq) => Vec::new(),
                Event::Join(seq) => {
                    self.waiting.push(seq);
                    release.join(seq)
                }
                Event::Leave(seq) => {
                    self.waiting.retain(|waiting| *waiting != seq);
                    release.leave(seq);
                    Vec::new()
                }
                Event::Open(open) => {
                    self.open = open;
                    release.open(open)
                }
                Event::Finish(_) if self.in_flight == 0 => Vec::new(),
                Event::Finish(took) => {
                    self.in_flight -= 1;
                    release.finish(took)
                }
            }
        }

        /// Takes the oldest out of the line.
        fn oldest(&mut self) -> Option<u64> {
            let oldest = *self.waiting.iter().min()?;
            self.waiting.retain(|waiting| *waiting != oldest);
            self.in_flight += 1;
            Some(oldest)
        }
    }

    const PROMPT: Duration = Duration::from_millis(1);

    /// Somebody more waits than may ever dial.
    fn crowd(most: usize) -> Release {
        let mut release = Release::new(NonZeroUsize::new(most).unwrap());
        (0..1_000).for_each(|seq| assert!(release.join(seq).is_empty()));
        release
    }

    #[test]
    fn a_release_begins_with_a_few_dials_and_stays_there_while_they_are_answered_at_once() {
        let mut release = crowd(64);
        assert_eq!(release.open(true).len(), FIRST);
        assert!((0..100).all(|_| release.finish(PROMPT).len() == 1));
    }

    #[test]
    fn each_dial_that_took_long_makes_room_for_one_more_up_to_the_most() {
        let mut release = crowd(FIRST + 3);
        let _ = release.open(true);
        let grants = [LONG, PROMPT, LONG, LONG, LONG].map(|took| release.finish(took).len());
        assert_eq!(grants, [2, 1, 2, 2, 1]);
    }

    #[test]
    fn fewer_than_the_first_are_never_more() {
        let mut release = crowd(2);
        assert_eq!(release.open(true).len(), 2);
        assert_eq!(release.finish(LONG).len(), 1);
    }

    #[test]
    fn after_the_gate_shut_the_next_release_begins_with_a_few_again() {
        let mut release = crowd(64);
        let granted = release.open(true).len() + (0..20).map(|_| release.finish(LONG).len()).sum::<usize>();
        assert!(release.open(false).is_empty());
        assert!((20..granted).all(|_| release.finish(PROMPT).is_empty()));
        assert_eq!(release.open(true).len(), FIRST);
    }

    proptest! {
        #[test]
        fn never_too_many_at_a_time_always_the_oldest_and_nobody_forgotten(
            concurrency in 1_usize..12,
            events in prop::collection::vec(event(), 0..240),
        ) {
            let mut release = Release::new(NonZeroUsize::new(concurrency).unwrap());
            let mut model = Model::default();
            for event in events {
                for grant in model.apply(&mut release, event) {
                    prop_assert!(model.open);
                    prop_assert_eq!(Some(grant), model.oldest());
                }
                prop_assert!(model.in_flight <= concurrency);
                let idle = model.open && model.in_flight < concurrency.min(FIRST);
                prop_assert!(!idle || model.waiting.is_empty(), "a place is free and somebody waits");
            }
        }
    }
}
