//! Every metric of the process, resolved once, so that counting never looks a label up.
//!
//! The exceptions are what comes seldom or from an open set: a check's result, a route's verdict, an outcome.

use std::{sync::Arc, time::Duration};

use prometheus::{IntCounter, IntCounterVec, Registry, TextEncoder};

mod figures;

pub use self::figures::Figures;
use super::{
    family::Families,
    floods,
    hold::Hold,
    policy::Policy,
    reloads::Reloads,
    series::{Checks, Closes, Endings, Frames, Gates, Latencies, States, Statuses},
};
pub use super::{hold::HoldUse, series::STATES};

/// What became of a data frame that a client sent before its session was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Taken from the client.
    Received,
    /// Written to the upstream.
    Delivered,
    /// Not delivered, and the client told so.
    Refused,
}

/// The two ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever connected to us.
    Client,
    /// The backend.
    Upstream,
}

/// The registry and its resolved children.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    states: States,
    endings: Endings,
    hold: Hold,
    frames: Frames,
    imbalances: IntCounter,
    client_closes: Closes,
    upstream_closes: Closes,
    dial_retries: IntCounter,
    latencies: Latencies,
    http: Statuses,
    pub(super) gates: Gates,
    drains: IntCounter,
    drain_cuts: IntCounter,
    pub(super) checks: Checks,
    pub(super) reloads: Reloads,
    pub(super) policy: Policy,
    suppressed_lines: IntCounterVec,
}

impl Metrics {
    /// A registry of its own: two apps in one process do not share numbers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let f = Families::new();
        let closes = f.counters("readygate_closes_total", CLOSES_HELP, &["side", "code"]);
        f.gauges("readygate_build_info", BUILD_HELP, &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Arc::new(Self {
            states: States::new(&f),
            endings: Endings::new(&f),
            hold: Hold::new(&f),
            frames: Frames::new(&f),
            imbalances: f.counter("readygate_ledger_imbalance_total", IMBALANCE_HELP),
            client_closes: Closes::new("client", &closes),
            upstream_closes: Closes::new("upstream", &closes),
            dial_retries: f.counter("readygate_dial_retries_total", "Dials to the upstream that were tried again."),
            latencies: Latencies::new(&f),
            http: Statuses::new(&f),
            gates: Gates::new(&f),
            drains: f.counter("readygate_drains_total", "Drains begun; a process drains once."),
            drain_cuts: f.counter("readygate_drain_cut_sessions_total", CUTS_HELP),
            checks: Checks::new(&f),
            reloads: Reloads::new(&f),
            policy: Policy::new(&f),
            suppressed_lines: suppressed_lines(&f),
            registry: f.into_registry(),
        })
    }

    /// A session went into `state`.
    pub fn session_entered(&self, state: &'static str) {
        self.states.entered(state);
    }

    /// A session left `state` after `spent`.
    pub fn session_left(&self, state: &'static str, spent: Duration) {
        self.states.left(state, spent.as_secs_f64());
    }

