//! What is held, for how long, and how much more may be.

use std::time::Duration;

use prometheus::{Gauge, IntGauge};

use super::family::Families;

/// The hold at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldUse {
    /// Bytes and sessions taken of the budget.
    pub taken: (usize, usize),
    /// Bytes and sessions that may be taken.
    pub limit: (usize, usize),
    /// Since the arrival of the session that is held longest; zero when none is.
    pub oldest: Duration,
}

#[derive(Debug)]
pub(super) struct Hold {
    pub(super) bytes: IntGauge,
    pub(super) frames: IntGauge,
    oldest: Gauge,
    taken_bytes: IntGauge,
    taken_sessions: IntGauge,
    limit_bytes: IntGauge,
    limit_sessions: IntGauge,
}

impl Hold {
    pub(super) fn new(f: &Families) -> Self {
        Self {
            bytes: f.gauge("readygate_hold_bytes", "Bytes held for clients at this moment."),
            frames: f.gauge("readygate_hold_frames", "Data frames held for clients at this moment."),
            oldest: f.float_gauge("readygate_hold_oldest_seconds", OLDEST_HELP),
            taken_bytes: f.gauge("readygate_hold_budget_taken_bytes", "Bytes taken of hold.total_bytes."),
            taken_sessions: f.gauge("readygate_hold_budget_taken_sessions", TAKEN_SESSIONS_HELP),
            limit_bytes: f.gauge("readygate_hold_budget_limit_bytes", "The limit hold.total_bytes."),
            limit_sessions: f.gauge("readygate_hold_budget_limit_sessions", LIMIT_SESSIONS_HELP),
        }
    }

    pub(super) fn show(&self, now: &HoldUse) {
        let HoldUse { taken, limit, oldest } = *now;
        self.taken_bytes.set(whole(taken.0));
        self.taken_sessions.set(whole(taken.1));
        self.limit_bytes.set(whole(limit.0));
        self.limit_sessions.set(whole(limit.1));
        self.oldest.set(oldest.as_secs_f64());
    }
}

fn whole(amount: usize) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

const OLDEST_HELP: &str = "Since the arrival of the session that is held longest; 0 when none is.";
const LIMIT_SESSIONS_HELP: &str = "The limit hold.sessions, or what the limit of open files carries if that is less.";
const TAKEN_SESSIONS_HELP: &str = "Places taken of hold.sessions: waiting sessions and plain requests.";
