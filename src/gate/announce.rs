//! What the log says of a lane, and when a line is worth writing.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    lane::LaneKeeper,
    state::{Fold, Track},
    verdict::{Blocker, CheckState, Class, Verdict},
};
use crate::telemetry::millis;

/// What was last said of a lane.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// When its verdict got the name it has.
    pub(super) since: SystemTime,
    at: Instant,
    failing: Failing,
}

/// What makes a new line worth writing while a verdict keeps its name: which checks fail, and not the wording of a reason
/// but its kind.
type Failing = Vec<(String, Class)>;

impl Said {
    /// Nothing, of a lane that began at this moment (the same on both clocks).
    pub(super) fn new(since: SystemTime, at: Instant) -> Self {
        Self { since, at, failing: Failing::new() }
    }

    /// Writes a line if `verdict`, which `lane` is about to have, is news.
    pub(super) fn say(&mut self, lane: &LaneKeeper, fold: &Fold, verdict: &Verdict, now: SystemTime, at: Instant) {
        let failing = failing(fold, lane);
        let lasted = at.duration_since(self.at);
        let news = verdict.label() != lane.verdict().label();
        if news || failing != self.failing {
            announce(lane, verdict, &failing, news, lasted);
        }
        if news {
            (self.since, self.at) = (now, at);
        }
        self.failing = failing;
    }
}

fn failing(fold: &Fold, lane: &LaneKeeper) -> Failing {
    let failing_as = |check: &Track| match check.state() {
        CheckState::Failing => check.blocker().map(|blocker| (blocker.check, blocker.class)),
        CheckState::Unknown | CheckState::Passing => None,
    };
    lane.needs.iter().filter_map(|index| fold.checks().get(*index)).filter_map(failing_as).collect()
}

/// One line: the first failing check in fields of its own, to be searched for, and the others as text. A check that
/// has yet to run comes after those that fail: it passes without another line.
fn announce(lane: &LaneKeeper, verdict: &Verdict, failing: &[(String, Class)], news: bool, lasted: Duration) {
    let Some(route) = &lane.path else { return };
    let lasted_ms = millis(lasted);
    let message = match (verdict, news) {
        (Verdict::Open, _) => return tracing::info!(route, lasted_ms, "gate open"),
        (Verdict::Draining, _) => return tracing::info!(route, lasted_ms, "gate draining"),
        (Verdict::Degraded { .. }, true) => "gate degraded",
        (Verdict::Degraded { .. }, false) => "gate stays degraded",
        (Verdict::Shut { .. }, true) => "gate shut",
        (Verdict::Shut { .. }, false) => "gate stays shut",
    };
    let mut listed = [verdict.blockers(), verdict.missing()].concat();
    let fails = |blocker: &Blocker| failing.iter().any(|(name, _)| *name == blocker.check);
    listed.sort_by_key(|blocker| !fails(blocker));
    let Some((first, others)) = listed.split_first() else { return };
    let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    tracing::warn!(
        route,
        check = first.check,
        class = first.class.label(),
        reason = first.reason,
        hint = first.hint,
        others = (!others.is_empty()).then_some(others),
        lasted_ms,
        "{message}"
    );
}
