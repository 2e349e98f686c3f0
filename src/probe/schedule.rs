//! When a check runs next. PURE.
//!
//! Passing, it rests for its interval; while the gate is shut because of others, for a fifth of that, so that what
//! releases sessions is fresh. Unsettled (failing, or yet to rise or fall), it is on its backoff with full jitter, which
//! is shorter while a session waits for it and asking is cheap. A permanent fault, once the check has fallen to it, has
//! the slow rests of its breaker, which waiting does not shorten. Under an open breaker it rests for `cooldown`, but
//! while a session waits for it and the fault is transient, the backoff goes on.

use std::time::Duration;

use super::breaker::Breaker;
use crate::{
    config::{Backoff, Pacing},
    gate::{BreakerState, CheckState, Class},
};

/// So many runs in the place of one while others keep the gate shut: with the default interval of 5 s a run each
/// second, as often as the default backoff asks one that fails.
const QUICKENED: u32 = 5;

/// While somebody waits, rests last up to so many times as long as the check itself took: it then runs a fiftieth of
/// the time or a little more, too little for a booting backend to notice. On the loopback that is every few
/// milliseconds; a check that takes 20 ms and more keeps the default backoff.
const EAGER: u32 = 50;

/// Such a rest may be so many times shorter than the shortest ceiling of the backoff: with the default of 10 ms, a refusal
/// on the loopback (a tenth of a millisecond of CPU) is met some 200 times a second, and a backend that listens is seen
/// some 3 ms later.
const EAGER_INITIAL: u32 = 2;

/// A permanent fault, and a check that somebody waits for, rests at least this share of its pause; the rest is jitter, so
/// that many instances do not knock together. With pauses from nothing on, more runs would find the backend later.
const LEAST_OF_PAUSE: f64 = 0.5;

/// The pauses of one check.
#[derive(Debug)]
pub(super) struct Schedule {
    pacing: Pacing,
    /// Intervals may be quickened.
    adaptive: bool,
    /// Runs in a row with the same result while unsettled.
    streak: u32,
    passed: bool,
    /// Changes between passing and failing while unsettled.
    flaps: u32,
}

/// What a run brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How it failed, if it did.
    pub(super) failed: Option<Class>,
    /// How long it took.
    pub(super) took: Duration,
}

/// The pause after a run, which can depend on what happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing is wrong with this check.
    Steady {
        /// While nothing else is wrong either.
        calm: Duration,
        /// While the gate is shut.
        uneasy: Duration,
    },
    /// Whatever happens.
    Fixed(Duration),
    /// It is unsettled, by a fault that can pass.
    Unsettled {
        /// While nobody waits.
        alone: Duration,
        /// While somebody does.
        waited_for: Duration,
    },
}

/// What the length of a rest depends on beside the check itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// The gate is not shut.
    pub(super) calm: bool,
    /// A session is held because of this check.
    pub(super) waited_for: bool,
}

impl Rest {
    /// None: once more, at once.
    pub(super) const NONE: Self = Self::Fixed(Duration::ZERO);

    /// Its length, from the end of the run.
    pub(super) fn length(self, surroundings: Surroundings) -> Duration {
        match self {
            Self::Steady { calm, .. } if surroundings.calm => calm,
            Self::Steady { uneasy, .. } => uneasy,
            Self::Fixed(length) => length,
            Self::Unsettled { waited_for, .. } if surroundings.waited_for => waited_for,
            Self::Unsettled { alone, .. } => alone,
        }
    }
}

impl Schedule {
    /// The rhythm of `pacing`; `adaptive` where intervals may be quickened.
    pub(super) fn new(pacing: Pacing, adaptive: bool) -> Self {
        Self { pacing, adaptive, streak: 0, passed: false, flaps: 0 }
    }

