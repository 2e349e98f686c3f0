//! Families whose labels come from closed sets, with their children resolved.

use std::{array, sync::OnceLock};

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::Families;

/// The states whose gauge and histogram exist from the start.
pub const STATES: [&str; 7] = ["arrived", "held", "dialing", "confirming", "replaying", "open", "closing"];

/// How a session can end, in the words of its outcome.
pub(super) const OUTCOMES: [&str; 20] = [
    "abandoned",
    "bad_handshake",
    "client_gone",
    "client_silent",
    "completed",
    "confirm_timeout",
    "drained",
    "frame_timeout",
    "hold_full",
    "hold_timeout",
    "internal",
    "invalid_payload",
    "protocol_error",
    "too_big",
    "too_many",
    "unconfirmed",
    "upstream_lost",
    "upstream_refused",
    "upstream_timeout",
    "upstream_unreachable",
];

/// Why a session is not accepted early.
const DEFERRALS: [&str; 4] = ["origin", "policy", "subprotocol", "switched_off"];

/// The verdicts of a route; exactly one of them is 1.
pub(super) const VERDICTS: [&str; 4] = ["open", "degraded", "shut", "draining"];

/// What an operator can force on a route; at most one of them is 1.
pub(super) const FORCED: [&str; 2] = ["open", "shut"];

/// What a failed check is called.
pub(super) const CLASSES: [&str; 8] =
    ["auth", "dns", "not-ready", "protocol", "refused", "timeout", "tls", "unexpected"];

/// Close codes that are counted each by itself: those of RFC 6455 section 7.4.1 and of the IANA registry that may
/// stand on the wire. All others share one label, as a peer may choose any of 4000 numbers.
const CLOSE_CODES: [u16; 14] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3003];

/// The label of a code outside its closed set.
const OTHER: &str = "other";

/// Seconds. A stage can be a handshake on loopback (1 ms) or a hold through a slow boot; Cloud Run ends a request
/// after 300 s unless told otherwise.
const STAGE_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Seconds. A release begins when the gate opens; past 10 s it is a fault whatever the number.
const RELEASE_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds. With the gate open a session goes on in well under a millisecond; held, it waits as long as a stage can.
const CONNECT_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Seconds. A check on loopback takes well under a millisecond; timeouts are seconds.
const CHECK_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The least HTTP status, RFC 9110 section 15.
const FIRST_STATUS: u16 = 100;
/// How many HTTP statuses there are: 100 to 599.
const STATUSES: usize = 500;

#[derive(Debug)]
pub(super) struct States {
    sessions: IntGaugeVec,
    spent: HistogramVec,
    known: [State; STATES.len()],
}

#[derive(Debug)]
struct State {
    name: &'static str,
    sessions: IntGauge,
    spent: Histogram,
}

impl States {
    pub(super) fn new(f: &Families) -> Self {
        let help = "Time a session spent in a state, observed when it leaves.";
        let sessions = f.gauges("readygate_sessions", "Living sessions by state.", &["state"]);
        let spent = f.histograms("readygate_stage_duration_seconds", help, &["stage"], STAGE_BUCKETS);
        let known = STATES.map(|name| State {
            name,
            sessions: sessions.with_label_values(&[name]),
            spent: spent.with_label_values(&[name]),
        });
        Self { sessions, spent, known }
    }

