//! What the runs of a check have taught, for the check that asks the same under the next configuration: a new file makes
//! nothing faster, and mends nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{breaker::Breaker, latency::Latency};

/// Filled by the runs of one check. All clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Lessons(Arc<Mutex<Option<Learned>>>);

/// After the last run.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    pub(super) latency: Latency,
    pub(super) breaker: Breaker,
}

impl Lessons {
    /// What is known at this moment, for another check to begin with. The two go on by themselves.
    #[must_use]
    pub fn handed_on(&self) -> Self {
        Self(Arc::new(Mutex::new(self.recall())))
    }

    pub(super) fn recall(&self) -> Option<Learned> {
        self.lock().clone()
    }

    pub(super) fn note(&self, latency: &Latency, breaker: &Breaker) {
        *self.lock() = Some(Learned { latency: latency.clone(), breaker: breaker.clone() });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Learned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
