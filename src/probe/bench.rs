//! A check's runner on a paused clock, with a probe that answers as it is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, advance, sleep},
};

use super::{Checking, Lessons, Probe, Timing, fixture, run::run};
use crate::{
    config,
    gate::{BreakerState, CheckView, Class, Failure, Gate},
    telemetry::metrics::Metrics,
};

/// The timer's own grain.
pub(super) const GRAIN: Duration = Duration::from_millis(1);

/// Far more than any timer is late by load.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// What the fake answers from the next run on.
#[derive(Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) fails: Option<Class>,
    pub(super) takes: Duration,
    /// The process is stopped for so long in the middle of every run.
    pub(super) stalls: Duration,
}

/// Tells when it was asked. Fails the test if asked twice at a time.
struct Fake {
    behaviour: Arc<Mutex<Behaviour>>,
    busy: AtomicBool,
    tell: UnboundedSender<Instant>,
}

/// Frees the fake however a run ends.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Probe for Fake {
    fn kind(&self) -> &'static str {
        "tcp"
    }

    fn check(&self) -> Checking<'_> {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two runs at a time");
        let (busy, behaviour) = (Busy(&self.busy), *self.behaviour.lock().unwrap());
        self.tell.send(Instant::now()).unwrap();
        Box::pin(async move {
            let _busy = busy;
            if !behaviour.stalls.is_zero() {
                // The clock jumps in the first poll; a process that was stopped has not yielded in between.
                let _ = advance(behaviour.stalls).now_or_never();
            }
            if !behaviour.takes.is_zero() {
                sleep(behaviour.takes).await;
            }
            let failure = |class| Failure { class, reason: "as told".to_owned(), hint: None };
            behaviour.fails.map_or(Ok(()), |class| Err(failure(class)))
        })
    }
}

/// The check that is run.
pub(super) fn check() -> config::Check {
    fixture::check(config::CheckKind::Tcp(fixture::local(1)))
}

pub(super) struct Bench {
    pub(super) gate: Gate,
    pub(super) check: config::Check,
    pub(super) metrics: Arc<Metrics>,
    lessons: Lessons,
    behaviour: Arc<Mutex<Behaviour>>,
    pub(super) asked: UnboundedReceiver<Instant>,
}

impl Bench {
    pub(super) fn new(fails: Option<Class>, takes: Duration) -> Self {
        Self::of(&check(), fails, takes)
    }

    /// One check is run; a second one, `other`, is the test's own to report.
    pub(super) fn of(check: &config::Check, fails: Option<Class>, takes: Duration) -> Self {
        Self::taught(check, fails, takes, Lessons::default())
    }

    /// The same check under another gate, with what it has learned so far.
    pub(super) fn succeeded(&self) -> Self {
        let Behaviour { fails, takes, .. } = *self.behaviour.lock().unwrap();
        Self::taught(&self.check, fails, takes, self.lessons.handed_on())
    }

    fn taught(check: &config::Check, fails: Option<Class>, takes: Duration, lessons: Lessons) -> Self {
        fastrand::seed(7);
        let metrics = Metrics::new();
        let other = config::Check { name: "other".to_owned(), ..check.clone() };
        let gate = Gate::new(&[check.clone(), other], NonZeroUsize::MIN, Arc::clone(&metrics));
        gate.report(1, Ok(()), Duration::ZERO, SystemTime::now());
        let behaviour = Arc::new(Mutex::new(Behaviour { fails, takes, stalls: Duration::ZERO }));
        let (tell, asked) = unbounded_channel();
        let fake = Fake { behaviour: Arc::clone(&behaviour), busy: AtomicBool::new(false), tell };
        let timing = Timing { adaptive: true, patience: 1.0 };
        let (gate_of_run, metrics_of_run) = (gate.clone(), Arc::clone(&metrics));
        tokio::spawn(run(0, check.clone(), Box::new(fake), gate_of_run, metrics_of_run, timing, lessons.clone()));
        Self { gate, check: check.clone(), metrics, lessons, behaviour, asked }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub(super) async fn next(&mut self) -> Instant {
        self.asked.recv().await.unwrap()
    }

    pub(super) async fn skip(&mut self, runs: usize) -> Instant {
        for _ in 1..runs {
            self.next().await;
        }
        self.next().await
    }

    /// From one run to the one after it.
    pub(super) async fn pause(&mut self, last: &mut Instant) -> Duration {
        let before = std::mem::replace(last, self.next().await);
        *last - before
    }

    /// The gate, after whatever is due by this moment.
    pub(super) async fn view(&self) -> CheckView {
        sleep(GRAIN).await;
        self.gate.snapshot().checks.swap_remove(0)
    }

    /// Fails until the breaker is open; when that was.
    pub(super) async fn tripped(&mut self) -> Instant {
        let last = self.skip(self.check.pacing.breaker.attempts as usize).await;
        let takes = self.behaviour.lock().unwrap().takes;
        sleep(takes).await;
        assert_eq!(self.view().await.breaker, BreakerState::Open);
        last
    }

    pub(super) fn max(&self) -> Duration {
        self.check.pacing.backoff.max
    }

    pub(super) fn shows(&self, line: &str) {
        let text = self.metrics.render();
        assert!(text.lines().any(|shown| shown == line), "no line `{line}` in:\n{text}");
    }
}

#[track_caller]
pub(super) fn about(pause: Duration, expected: Duration) {
    assert!(pause + GRAIN >= expected && pause <= expected + GRAIN * 2, "{pause:?} is not {expected:?}");
}
