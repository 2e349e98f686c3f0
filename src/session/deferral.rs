//! Why a client was not accepted early, counted and said at once: a deferred client waits without a 101, and whoever
//! looks at a browser sees only "connecting".

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Between two log lines for the same reason. The first comes at once.
const QUIET: Duration = Duration::from_secs(10);

/// What stands against an early accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// `gate.accept` says so.
    Policy,
    /// `features.early_accept` is off.
    SwitchedOff,
    /// Its Origin is not in `gate.allowed_origins`.
    Origin,
    /// It offers subprotocols, and none of them is in `gate.subprotocols`.
    Subprotocol,
}

/// The counts of one process. All clones are the same counts.
#[derive(Clone, Debug, Default)]
pub struct Deferrals {
    tallies: Arc<[Tally; 4]>,
}

#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    said: Mutex<Option<Instant>>,
}

impl Deferral {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Policy, Self::SwitchedOff, Self::Origin, Self::Subprotocol];

    /// Log field.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::SwitchedOff => "switched_off",
            Self::Origin => "origin",
            Self::Subprotocol => "subprotocol",
        }
    }

    /// What the operator can do; none where it is what the operator asked for.
    #[must_use]
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Self::Policy | Self::SwitchedOff => None,
            Self::Origin => Some("their Origin is not in gate.allowed_origins"),
            Self::Subprotocol => Some("they offer a subprotocol and gate.subprotocols does not say which to answer"),
        }
    }
}

impl Deferrals {
    /// Counts one, and logs a hint unless the same was said a moment before `now`.
    pub fn count(&self, why: Deferral, now: Instant) {
        let tally = &self.tallies[why as usize];
        let count = tally.count.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(hint) = why.hint() else { return };
        if tally.is_news(now) {
            let sessions = if count == 1 { "session" } else { "sessions" };
            tracing::warn!(count, reason = why.label(), "{count} {sessions} deferred: {hint}");
        }
    }

    /// How many so far, by reason.
    #[must_use]
    pub fn counts(&self) -> [(Deferral, u64); 4] {
        Deferral::ALL.map(|why| (why, self.tallies[why as usize].count.load(Ordering::Relaxed)))
    }
}

impl Tally {
    fn is_news(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.is_none_or(|before| now.saturating_duration_since(before) >= QUIET);
        if is_news {
            *said = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn the_first_is_news_and_then_one_in_ten_seconds() {
        let (tally, start) = (Tally::default(), Instant::now());
        let news = [0, 1, 9, 10, 11].map(|second| tally.is_news(start + Duration::from_secs(second)));
        assert_eq!(news, [true, false, false, true, false]);
    }

    #[test]
    fn each_reason_is_a_series_before_it_counts() {
        let shown = Metrics::new().render();
        for reason in Deferral::ALL.map(Deferral::label) {
            let series = format!("readygate_sessions_deferred_total{{reason=\"{reason}\"}} 0");
            assert!(shown.lines().any(|line| line == series), "{series}");
        }
    }

    #[test]
    fn each_reason_is_counted_apart() {
        let deferrals = Deferrals::default();
        for why in [Deferral::Origin, Deferral::Policy, Deferral::Origin] {
            deferrals.count(why, Instant::now());
        }
        let counts = deferrals.counts().map(|(_, count)| count);
        assert_eq!(counts, [1, 0, 2, 0]);
    }
}
