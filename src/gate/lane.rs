//! One route's share of the gate: its verdict, and the line of those who wait for it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Gate, Permit, Verdict, Waiting, estimate::Estimate, plan::PlannedLane, turns::Turns};

/// A route's gate. All clones are the same lane. Every waiting session has some, so that one is no more than where it is.
#[derive(Clone, Debug)]
pub struct Lane {
    gate: Gate,
    place: usize,
}

/// The gate's own hand on a lane.
#[derive(Debug)]
pub(super) struct LaneKeeper {
    /// The route's path; none for a lane that is nobody's route.
    pub(super) path: Option<String>,
    /// Places of the checks it needs.
    pub(super) needs: Arc<[usize]>,
    /// Those among them that can keep it shut.
    blocking: Arc<[usize]>,
    verdict: watch::Sender<Verdict>,
    opened_at: watch::Sender<Option<Instant>>,
    turns: Turns,
    estimate: Mutex<Estimate>,
}

/// What a lane takes over from the gate before.
pub(super) struct Before {
    pub(super) verdict: Verdict,
    pub(super) opened_at: Option<Instant>,
    pub(super) estimate: Estimate,
}

impl Before {
    /// Of a lane that begins `now`, and says so.
    pub(super) fn nothing(verdict: Verdict, now: Instant) -> Self {
        let estimate = Estimate::new(verdict.is_open(), now.into_std());
        Self { verdict, opened_at: None, estimate }
    }
}

impl Lane {
    /// The lane at `place` of `gate`, which has one there.
    pub(super) fn at(gate: &Gate, place: usize) -> Self {
        Self { gate: gate.clone(), place }
    }

    /// Whether sessions may pass at this moment.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.keeper().verdict()
    }

    /// Whether a drain is all that keeps anybody from passing.
    #[must_use]
    pub fn would_pass(&self) -> bool {
        self.gate.judged(self.place).is_open()
    }

    /// Every change of the verdict from here on; the present one counts as seen.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Verdict> {
        self.keeper().verdict.subscribe()
    }

    /// When the lane last opened; it may have shut since.
    #[must_use]
    pub fn opened_at(&self) -> Option<Instant> {
        *self.keeper().opened_at.borrow()
    }

    /// How long the lane is likely to stay shut; none where it is open or nothing is known.
    #[must_use]
    pub fn estimate(&self, now: Instant) -> Option<Duration> {
        lock(&self.keeper().estimate).left(now.into_std())
    }

    /// Somebody waits for this lane until the answer is dropped: what can keep it shut is asked more often.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.gate.wait_begins(&self.keeper().blocking)
    }

    /// Permits that somebody has.
    #[cfg(test)]
    pub(crate) fn turns_taken(&self) -> usize {
        self.keeper().turns.taken()
    }

    /// Resolves when the lane is open and `seq` is among the oldest that wait: a smaller number is older, and nobody
    /// else may wait under the same one. Never resolves while the lane is shut or draining. Cancel-safe.
    pub async fn turn(&self, seq: u64) -> Permit {
        let _waiting = self.waiting();
        loop {
            let permit = self.keeper().turns.wait(seq).await;
            if self.keeper().verdict.borrow().is_open() {
                return permit;
            }
        }
    }

    fn keeper(&self) -> &LaneKeeper {
        &self.gate.inner.lanes[self.place]
    }
}

impl LaneKeeper {
    /// A lane that the checks at `blocking` can keep shut, as it was before.
    pub(super) fn new(planned: &PlannedLane, blocking: Vec<usize>, before: Before) -> Self {
        let turns = Turns::new(planned.concurrency);
        let Before { verdict, opened_at, estimate } = before;
        turns.open(verdict.is_open());
        Self {
            path: planned.path.clone(),
            needs: planned.needs.as_slice().into(),
            blocking: blocking.into(),
            verdict: watch::Sender::new(verdict),
            opened_at: watch::Sender::new(opened_at),
            turns,
            estimate: Mutex::new(estimate),
        }
    }

    /// The verdict that everybody sees.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.borrow().clone()
    }

    /// What a lane in the place of this one takes over.
    pub(super) fn before(&self) -> Before {
        let estimate = lock(&self.estimate).clone();
        Before { verdict: self.verdict(), opened_at: *self.opened_at.borrow(), estimate }
    }

    /// Makes `verdict` everybody's. Turns are given only between the watch's opening and its shutting, so that no permit is
    /// handed out under a shut verdict for longer than it takes to look.
    pub(super) fn publish(&self, verdict: Verdict, changed: Instant) {
        let (was_open, is_open) = (self.verdict.borrow().is_open(), verdict.is_open());
        if is_open && !was_open {
            self.opened_at.send_replace(Some(changed));
        }
        lock(&self.estimate).turn(is_open, changed.into_std());
        self.turns.open(was_open && is_open);
        self.verdict.send_replace(verdict);
        self.turns.open(is_open);
    }
}

/// Its data is valid after every statement, so a panic elsewhere need not spread.
fn lock(estimate: &Mutex<Estimate>) -> MutexGuard<'_, Estimate> {
    estimate.lock().unwrap_or_else(PoisonError::into_inner)
}
