//! One check, for ever: run it, report, rest, or be woken. One run at a time, by construction.
//!
//! A timer that fires late says that the process was stopped, as Cloud Run does between requests, and nothing about the
//! dependency: a failure seen then is void, and the check runs again at once. The clock goes on while a process is
//! stopped (SIGSTOP, a frozen control group, no CPU), so the lateness shows; it stands still while a whole machine is
//! suspended, and then no timer expires either. Void too is a failure for want of a file descriptor of our own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use super::{
    Probe, Timing, attempt,
    breaker::{Breaker, Turn},
    latency::Latency,
    lessons::{Learned, Lessons},
    schedule::{Rest, Run, Schedule, Surroundings},
};
use crate::{
    config,
    gate::{BreakerState, CheckState, Class, Failure, Gate, Pace},
    stall::{STALL, was_stopped},
    telemetry::metrics::Metrics,
};

/// Most failures in a row that are void. A machine on which every timer is late must still notice what is down, and
/// nothing runs for ever without a rest.
const MOST_VOID: u32 = 2;

/// Before the next attempt when there was no file descriptor for this one: they come back one by one as sessions end, and
/// four looks a second cost nothing.
const STARVED: Rest = Rest::Fixed(Duration::from_millis(250));

/// Runs `check`, the gate's number `index`, until the task is dropped. It begins with the `lessons` there are, and notes its own.
pub async fn run(
    index: usize,
    check: config::Check,
    probe: Box<dyn Probe>,
    gate: Gate,
    metrics: Arc<Metrics>,
    timing: Timing,
    lessons: Lessons,
) {
    let (latency, breaker) = (Latency::new(check.pacing.timeout, timing), Breaker::new(&check.pacing));
    let Learned { latency, breaker } = match lessons.recall() {
        Some(before) => Learned { latency: latency.after(&before.latency), breaker: breaker.after(&before.breaker) },
        None => Learned { latency, breaker },
    };
    let mut runner = Runner {
        index,
        probe,
        gate,
        metrics,
        latency,
        breaker,
        lessons,
        least: check.pacing.backoff.initial,
        schedule: Schedule::new(check.pacing, timing.adaptive),
        name: check.name,
        named: None,
        void: 0,
        state: CheckState::Unknown,
    };
    let mut overslept = false;
    loop {
        let rest = runner.once(overslept).await;
        overslept = runner.rest(rest).await;
    }
}

struct Runner {
    index: usize,
    name: String,
    probe: Box<dyn Probe>,
    gate: Gate,
    metrics: Arc<Metrics>,
    latency: Latency,
    breaker: Breaker,
    lessons: Lessons,
    schedule: Schedule,
    /// The shortest rest of one who is woken.
    least: Duration,
    /// The permanent fault that was last named, until the check passes.
    named: Option<Class>,
    /// Void failures in a row.
    void: u32,
    /// Where the last run left the check.
    state: CheckState,
}

impl Runner {
    async fn once(&mut self, overslept: bool) -> Rest {
        // Whoever woke us before this run is served by it.
        let _ = self.gate.woken(self.index).now_or_never();
        let limit = self.latency.timeout();
        self.breaker.begin();
        self.show();
        let (result, took) = attempt(&*self.probe, limit).await;
        let stopped = overslept || took > limit.saturating_add(STALL);
        match &result {
            Err(failure) if failure.class == Class::Starved => return self.starve(),
            Err(failure) if stopped && self.void < MOST_VOID => return self.discard(failure),
            Err(failure) if failure.class == Class::Timeout => self.latency.timed_out(),
            Ok(()) if !stopped => self.latency.sample(took),
            Err(_) | Ok(()) => {}
        }
        self.void = 0;
        self.settle(result, took)
    }

    fn discard(&mut self, failure: &Failure) -> Rest {
        self.void += 1;
        if self.gate.is_retired() {
            return Rest::NONE;
        }
        self.metrics.check_void(&self.name);
        let (class, reason) = (failure.class.label(), &failure.reason);
        tracing::info!(check = self.name, class, reason, "the process was stopped: this failure does not count");
        Rest::NONE
    }

    /// The dialer has said why.
    fn starve(&self) -> Rest {
        self.metrics.check_void(&self.name);
        STARVED
    }

    fn settle(&mut self, result: Result<(), Failure>, took: Duration) -> Rest {
        let failed = result.as_ref().err().map(|failure| failure.class);
        let label = failed.map(Class::label);
        let turn = self.breaker.end(failed);
        self.lessons.note(&self.latency, &self.breaker);
        // Of a gate that was replaced, nobody speaks: its checks may bear the names of others.
        if !self.gate.is_retired() {
            self.metrics.checked(&self.name, self.probe.kind(), failed.is_none(), took, label);
            self.name_permanent(result.as_ref().err());
            self.tell(turn, label);
        }
        self.show();
        let state = self.gate.report(self.index, result, took, SystemTime::now());
        self.count_change(state);
        self.schedule.rest(Run { failed, took }, state, &self.breaker, fastrand::f64())
    }

    /// The first result is no change.
    fn count_change(&mut self, state: CheckState) {
        let before = std::mem::replace(&mut self.state, state);
        if before != state && before != CheckState::Unknown && !self.gate.is_retired() {
            self.metrics.check_changed(&self.name);
        }
    }

    /// Once per fault that needs a person; one that flaps with others is not named again.
    fn name_permanent(&mut self, failure: Option<&Failure>) {
        let Some(Failure { class, reason, hint }) = failure else {
            self.named = None;
            return;
        };
        if class.is_permanent() && self.named.replace(*class) != Some(*class) {
            let class = class.label();
            tracing::error!(check = self.name, class, reason, hint, "the check fails and waiting will not mend it");
        }
    }

    fn tell(&self, turn: Option<Turn>, class: Option<&'static str>) {
        let check = &self.name;
        match turn {
            None => {}
            Some(Turn::Opened(failures)) => {
                self.metrics.check_breaker_opened(check);
                let cooldown = humantime::format_duration(self.breaker.cooldown()).to_string();
                tracing::warn!(check, failures, class, cooldown, "breaker open");
            }
            Some(Turn::Closed) => tracing::info!(check, "breaker closed"),
        }
    }

    fn show(&self) {
        let pace = Pace { timeout: self.latency.timeout(), breaker: self.breaker.state() };
        if !self.gate.is_retired() {
            self.metrics.check_paced(&self.name, pace.timeout, pace.breaker != BreakerState::Closed);
        }
        self.gate.paced(self.index, pace);
    }

    /// Rests, and says whether it was for longer than asked. Woken, it still rests for a moment after its last run: a
    /// thousand sessions that lose their upstream one by one must not set its rhythm.
    async fn rest(&self, rest: Rest) -> bool {
        let (ended, mut late, mut hurried) = (Instant::now(), false, false);
        loop {
            let asked = rest.length(self.surroundings());
            let length = if hurried { asked.min(self.least) } else { asked };
            let due = (ended + length).max(Instant::now());
            let over = tokio::select! {
                () = sleep_until(due) => true,
                () = self.gate.woken(self.index) => {
                    // What rests because it failed too often is asked when its time has come, not before.
                    hurried |= self.breaker.state() == BreakerState::Closed;
                    hurried && ended.elapsed() >= self.least
                }
                () = self.gate.stirred(self.index) => false,
            };
            late |= was_stopped(due, Instant::now());
            if over {
                return late;
            }
        }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings { calm: self.gate.is_calm(), waited_for: self.gate.is_waited_for(self.index) }
    }
}
