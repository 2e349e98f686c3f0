//! The gate as others see it at one moment.

use std::time::{Duration, SystemTime};

use super::{
    Watched,
    hand::Hand,
    rhythm::BreakerState,
    state::Track,
    suspicion::Suspicion,
    verdict::{Blocker, CheckState, Class, Failure, Verdict},
};

/// The gate and every check at one moment, for answers to people and machines.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whether sessions may pass: that of the route that is worst off.
    pub verdict: Verdict,
    /// Every route, in the order of the configuration.
    pub routes: Vec<RouteView>,
    /// Every check, in the order of the configuration.
    pub checks: Vec<CheckView>,
}

/// One route at one moment.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// Its path.
    pub path: String,
    /// Whether its sessions may pass.
    pub verdict: Verdict,
    /// When that last changed its name.
    pub since: SystemTime,
    /// The operator's hand on it.
    pub hand: Option<Hand>,
}

/// One check at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView {
    /// Its name.
    pub name: String,
    /// `tcp`, `http` or `ws`.
    pub kind: &'static str,
    /// The gate stays shut without it.
    pub required: bool,
    /// Where it stands.
    pub state: CheckState,
    /// What kind of failure, unless it passes.
    pub class: Option<Class>,
    /// What was seen, unless it passes.
    pub reason: Option<String>,
    /// What to do about it, where that is known.
    pub hint: Option<&'static str>,
    /// What a person should look into: it has never passed, although its target answers.
    pub suspicion: Option<String>,
    /// How long the last run took.
    pub latency: Option<Duration>,
    /// How long a run may take: the working timeout.
    pub timeout: Duration,
    /// Whether it runs at all.
    pub breaker: BreakerState,
    /// When the last run ended.
    pub last_checked: Option<SystemTime>,
}

/// The last run of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastRun {
    pub(super) took: Duration,
    pub(super) at: SystemTime,
}

impl Watched {
    /// What is shown of the check.
    pub(super) fn view(&self, track: &Track, last: Option<LastRun>, suspicion: &Suspicion) -> CheckView {
        let (blocker, pace) = (track.blocker(), self.rhythm.pace());
        let suspected = blocker.as_ref().filter(|_| suspicion.is_on()).map(|blocker| {
            let Blocker { class, reason, hint, .. } = blocker.clone();
            self.suspected(&Failure { class, reason, hint })
        });
        CheckView {
            name: self.name.clone(),
            kind: self.kind,
            required: self.required,
            state: track.state(),
            class: blocker.as_ref().map(|blocker| blocker.class),
            hint: blocker.as_ref().and_then(|blocker| blocker.hint),
            reason: blocker.map(|blocker| blocker.reason),
            suspicion: suspected,
            latency: last.map(|run| run.took),
            timeout: pace.timeout,
            breaker: pace.breaker,
            last_checked: last.map(|run| run.at),
        }
    }
}
