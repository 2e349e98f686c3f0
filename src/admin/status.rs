//! What the admin port answers, as plain data: snapshots of the gate, the sessions and the process.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use super::{View, reload};
use crate::{
    config::{self, Config},
    gate::{self, Verdict},
    session::registry,
    telemetry::metrics::Figures,
};

/// The state in which a session waits for the gate.
const HELD: &str = "held";

/// `GET /gate`. Fields may be added; those that stand here stay.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct GateStatus {
    verdict: &'static str,
    routes: Vec<Route>,
    checks: Vec<Check>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Route {
    path: String,
    verdict: &'static str,
    since: String,
    blockers: Vec<Blocker>,
    /// Optional dependencies that fail.
    missing: Vec<Blocker>,
    /// The operator's.
    hand: Option<Hand>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Hand {
    verdict: &'static str,
    reason: String,
    since: String,
    /// None: until it is taken off.
    until: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Blocker {
    check: String,
    class: &'static str,
    reason: String,
    hint: Option<&'static str>,
    since: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Check {
    name: String,
    kind: &'static str,
    required: bool,
    state: &'static str,
    class: Option<&'static str>,
    reason: Option<String>,
    hint: Option<&'static str>,
    suspicion: Option<String>,
    latency_ms: Option<f64>,
    timeout_ms: f64,
    last_checked: Option<String>,
    /// `closed`, `open` or `half-open`.
    breaker: &'static str,
}

/// `GET /status`
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Status {
    version: &'static str,
    bound: bool,
    #[serde(flatten)]
    gate: GateStatus,
    /// The last changes of verdicts, the latest first.
    changes: Vec<Change>,
    sessions: BTreeMap<&'static str, i64>,
    /// Ended sessions.
    outcomes: BTreeMap<String, u64>,
    ledger: Ledger,
    hold: Hold,
    config: Settings,
}

/// The configuration in force, and how it came to be.
#[derive(Debug, PartialEq, Serialize)]
struct Settings {
    #[serde(flatten)]
    standing: Option<reload::Standing>,
    #[serde(flatten)]
    summary: Summary,
}

/// A status, and when it was taken.
#[derive(Debug, Serialize)]
pub(super) struct Dated<'a> {
    time: String,
    uptime_seconds: u64,
    #[serde(flatten)]
    status: &'a Status,
}

#[derive(Debug, PartialEq, Serialize)]
struct Change {
    at: String,
    route: String,
    from: &'static str,
    to: &'static str,
    because: Option<Blocker>,
}

/// Data frames of sessions that ended.
#[derive(Debug, PartialEq, Serialize)]
struct Ledger {
    received: u64,
    delivered: u64,
    refused: u64,
    imbalances: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Hold {
    bytes: usize,
    bytes_limit: usize,
    sessions: usize,
    sessions_limit: usize,
}

/// The configuration without what may hide a secret: headers, paths and queries of checks are left out.
#[derive(Debug, PartialEq, Serialize)]
struct Summary {
    listen: String,
    admin: String,
    workers: usize,
    tls: bool,
    upstream: String,
    /// Where the process runs, and by how much that stretches the working timeouts of checks.
    profile: &'static str,
    patience: f64,
    check_is_guess: bool,
    accept: String,
    hold_timeout_ms: f64,
    on_timeout: String,
    release_concurrency: usize,
    connection_bytes: usize,
    connection_frames: usize,
    when_full: String,
    when_shut: String,
    drain_timeout_ms: f64,
}

/// One line of `GET /sessions`.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    id: u64,
    path: String,
    peer: String,
    state: &'static str,
    reason: String,
    arrived: String,
    age_ms: f64,
    held_bytes: usize,
    held_frames: usize,
}

/// `GET /sessions/{id}`: why is this client waiting?
#[derive(Debug, Serialize)]
pub(super) struct Timeline {
    #[serde(flatten)]
    session: Session,
    steps: Vec<Step>,
    /// What the session waits for, while it is held.
    waiting_for: Vec<Blocker>,
}

#[derive(Debug, Serialize)]
struct Step {
    state: &'static str,
    reason: String,
    after_ms: f64,
}

impl GateStatus {
    /// The gate as machines read it.
    pub(super) fn new(snapshot: gate::Snapshot) -> Self {
        Self {
            verdict: snapshot.verdict.label(),
            routes: snapshot.routes.into_iter().map(Route::from).collect(),
            checks: snapshot.checks.into_iter().map(Check::from).collect(),
        }
    }
}

impl Status {
    /// Everything at this moment.
    pub(super) fn new(view: &View) -> Self {
        let (bytes_limit, sessions_limit) = view.budget.limits();
        let Figures { received, delivered, refused, imbalances, outcomes } = view.metrics.figures();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            bound: view.is_bound(),
            gate: GateStatus::new(view.gate().snapshot()),
            changes: view.gate().chronicle().last().into_iter().map(Change::from).collect(),
            sessions: view.metrics.sessions().into_iter().collect(),
            outcomes,
            ledger: Ledger { received, delivered, refused, imbalances },
            hold: Hold { bytes: view.budget.bytes(), bytes_limit, sessions: view.budget.sessions(), sessions_limit },
            config: Settings { standing: reload::standing(view), summary: Summary::from(&*view.config()) },
        }
    }

    /// The status of a process that `started` then, taken at this moment.
    pub(super) fn dated(&self, started: Instant) -> Dated<'_> {
        Dated { time: time(SystemTime::now()), uptime_seconds: started.elapsed().as_secs(), status: self }
    }
}

