//! What a check's runner has to know of the gate to keep its rhythm, and what the gate shows of that rhythm.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Blocker, Gate, Inner, hand::OPERATOR};

/// Whether a check runs as its schedule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It does.
    Closed,
    /// It failed too often in a row and rests.
    Open,
    /// One attempt is under way that decides.
    HalfOpen,
}

/// How a check is run at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The working timeout: how long an attempt may take.
    pub timeout: Duration,
    /// Whether it runs at all.
    pub breaker: BreakerState,
}

/// A session that is held because of some checks; ends with its drop.
#[derive(Debug)]
pub struct Waiting {
    gate: Arc<Inner>,
    checks: Box<[usize]>,
}

/// One check's share.
#[derive(Debug)]
pub(super) struct Rhythm {
    pace: Mutex<Pace>,
    waiting: AtomicUsize,
    stirred: Notify,
}

impl BreakerState {
    /// The word in answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Gate {
    /// A session begins to wait for `checks` (their places in the list given at the start; one that does not exist is
    /// nobody's). While the answer lives, a transient fault of theirs is tried again at least every `backoff.max`.
    #[must_use]
    pub fn wait_begins(&self, checks: &[usize]) -> Waiting {
        let waiting = Waiting { gate: Arc::clone(&self.inner), checks: checks.into() };
        waiting.rhythms().for_each(Rhythm::wait_begins);
        waiting
    }

    /// Whether any session waits for check `index`.
    #[must_use]
    pub fn is_waited_for(&self, index: usize) -> bool {
        self.inner.checks.get(index).is_some_and(|check| check.rhythm.waiting.load(Ordering::SeqCst) > 0)
    }

    /// Whether nothing is wrong that a fresher result could help with. What the operator shut is not.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let by_hand = |blocker: &Blocker| blocker.check == OPERATOR;
        self.inner.lanes.iter().all(|lane| lane.verdict().blockers().iter().all(by_hand))
    }

    /// Resolves when [`Self::is_waited_for`] of check `index` has become true, or [`Self::is_calm`] may have changed. A
    /// change that came before the call counts.
    pub async fn stirred(&self, index: usize) {
        match self.inner.checks.get(index) {
            Some(check) => check.rhythm.stirred.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Check `index` is run like this from here on.
    pub fn paced(&self, index: usize, pace: Pace) {
        if let Some(check) = self.inner.checks.get(index) {
            *check.rhythm.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
        }
    }
}

impl Waiting {
    fn rhythms(&self) -> impl Iterator<Item = &Rhythm> {
        self.checks.iter().filter_map(|index| self.gate.checks.get(*index)).map(|check| &check.rhythm)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for rhythm in self.rhythms() {
            rhythm.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Rhythm {
    /// Nobody waits, and nothing was measured.
    pub(super) fn new(timeout: Duration) -> Self {
        let pace = Pace { timeout, breaker: BreakerState::Closed };
        Self { pace: Mutex::new(pace), waiting: AtomicUsize::new(0), stirred: Notify::new() }
    }

    pub(super) fn pace(&self) -> Pace {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate's verdict changed.
    pub(super) fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Only the first to wait changes anything.
    fn wait_begins(&self) {
        if self.waiting.fetch_add(1, Ordering::SeqCst) == 0 {
            self.stir();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::num::NonZeroUsize;

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        config::{Backoff, Breaker, Check, CheckKind, Pacing, Target},
        telemetry::metrics::Metrics,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn gate() -> Gate {
        let (backoff, breaker) = (Backoff { initial: SECOND, max: SECOND }, Breaker { attempts: 1, cooldown: SECOND });
        let pacing = Pacing { interval: SECOND, timeout: SECOND, backoff, rise: 1, fall: 1, breaker };
        let target = Target { host: "127.0.0.1".to_owned(), port: 1, tls: None };
        let check = |name: &str| Check { name: name.to_owned(), kind: CheckKind::Tcp(target.clone()), pacing };
        Gate::new(&[check("cache"), check("database")], NonZeroUsize::MIN, Metrics::new())
    }

    #[test]
    fn a_check_is_waited_for_from_the_first_session_to_the_last() {
        let gate = gate();
        let first = gate.wait_begins(&[1]);
        let second = gate.wait_begins(&[1, 1, 9]);
        assert_eq!((gate.is_waited_for(0), gate.is_waited_for(1), gate.is_waited_for(9)), (false, true, false));
        drop(second);
        assert!(gate.is_waited_for(1));
        drop(first);
        assert!(!gate.is_waited_for(1));
    }

    #[test]
    fn the_first_to_wait_stirs_the_check_and_the_second_does_not() {
        let gate = gate();
        let _first = gate.wait_begins(&[1]);
        assert!(gate.stirred(1).now_or_never().is_some());
        let _second = gate.wait_begins(&[1]);
        assert!(gate.stirred(1).now_or_never().is_none() && gate.stirred(0).now_or_never().is_none());
    }

    #[test]
    fn a_verdict_that_changes_stirs_every_check_once_it_can_be_seen() {
        let gate = gate();
        assert!(!gate.is_calm());
        (0..2).for_each(|index| {
            gate.report(index, Ok(()), Duration::ZERO, std::time::SystemTime::now());
        });
        assert!(gate.is_calm());
        assert!((0..2).all(|index| gate.stirred(index).now_or_never().is_some()));
    }

    #[test]
    fn a_draining_gate_is_calm() {
        let gate = gate();
        gate.drain();
        assert!(gate.is_calm());
    }

    #[test]
    fn the_pace_of_a_check_is_shown() {
        let gate = gate();
        let pace = Pace { timeout: SECOND / 4, breaker: BreakerState::HalfOpen };
        gate.paced(1, pace);
        let shown: Vec<_> = gate.snapshot().checks.iter().map(|check| (check.timeout, check.breaker.label())).collect();
        assert_eq!(shown, [(SECOND, "closed"), (SECOND / 4, "half-open")]);
    }
}