    /// The rest after `run`, which left the check in `state` and its breaker so; `fraction` (0 to 1) is drawn at random.
    pub(super) fn rest(&mut self, run: Run, state: CheckState, breaker: &Breaker, fraction: f64) -> Rest {
        let passed = run.failed.is_none();
        if passed && state == CheckState::Passing {
            (self.streak, self.flaps) = (0, 0);
            return self.steady();
        }
        let unsettled = self.unsettled(passed);
        let backoff = self.pacing.backoff.pause(unsettled, fraction);
        let eager = jittered(self.eager(run.took).pause(unsettled, 1.0), fraction).min(backoff);
        let slow_pause = breaker.slow_pause().filter(|_| state != CheckState::Passing);
        match (breaker.state(), slow_pause) {
            (BreakerState::Closed, None) => Rest::Unsettled { alone: backoff, waited_for: eager },
            (BreakerState::Closed, Some(slow)) => Rest::Fixed(jittered(slow, fraction)),
            (BreakerState::Open | BreakerState::HalfOpen, None) => {
                Rest::Unsettled { alone: breaker.cooldown(), waited_for: eager }
            }
            (BreakerState::Open | BreakerState::HalfOpen, Some(_)) => Rest::Fixed(breaker.cooldown()),
        }
    }

    /// How often the backoff has doubled. The first change of a result begins it afresh, for it is news; later ones do
    /// not, or a check that flaps would be asked every few milliseconds for ever.
    fn unsettled(&mut self, passed: bool) -> u32 {
        if std::mem::replace(&mut self.passed, passed) == passed {
            self.streak = self.streak.saturating_add(1);
        } else {
            (self.streak, self.flaps) = (1, self.flaps.saturating_add(1));
        }
        self.streak.saturating_add(self.flaps.saturating_sub(1))
    }

    /// The backoff while somebody waits.
    fn eager(&self, took: Duration) -> Backoff {
        let backoff = self.pacing.backoff;
        let least = (backoff.initial / EAGER_INITIAL).min(backoff.max);
        Backoff { max: took.saturating_mul(EAGER).clamp(least, backoff.max), ..backoff }
    }

    fn steady(&self) -> Rest {
        let calm = self.pacing.interval;
        Rest::Steady { calm, uneasy: if self.adaptive { calm / QUICKENED } else { calm } }
    }
}