    /// Living sessions by state, in the order of [`STATES`].
    #[must_use]
    pub fn sessions(&self) -> [(&'static str, i64); STATES.len()] {
        self.states.now()
    }

    /// A session ended as `outcome`.
    pub fn session_done(&self, outcome: &'static str) {
        self.endings.outcomes.with_label_values(&[outcome]).inc();
    }

    /// Held bytes and frames changed by so much.
    pub fn held(&self, bytes: i64, frames: i64) {
        self.hold.bytes.add(bytes);
        self.hold.frames.add(frames);
    }

    /// The hold is so at the moment of a scrape.
    pub fn hold_is(&self, now: &HoldUse) {
        self.hold.show(now);
    }

    /// `count` frames met `fate`.
    pub fn frames(&self, fate: Fate, count: u64) {
        match fate {
            Fate::Received => self.frames.received.inc_by(count),
            Fate::Delivered => self.frames.delivered.inc_by(count),
            Fate::Refused => self.frames.refused.inc_by(count),
        }
    }

    /// A session's ledger did not balance.
    pub fn ledger_imbalance(&self) {
        self.imbalances.inc();
    }

    /// readygate sent a Close with `code` to `side`.
    pub fn close_sent(&self, side: Side, code: u16) {
        match side {
            Side::Client => self.client_closes.count(code),
            Side::Upstream => self.upstream_closes.count(code),
        }
    }

    /// A session was not accepted early, for this reason.
    pub fn session_deferred(&self, reason: &'static str) {
        self.endings.deferred.with_label_values(&[reason]).inc();
    }

    /// A dial is tried again.
    pub fn dial_retried(&self) {
        self.dial_retries.inc();
    }

    /// From the gate's opening to the delivery of the last held byte of one session.
    pub fn released(&self, latency: Duration) {
        self.latencies.release.observe(latency.as_secs_f64());
    }

    /// A session's upstream is there; before that dial began, the session had waited for so long.
    pub fn connected_after(&self, waited: Duration) {
        self.latencies.connect_added.observe(waited.as_secs_f64());
    }

    /// An HTTP request was answered with `code`, which is not 101; from its head to the answer's it took so long.
    pub fn http_answered(&self, code: u16, took: Duration) {
        self.http.child(code).inc();
        self.latencies.http.observe(took.as_secs_f64());
    }

    /// The drain began.
    pub fn drain_began(&self) {
        self.drains.inc();
    }

    /// The drain's time is nearly over, and so many sessions are cut.
    pub fn drain_cuts(&self, sessions: usize) {
        self.drain_cuts.inc_by(sessions as u64);
    }

    /// `route` has exactly one verdict of open, degraded, shut, draining.
    pub fn verdict(&self, route: &str, verdict: &'static str) {
        self.policy.route(route);
        self.gates.verdict(route, verdict);
    }

    /// Whether `check`, which `route` needs, keeps it shut (`blocks`), or only degrades it (`missing`).
    pub fn route_needs(&self, route: &str, check: &str, blocks: bool, missing: bool) {
        self.gates.blockers.with_label_values(&[route, check]).set(i64::from(blocks));
        self.gates.missing.with_label_values(&[route, check]).set(i64::from(missing));
    }

    /// An operator holds `route` at this verdict, or nobody does.
    pub fn forced(&self, route: &str, verdict: Option<&'static str>) {
        self.gates.forced(route, verdict);
    }

    /// A check ran.
    pub fn checked(&self, check: &str, kind: &'static str, up: bool, took: Duration, failure: Option<&'static str>) {
        self.checks.up.with_label_values(&[check, kind]).set(i64::from(up));
        self.checks.duration.with_label_values(&[check]).observe(took.as_secs_f64());
        if let Some(class) = failure {
            self.checks.failures.with_label_values(&[check, class]).inc();
        }
    }

    /// A check's next attempt may take `timeout`, and its breaker is open (half-open too) or closed.
    pub fn check_paced(&self, check: &str, timeout: Duration, open: bool) {
        self.checks.timeout.with_label_values(&[check]).set(timeout.as_secs_f64());
        self.checks.breaker_open.with_label_values(&[check]).set(i64::from(open));
        self.checks.stand_at_zero(check);
    }

    /// The breaker of a check opened.
    pub fn check_breaker_opened(&self, check: &str) {
        self.checks.breaker_opened.with_label_values(&[check]).inc();
    }

    /// A check that passed fails, or the other way about, after `rise` and `fall`.
    pub fn check_changed(&self, check: &str) {
        self.checks.changes.with_label_values(&[check]).inc();
    }

    /// A failed attempt of a check does not count.
    pub fn check_void(&self, check: &str) {
        self.checks.void.with_label_values(&[check]).inc();
    }

    /// A log line of this kind was left out of a flood.
    pub fn line_suppressed(&self, kind: &str) {
        self.suppressed_lines.with_label_values(&[kind]).inc();
    }

    /// The text exposition format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "failed to encode the metrics");
            String::new()
        })
    }
}

fn suppressed_lines(f: &Families) -> IntCounterVec {
    let family = f.counters("readygate_log_lines_suppressed_total", SUPPRESSED_HELP, &["line"]);
    floods::kinds().for_each(|kind| drop(family.with_label_values(&[kind])));
    family
}

/// Numbers that tests compare with what they saw themselves.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) refused: u64,
    pub(crate) imbalances: u64,
    pub(crate) held_bytes: i64,
    pub(crate) held_frames: i64,
}

#[cfg(test)]
impl Metrics {
    pub(crate) fn books(&self) -> Books {
        Books {
            received: self.frames.received.get(),
            delivered: self.frames.delivered.get(),
            refused: self.frames.refused.get(),
            imbalances: self.imbalances.get(),
            held_bytes: self.hold.bytes.get(),
            held_frames: self.hold.frames.get(),
        }
    }

    /// Sessions that have ended, whatever their outcome.
    pub(crate) fn outcomes(&self) -> u64 {
        use prometheus::core::Collector;
        let families = self.endings.outcomes.collect();
        families
            .iter()
            .flat_map(|family| family.get_metric())
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}

const BUILD_HELP: &str = "The running version; the value is always 1.";
const CLOSES_HELP: &str = "Close frames that readygate itself sent, by receiving side and code.";
const IMBALANCE_HELP: &str = "Sessions whose received frames are not delivered plus refused. Above 0 is a bug.";
const SUPPRESSED_HELP: &str =
    "Log lines on single sessions that were left out of a flood, by the state entered or the outcome.";
const CUTS_HELP: &str = "Sessions that were still there when the drain's time was nearly over, and were cut.";

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