impl From<gate::Change> for Change {
    fn from(change: gate::Change) -> Self {
        Self {
            at: time(change.at),
            route: change.route,
            from: change.from,
            to: change.to,
            because: change.because.map(Blocker::from),
        }
    }
}

impl From<&Config> for Summary {
    fn from(config: &Config) -> Self {
        Self {
            listen: config.server.listen.to_string(),
            admin: config.admin.listen.to_string(),
            workers: config.server.workers.get(),
            tls: config.server.tls.is_some(),
            upstream: address(&config.upstream.target),
            profile: config.profile.place.label(),
            patience: config.profile.patience,
            check_is_guess: config.upstream.check_is_guess,
            accept: word(config.gate.accept),
            hold_timeout_ms: millis(config.gate.hold_timeout),
            on_timeout: word(config.gate.on_timeout),
            release_concurrency: config.gate.release_concurrency.get(),
            connection_bytes: config.hold.connection_bytes,
            connection_frames: config.hold.connection_frames,
            when_full: word(config.hold.when_full),
            when_shut: word(config.http.when_shut),
            drain_timeout_ms: millis(config.drain.timeout),
        }
    }
}

impl From<gate::RouteView> for Route {
    fn from(route: gate::RouteView) -> Self {
        let objects = |blockers: &[gate::Blocker]| blockers.iter().cloned().map(Blocker::from).collect();
        Self {
            verdict: route.verdict.label(),
            since: time(route.since),
            blockers: objects(route.verdict.blockers()),
            missing: objects(route.verdict.missing()),
            path: route.path,
            hand: route.hand.map(Hand::from),
        }
    }
}

impl From<gate::Hand> for Hand {
    fn from(hand: gate::Hand) -> Self {
        Self {
            verdict: hand.forced.label(),
            reason: hand.reason.as_str().to_owned(),
            since: time(hand.since),
            until: hand.until.map(time),
        }
    }
}

impl From<gate::Blocker> for Blocker {
    fn from(blocker: gate::Blocker) -> Self {
        Self {
            check: blocker.check,
            class: blocker.class.label(),
            reason: blocker.reason,
            hint: blocker.hint,
            since: time(blocker.since),
        }
    }
}

impl From<gate::CheckView> for Check {
    fn from(check: gate::CheckView) -> Self {
        Self {
            name: check.name,
            kind: check.kind,
            required: check.required,
            state: check.state.label(),
            class: check.class.map(gate::Class::label),
            reason: check.reason,
            hint: check.hint,
            suspicion: check.suspicion,
            latency_ms: check.latency.map(millis),
            timeout_ms: millis(check.timeout),
            last_checked: check.last_checked.map(time),
            breaker: check.breaker.label(),
        }
    }
}

impl From<registry::View> for Session {
    fn from(view: registry::View) -> Self {
        let (state, reason) = view.steps.last().map_or(("", ""), |step| (step.state, &*step.reason));
        Self {
            id: view.id,
            state,
            reason: reason.to_owned(),
            path: view.path,
            peer: view.peer.to_string(),
            arrived: time(view.arrived_at),
            age_ms: millis(view.age),
            held_bytes: view.held_bytes,
            held_frames: view.held_frames,
        }
    }
}

impl Session {
    /// The state, or the outcome.
    pub(super) fn state(&self) -> &'static str {
        self.state
    }
}

impl Timeline {
    /// One session under the present `verdict`.
    pub(super) fn new(view: registry::View, verdict: &Verdict) -> Self {
        let steps = view.steps.iter().map(Step::from).collect();
        let session = Session::from(view);
        let blockers = if session.state == HELD { verdict.blockers() } else { &[] };
        Self { session, steps, waiting_for: blockers.iter().cloned().map(Blocker::from).collect() }
    }
}

impl From<&registry::Step> for Step {
    fn from(step: &registry::Step) -> Self {
        Self { state: step.state, reason: step.reason.to_string(), after_ms: millis(step.after()) }
    }
}

/// RFC 3339 in UTC, with milliseconds.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Milliseconds to the microsecond, which is all that a reader of a check's latency can use.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Host and port as in a URL; with the scheme, so that plain and TLS are told apart.
fn address(target: &config::Target) -> String {
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", target.address())
}

/// A plain variant as the configuration spells it.
fn word(variant: impl std::fmt::Debug) -> String {
    format!("{variant:?}").to_lowercase()
}
