//! Whether a check is worth running. PURE.
//!
//! *Closed*, the check runs as its schedule says. After `attempts` failures in a row it is *open*: it rests for
//! `cooldown`, then one attempt is the trial, and the breaker is *half-open* while that is under way. A pass closes
//! it; a failure leaves it open for another `cooldown`.
//!
//! A permanent fault (wrong password, bad certificate, wrong answer) needs a person, so its breaker opens sooner: the
//! rests after such failures in a row double from the longest backoff, and it opens once one would reach `cooldown`.
//! Not at the first, for a backend that is just starting may answer 404 for a second.

use std::time::Duration;

use crate::{
    config::{self, Backoff, Pacing},
    gate::{BreakerState, Class},
};

/// The breaker of one check.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    attempts: u32,
    /// Between attempts after permanent failures.
    slow: Backoff,
    state: BreakerState,
    failures: u32,
    /// How many of the last failures in a row were permanent.
    permanent: u32,
}

/// What a result changed; worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was closed, and opened after so many failures in a row.
    Opened(u32),
    /// It was open, and closed.
    Closed,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(pacing: &Pacing) -> Self {
        let config::Breaker { attempts, cooldown } = pacing.breaker;
        // A breaker that is open never asks more often than the backoff at its longest.
        let slow = Backoff { initial: pacing.backoff.max, max: cooldown.max(pacing.backoff.max) };
        Self { attempts, slow, state: BreakerState::Closed, failures: 0, permanent: 0 }
    }

    /// The same with what happened `before`, under other limits perhaps.
    pub(super) fn after(self, before: &Self) -> Self {
        let Self { state, failures, permanent, .. } = *before;
        Self { state, failures, permanent, ..self }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// The rest between trials.
    pub(super) fn cooldown(&self) -> Duration {
        self.slow.max
    }

    /// The rest that the failures so far ask for, if the last one was permanent.
    pub(super) fn slow_pause(&self) -> Option<Duration> {
        (self.permanent > 0).then(|| self.slow.pause(self.permanent, 1.0))
    }

    /// An attempt begins; under an open breaker it is the trial.
    pub(super) fn begin(&mut self) {
        self.state = match self.state {
            BreakerState::Closed => BreakerState::Closed,
            BreakerState::Open | BreakerState::HalfOpen => BreakerState::HalfOpen,
        };
    }

    /// The attempt passed, or failed as `failed`.
    pub(super) fn end(&mut self, failed: Option<Class>) -> Option<Turn> {
        let Some(class) = failed else { return self.pass() };
        self.failures = self.failures.saturating_add(1);
        self.permanent = if class.is_permanent() { self.permanent.saturating_add(1) } else { 0 };
        match self.state {
            BreakerState::Closed if !self.has_enough() => None,
            BreakerState::Closed => {
                self.state = BreakerState::Open;
                Some(Turn::Opened(self.failures))
            }
            BreakerState::Open | BreakerState::HalfOpen => {
                self.state = BreakerState::Open;
                None
            }
        }
    }

    fn pass(&mut self) -> Option<Turn> {
        (self.failures, self.permanent) = (0, 0);
        match std::mem::replace(&mut self.state, BreakerState::Closed) {
            BreakerState::Closed => None,
            BreakerState::Open | BreakerState::HalfOpen => Some(Turn::Closed),
        }
    }

    fn has_enough(&self) -> bool {
        self.failures >= self.attempts || self.slow_pause().is_some_and(|pause| pause >= self.cooldown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(10);

    fn breaker(attempts: u32) -> Breaker {
        let backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(1) };
        let breaker = config::Breaker { attempts, cooldown: COOLDOWN };
        let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
        Breaker::new(&Pacing { interval, timeout, backoff, rise: 1, fall: 3, breaker })
    }

    fn run(breaker: &mut Breaker, failed: Option<Class>) -> Option<Turn> {
        breaker.begin();
        breaker.end(failed)
    }

    fn open() -> Breaker {
        let mut breaker = breaker(1);
        run(&mut breaker, Some(Class::Refused));
        breaker
    }

    #[test]
    fn it_opens_after_its_attempts_in_a_row_and_not_before() {
        let mut breaker = breaker(3);
        for failed in [Some(Class::Refused), Some(Class::Timeout), None, Some(Class::Dns), Some(Class::NotReady)] {
            assert_eq!(run(&mut breaker, failed), None);
            assert_eq!(breaker.state(), BreakerState::Closed);
        }
        assert_eq!(run(&mut breaker, Some(Class::Refused)), Some(Turn::Opened(3)));
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn the_trial_is_half_open_and_its_pass_closes() {
        let mut breaker = open();
        breaker.begin();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.end(None), Some(Turn::Closed));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(run(&mut breaker, None), None);
    }

    #[test]
    fn a_failed_trial_opens_it_again_and_is_no_second_opening() {
        let mut breaker = open();
        assert_eq!(run(&mut breaker, Some(Class::Refused)), None);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn the_count_starts_afresh_after_a_pass() {
        let mut breaker = breaker(2);
        for failed in [Some(Class::Refused), None, Some(Class::Refused)] {
            assert_eq!(run(&mut breaker, failed), None);
        }
        assert_eq!(run(&mut breaker, Some(Class::Refused)), Some(Turn::Opened(2)));
    }

    #[test]
    fn a_permanent_fault_rests_longer_each_time_and_opens_once_that_would_be_the_cooldown() {
        let mut breaker = breaker(10);
        for seconds in [1, 2, 4, 8] {
            assert_eq!(run(&mut breaker, Some(Class::Auth)), None);
            assert_eq!(breaker.slow_pause(), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(run(&mut breaker, Some(Class::Auth)), Some(Turn::Opened(5)));
        assert_eq!(breaker.slow_pause(), Some(COOLDOWN));
    }

    #[test]
    fn a_transient_failure_in_between_lets_the_permanent_ones_begin_again() {
        let mut breaker = breaker(10);
        for class in [Class::Auth, Class::Tls] {
            run(&mut breaker, Some(class));
        }
        run(&mut breaker, Some(Class::Refused));
        assert_eq!(breaker.slow_pause(), None);
        run(&mut breaker, Some(Class::Auth));
        assert_eq!(breaker.slow_pause(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn an_open_breaker_stays_open_under_other_limits_until_a_trial_passes() {
        let mut before = breaker(2);
        assert_eq!([1, 2].map(|_| before.end(Some(Class::Refused))), [None, Some(Turn::Opened(2))]);
        let mut after = breaker(9).after(&before);
        after.begin();
        assert_eq!((after.state(), after.end(Some(Class::Refused))), (BreakerState::HalfOpen, None));
        assert_eq!((after.state(), after.end(None)), (BreakerState::Open, Some(Turn::Closed)));
    }

    #[test]
    fn failures_in_a_row_are_counted_on_and_the_other_limits_are_those_that_hold() {
        let mut before = breaker(9);
        for class in [Class::Refused, Class::Auth, Class::Auth] {
            assert_eq!(run(&mut before, Some(class)), None);
        }
        let mut after = breaker(4).after(&before);
        assert_eq!(after.slow_pause(), Some(Duration::from_secs(2)));
        assert_eq!(run(&mut after, Some(Class::Refused)), Some(Turn::Opened(4)));
    }
}