    /// In the order of [`STATES`].
    pub(super) fn now(&self) -> [(&'static str, i64); STATES.len()] {
        self.known.each_ref().map(|state| (state.name, state.sessions.get()))
    }

    fn known(&self, state: &str) -> Option<&State> {
        self.known.iter().find(|known| known.name == state)
    }

    /// A session came to `state`. One outside [`STATES`] is looked up: slower, and never lost.
    pub(super) fn entered(&self, state: &str) {
        match self.known(state) {
            Some(known) => known.sessions.inc(),
            None => self.sessions.with_label_values(&[state]).inc(),
        }
    }

    /// A session left `state` after so many seconds.
    pub(super) fn left(&self, state: &str, spent: f64) {
        if let Some(known) = self.known(state) {
            known.sessions.dec();
            known.spent.observe(spent);
            return;
        }
        self.sessions.with_label_values(&[state]).dec();
        self.spent.with_label_values(&[state]).observe(spent);
    }
}

/// How sessions end, and how they begin where it is not the usual way.
#[derive(Debug)]
pub(super) struct Endings {
    pub(super) outcomes: IntCounterVec,
    pub(super) deferred: IntCounterVec,
}

impl Endings {
    pub(super) fn new(f: &Families) -> Self {
        let deferred = "Sessions that were not accepted early, by reason.";
        let outcomes = f.counters("readygate_sessions_total", "Ended sessions by outcome.", &["outcome"]);
        let deferred = f.counters("readygate_sessions_deferred_total", deferred, &["reason"]);
        OUTCOMES.iter().for_each(|outcome| drop(outcomes.with_label_values(&[outcome])));
        DEFERRALS.iter().for_each(|reason| drop(deferred.with_label_values(&[reason])));
        Self { outcomes, deferred }
    }
}

/// Times that belong to no stage.
#[derive(Debug)]
pub(super) struct Latencies {
    pub(super) release: Histogram,
    pub(super) connect_added: Histogram,
    pub(super) http: Histogram,
}

impl Latencies {
    pub(super) fn new(f: &Families) -> Self {
        let release = "From the opening of the gate to the delivery of a session's last held byte.";
        let added = "From a session's arrival to the start of the dial that succeeded: the wait beyond the backend's own handshake.";
        let http = "From the head of a request that is not answered 101 to the head of its answer, time held included.";
        Self {
            release: f.histogram("readygate_release_latency_seconds", release, RELEASE_BUCKETS),
            connect_added: f.histogram("readygate_connect_added_seconds", added, CONNECT_BUCKETS),
            http: f.histogram("readygate_http_request_duration_seconds", http, STAGE_BUCKETS),
        }
    }
}

/// Each route's verdict, and the checks that it comes from.
#[derive(Debug)]
pub(super) struct Gates {
    pub(super) verdicts: IntGaugeVec,
    pub(super) forced: IntGaugeVec,
    pub(super) blockers: IntGaugeVec,
    pub(super) missing: IntGaugeVec,
}

impl Gates {
    pub(super) fn new(f: &Families) -> Self {
        let verdict = "The verdict of a route. 1 for the one that holds, 0 for the others.";
        let forced = "Whether an operator holds a route at this verdict, whatever the checks say.";
        let blocker = "Whether a check that a route needs keeps it shut.";
        let missing = "Whether an optional check of a route fails while the route is degraded.";
        Self {
            verdicts: f.gauges("readygate_gate_verdict", verdict, &["route", "verdict"]),
            forced: f.gauges("readygate_gate_forced", forced, &["route", "verdict"]),
            blockers: f.gauges("readygate_gate_blocker", blocker, &["route", "check"]),
            missing: f.gauges("readygate_gate_missing", missing, &["route", "check"]),
        }
    }

    pub(super) fn verdict(&self, route: &str, verdict: &str) {
        for name in VERDICTS {
            self.verdicts.with_label_values(&[route, name]).set(i64::from(name == verdict));
        }
    }

    pub(super) fn forced(&self, route: &str, verdict: Option<&str>) {
        for name in FORCED {
            self.forced.with_label_values(&[route, name]).set(i64::from(Some(name) == verdict));
        }
    }
}

#[derive(Debug)]
pub(super) struct Frames {
    pub(super) received: IntCounter,
    pub(super) delivered: IntCounter,
    pub(super) refused: IntCounter,
}

impl Frames {
    pub(super) fn new(f: &Families) -> Self {
        let help = "Data frames taken from clients before their session was open, by what became of them.";
        let fates = f.counters("readygate_frames_total", help, &["fate"]);
        Self {
            received: fates.with_label_values(&["received"]),
            delivered: fates.with_label_values(&["delivered"]),
            refused: fates.with_label_values(&["refused"]),
        }
    }
}

#[derive(Debug)]
pub(super) struct Closes {
    known: [IntCounter; CLOSE_CODES.len()],
    other: IntCounter,
}

impl Closes {
    pub(super) fn new(side: &str, family: &IntCounterVec) -> Self {
        let child = |code: &str| family.with_label_values(&[side, code]);
        Self { known: CLOSE_CODES.map(|code| child(&code.to_string())), other: child(OTHER) }
    }