fn jittered(pause: Duration, fraction: f64) -> Duration {
    pause.mul_f64(LEAST_OF_PAUSE + (1.0 - LEAST_OF_PAUSE) * fraction.clamp(0.0, 1.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::{num::NonZeroUsize, time::SystemTime};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        config::{self, Backoff, CheckKind},
        gate::{Failure, Gate},
        probe::fixture::{check, local},
        telemetry::metrics::Metrics,
    };

    const INTERVAL: Duration = Duration::from_secs(5);
    const INITIAL: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(1);
    const COOLDOWN: Duration = Duration::from_secs(10);
    const ATTEMPTS: u32 = 10;
    const ALONE: Surroundings = Surroundings { calm: true, waited_for: false };
    const WAITED_FOR: Surroundings = Surroundings { calm: false, waited_for: true };

    struct Bench {
        schedule: Schedule,
        breaker: Breaker,
    }

    fn bench(adaptive: bool) -> Bench {
        let backoff = Backoff { initial: INITIAL, max: MAX };
        let breaker = config::Breaker { attempts: ATTEMPTS, cooldown: COOLDOWN };
        let pacing = Pacing { interval: INTERVAL, timeout: INTERVAL, backoff, rise: 1, fall: 3, breaker };
        Bench { schedule: Schedule::new(pacing, adaptive), breaker: Breaker::new(&pacing) }
    }

    impl Bench {
        fn run(&mut self, failed: Option<Class>, state: CheckState, fraction: f64) -> Rest {
            self.breaker.begin();
            self.breaker.end(failed);
            self.schedule.rest(Run { failed, took: MAX }, state, &self.breaker, fraction)
        }

        fn fail(&mut self, state: CheckState) -> Rest {
            self.run(Some(Class::Refused), state, 1.0)
        }

        fn pass(&mut self, state: CheckState) -> Rest {
            self.run(None, state, 1.0)
        }
    }

    fn fixed(millis: u64) -> Rest {
        Rest::Fixed(Duration::from_millis(millis))
    }

    /// The same whether somebody waits or not: asking takes too long to be done more often.
    fn unsettled(millis: u64) -> Rest {
        let pause = Duration::from_millis(millis);
        Rest::Unsettled { alone: pause, waited_for: pause }
    }

    #[test]
    fn a_passing_check_rests_its_interval_and_a_fifth_of_it_while_the_gate_is_shut() {
        let rest = bench(true).pass(CheckState::Passing);
        assert_eq!((rest.length(ALONE), rest.length(WAITED_FOR)), (INTERVAL, INTERVAL / 5));
    }

    #[test]
    fn without_adaptive_timing_the_interval_is_what_was_configured() {
        assert_eq!(bench(false).pass(CheckState::Passing).length(WAITED_FOR), INTERVAL);
    }

    #[test]
    fn the_pauses_of_a_failing_check_double_up_to_the_largest() {
        let mut bench = bench(true);
        let pauses: Vec<_> = (0..9).map(|_| bench.fail(CheckState::Failing)).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000].map(unsettled));
    }

    #[test]
    fn a_first_failure_of_a_passing_check_is_looked_into_at_once() {
        let mut bench = bench(true);
        for _ in 0..2 {
            bench.pass(CheckState::Passing);
            assert_eq!(bench.fail(CheckState::Passing), unsettled(10));
        }
    }

    #[test]
    fn a_check_on_its_way_up_is_settled_on_a_fresh_backoff() {
        let mut bench = bench(true);
        assert_eq!((0..9).map(|_| bench.fail(CheckState::Failing)).last(), Some(unsettled(1000)));
        assert_eq!(bench.pass(CheckState::Failing), unsettled(10));
        assert_eq!(bench.pass(CheckState::Failing), unsettled(20));
    }

    #[test]
    fn a_check_that_flaps_slows_down() {
        let mut bench = bench(true);
        let flap = (0..6).flat_map(|_| [bench.fail(CheckState::Failing), bench.pass(CheckState::Failing)]);
        assert_eq!(flap.last(), Some(unsettled(1000)));
    }

    #[test]
    fn chance_shortens_a_pause_and_never_lengthens_it() {
        let mut half = bench(true);
        assert_eq!(half.run(Some(Class::Refused), CheckState::Failing, 0.5), unsettled(5));
    }

    #[test]
    fn while_somebody_waits_a_cheap_check_is_asked_more_often_and_a_slow_one_is_not() {
        let length = |took: u64, surroundings| {
            let mut bench = bench(true);
            let run = Run { failed: Some(Class::NotReady), took: Duration::from_millis(took) };
            let rests = (0..9).map(|_| bench.schedule.rest(run, CheckState::Failing, &bench.breaker, 1.0));
            rests.last().unwrap().length(surroundings).as_millis()
        };
        assert_eq!((length(1, ALONE), length(1, WAITED_FOR)), (1000, 50));
        assert_eq!((length(0, WAITED_FOR), length(30, WAITED_FOR)), (5, 1000));
    }

    #[test]
    fn chance_takes_at_most_half_of_an_eager_pause() {
        let run = Run { failed: Some(Class::Refused), took: Duration::ZERO };
        let lengths = [0.01, 1.0].map(|fraction| {
            let mut bench = bench(true);
            let rests = (0..9).map(|_| bench.schedule.rest(run, CheckState::Failing, &bench.breaker, fraction));
            rests.last().unwrap().length(WAITED_FOR)
        });
        assert!(lengths[0] > INITIAL / 4 && lengths[0] < INITIAL / 3, "{lengths:?}");
        assert_eq!(lengths[1], INITIAL / 2);
    }

    #[test]
    fn a_check_that_is_waited_for_never_rests_longer_than_one_that_is_not() {
        for fraction in [0.0, 0.1, 0.5, 1.0] {
            let mut bench = bench(true);
            let run = Run { failed: Some(Class::Refused), took: INITIAL / 10 };
            let rests = (0..9).map(|_| bench.schedule.rest(run, CheckState::Failing, &bench.breaker, fraction));
            assert!(rests.into_iter().all(|rest| rest.length(WAITED_FOR) <= rest.length(ALONE)), "{fraction}");
        }
    }

    #[test]
    fn an_open_breaker_rests_its_cooldown_unless_somebody_waits() {
        let mut bench = bench(true);
        let rest = (0..ATTEMPTS).map(|_| bench.fail(CheckState::Failing)).last().unwrap();
        assert_eq!((rest.length(ALONE), rest.length(WAITED_FOR)), (COOLDOWN, MAX));
    }

    #[test]
    fn a_permanent_fault_is_not_hammered_whoever_waits() {
        let mut bench = bench(true);
        let rests = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        let rests = rests.map(|fraction| bench.run(Some(Class::Auth), CheckState::Failing, fraction));
        assert_eq!(rests, [500, 2000, 2000, 8000, 10_000, 10_000].map(fixed));
    }

    #[test]
    fn a_permanent_fault_of_a_passing_check_is_made_sure_of_as_fast_as_any() {
        let mut bench = bench(true);
        bench.pass(CheckState::Passing);
        let states = [CheckState::Passing, CheckState::Passing, CheckState::Failing];
        let rests = states.map(|state| bench.run(Some(Class::Auth), state, 1.0));
        assert_eq!(rests, [unsettled(10), unsettled(20), fixed(4000)]);
    }

    #[test]
    fn a_permanent_fault_that_turns_transient_is_tried_for_those_who_wait() {
        let mut bench = bench(true);
        for _ in 0..5 {
            bench.run(Some(Class::Auth), CheckState::Failing, 1.0);
        }
        let rest = bench.fail(CheckState::Failing);
        assert_eq!(rest.length(ALONE), COOLDOWN);
        assert!(rest.length(WAITED_FOR) <= MAX);
    }

    fn class() -> impl Strategy<Value = Class> {
        prop::sample::select(vec![Class::Refused, Class::Timeout, Class::NotReady, Class::Auth, Class::Unexpected])
    }

    /// The most runs in any window of a cooldown's length, when each takes no time at all.
    fn most_in_a_cooldown(rests: impl Iterator<Item = Duration>) -> usize {
        let mut begun = vec![Duration::ZERO];
        for rest in rests {
            begun.push(*begun.last().unwrap() + rest);
        }
        let within = |from: &Duration| begun.iter().filter(|at| *at >= from && **at < *from + COOLDOWN).count();
        begun.iter().map(within).max().unwrap()
    }

    proptest! {
        /// R06, however chance falls.
        #[test]
        fn failures_of_whatever_kind_run_no_more_than_the_attempts_and_a_trial_within_a_cooldown(
            results in vec((class(), 0.0..=1.0f64), 1..60)
        ) {
            let mut bench = bench(true);
            let rests = results.iter().map(|(class, chance)| bench.run(Some(*class), CheckState::Failing, *chance));
            let most = most_in_a_cooldown(rests.map(|rest| rest.length(ALONE)));
            prop_assert!(most <= ATTEMPTS as usize + 1, "{most}");
        }

        /// R06 where passes keep the breaker closed: the backoff has to bound what it does not.
        #[test]
        fn no_order_of_results_outruns_the_backoff_for_long(
            results in vec(prop::option::of(class()), 1..120), rise in 1..4u32, fall in 1..12u32
        ) {
            let mut bench = bench(true);
            let gate = gate(rise, fall);
            let rests = results.iter().map(|failed| {
                let result = failed.map_or(Ok(()), |class| Err(Failure { class, reason: String::new(), hint: None }));
                let state = gate.report(0, result, Duration::ZERO, SystemTime::UNIX_EPOCH);
                bench.run(*failed, state, 1.0).length(ALONE)
            });
            let most = most_in_a_cooldown(rests);
            // The attempts, twice where a pass came in between, and one climb of the backoff to its longest pause.
            prop_assert!(most <= 2 * ATTEMPTS as usize + 8, "{most}");
        }
    }

    fn gate(rise: u32, fall: u32) -> Gate {
        let mut check = check(CheckKind::Tcp(local(1)));
        (check.pacing.rise, check.pacing.fall) = (rise, fall);
        Gate::new(&[check], NonZeroUsize::MIN, Metrics::new())
    }
}
