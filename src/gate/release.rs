//! Who may dial when the gate opens: oldest first, so many at a time. PURE.
//!
//! Everyone released at once knocks over a server that just started
//! (<https://github.com/gravitational/teleport/issues/6889>).

use std::{collections::BTreeSet, num::NonZeroUsize};

/// The waiting and the number under way. Every method that can free a place answers with the grants that follow,
/// oldest first.
#[derive(Debug)]
pub struct Release {
    concurrency: usize,
    open: bool,
    in_flight: usize,
    waiting: BTreeSet<u64>,
}

impl Release {
    /// Nobody waits, and the gate is shut.
    #[must_use]
    pub fn new(concurrency: NonZeroUsize) -> Self {
        Self { concurrency: concurrency.get(), open: false, in_flight: 0, waiting: BTreeSet::new() }
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

    /// The gate opened or shut. Grants given before it shut stay good.
    #[must_use]
    pub fn open(&mut self, open: bool) -> Vec<u64> {
        self.open = open;
        self.grant()
    }

    /// Granted and not done.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// One of the granted is done.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u64> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.grant()
    }

    fn grant(&mut self) -> Vec<u64> {
        let mut grants = Vec::new();
        while self.open && self.in_flight < self.concurrency {
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
    use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    #[derive(Clone, Debug)]
    enum Event {
        Join(u64),
        Leave(u64),
        Open(bool),
        Finish,
    }

    fn event() -> impl Strategy<Value = Event> {
        let seq = || 0_u64..40;
        prop_oneof![
            4 => seq().prop_map(Event::Join),
            1 => seq().prop_map(Event::Leave),
            1 => prop::bool::ANY.prop_map(Event::Open),
            2 => Just(Event::Finish),
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
                Event::Finish if self.in_flight == 0 => Vec::new(),
                Event::Finish => {
                    self.in_flight -= 1;
                    release.finish()
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

    proptest! {
        #[test]
        fn never_too_many_at_a_time_always_the_oldest_and_nobody_forgotten(
            concurrency in 1_usize..5,
            events in prop::collection::vec(event(), 0..120),
        ) {
            let mut release = Release::new(NonZeroUsize::new(concurrency).unwrap());
            let mut model = Model::default();
            for event in events {
                for grant in model.apply(&mut release, event) {
                    prop_assert!(model.open);
                    prop_assert_eq!(Some(grant), model.oldest());
                }
                prop_assert!(model.in_flight <= concurrency);
                let idle = model.open && model.in_flight < concurrency;
                prop_assert!(!idle || model.waiting.is_empty(), "a place is free and somebody waits");
            }
        }
    }
}