    pub(super) fn count(&self, code: u16) {
        let place = CLOSE_CODES.iter().position(|known| *known == code);
        place.and_then(|place| self.known.get(place)).unwrap_or(&self.other).inc();
    }
}

/// Each status is resolved when it is first answered: 500 series of zero would say nothing.
#[derive(Debug)]
pub(super) struct Statuses {
    family: IntCounterVec,
    resolved: [OnceLock<IntCounter>; STATUSES],
    other: OnceLock<IntCounter>,
}

impl Statuses {
    pub(super) fn new(f: &Families) -> Self {
        let help = "Answered HTTP requests, by status: plain ones, and WebSocket handshakes that did not get a 101.";
        let family = f.counters("readygate_http_requests_total", help, &["code"]);
        Self { family, resolved: array::from_fn(|_| OnceLock::new()), other: OnceLock::new() }
    }

    pub(super) fn child(&self, code: u16) -> &IntCounter {
        let place = code.checked_sub(FIRST_STATUS).and_then(|place| self.resolved.get(usize::from(place)));
        match place {
            Some(child) => child.get_or_init(|| self.family.with_label_values(&[&code.to_string()])),
            None => self.other.get_or_init(|| self.family.with_label_values(&[OTHER])),
        }
    }
}

#[derive(Debug)]
pub(super) struct Checks {
    pub(super) up: IntGaugeVec,
    pub(super) duration: HistogramVec,
    pub(super) failures: IntCounterVec,
    pub(super) timeout: GaugeVec,
    pub(super) breaker_open: IntGaugeVec,
    pub(super) breaker_opened: IntCounterVec,
    pub(super) void: IntCounterVec,
    pub(super) changes: IntCounterVec,
}

impl Checks {
    pub(super) fn new(f: &Families) -> Self {
        let up = "Whether the last attempt of a check passed (1) or failed (0).";
        let duration = "Time of one attempt of a check.";
        let failures = "Failed attempts of a check by class of failure.";
        let timeout = "How long the next attempt of a check may take.";
        let breaker_open = "Whether the breaker of a check is open (1, half-open too) or closed (0).";
        let breaker_opened = "How often the breaker of a check opened.";
        let changes = "How often a check went from passing to failing or back, after rise and fall.";
        let void = "Failed attempts that do not count: the process was stopped meanwhile, or out of file descriptors.";
        Self {
            up: f.gauges("readygate_check_up", up, &["check", "kind"]),
            duration: f.histograms("readygate_check_duration_seconds", duration, &["check"], CHECK_BUCKETS),
            failures: f.counters("readygate_check_failures_total", failures, &["check", "class"]),
            timeout: f.float_gauges("readygate_check_timeout_seconds", timeout, &["check"]),
            breaker_open: f.gauges("readygate_check_breaker_open", breaker_open, &["check"]),
            breaker_opened: f.counters("readygate_check_breaker_opened_total", breaker_opened, &["check"]),
            void: f.counters("readygate_check_void_total", void, &["check"]),
            changes: f.counters("readygate_check_changes_total", changes, &["check"]),
        }
    }

    /// The counters of `check` exist before there is anything to count, so that the first increase can be seen.
    pub(super) fn stand_at_zero(&self, check: &str) {
        for family in [&self.breaker_opened, &self.void, &self.changes] {
            family.with_label_values(&[check]);
        }
        for class in CLASSES {
            self.failures.with_label_values(&[check, class]);
        }
    }
}
