//! What the operator asked for, validated: every value here is usable as it stands.
//!
//! Two shapes of one configuration: `raw` is what TOML says (strings, options, nothing decided), [`Config`] is
//! what the program runs on. In between:
//!
//! - `document` reads the file with its places, replaces `${NAME}`, and lays the environment over it;
//! - `load` gives it the shape of `raw`, and goes on past wrong types and unknown keys;
//! - `check` leads to [`Config`] and reports every [`Problem`] at once, each with its place and what would be right;
//! - `glimpse` reads one value, or its place, and judges nothing else.
//!
//! `diff` says which keys differ between two readings, `files` which other files a configuration names, `equal` when two
//! checks ask the same, `standing` what is told of the configuration in force.
//!
//! `checks`, `confirm`, `policy`, `rollout` and `notices` are its parts; `units` reads durations and sizes, `url` URLs, `platform` what the machine
//! tells, `profile` what the platform's variables tell. Nothing reads the process's environment but
//! [`Environment::of_process`].

mod check;
pub mod checks;
mod confirm;
pub mod diff;
mod document;
mod environment;
mod equal;
pub mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod glimpse;
mod key_path;
mod known_keys;
mod load;
pub mod notices;
mod platform;
pub mod policy;
mod problem;
mod profile;
mod raw;
mod raw_check;
mod raw_confirm;
mod raw_policy;
mod raw_probe;
mod raw_rollout;
pub mod rollout;
pub mod standing;
#[cfg(test)]
mod tests;
mod units;
mod url;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use checks::{
    Backoff, Breaker, Check, CheckKind, ClientTls, GrpcCheck, HttpCheck, Pacing, PostgresCheck, RedisCheck, Target,
};
pub use confirm::Confirm;
pub use diff::{Change, Effect, Settings};
pub use environment::Environment;
pub use load::Loaded;
pub use notices::{Notices, Piece, Placeholder, Template};
pub use policy::{Accept, AllowedOrigins, Gate, Hold, OnTimeout, PathPattern, Route, WhenFull};
pub use problem::{Place, Problem, Problems};
pub use profile::{Platform, Profile};
pub use raw::schema;
pub use rollout::{Mode, Rollout, RolloutKey};
pub use standing::{Refusal, ReloadOutcome, Standing};

/// A whole validated configuration. A session keeps the one it began with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public listener.
    pub server: Server,
    /// The private listener: probes, metrics, status.
    pub admin: Admin,
    /// The backend.
    pub upstream: Upstream,
    /// When and for whom the gate opens.
    pub gate: Gate,
    /// How much may be held.
    pub hold: Hold,
    /// Requests that are not WebSockets.
    pub http: Http,
    /// How the process goes down.
    pub drain: Drain,
    /// What is written to standard output.
    pub log: Log,
    /// What the backend needs, in the order of the file.
    pub dependencies: Vec<Dependency>,
    /// Policies by path; the first match wins. Never empty: the last one is for everything else and has the path `*`.
    pub routes: Vec<Route>,
    /// Mechanisms, each on its own switch.
    pub features: Features,
    /// What waiting clients are told.
    pub notices: Notices,
    /// Where the process runs, and how patient that makes it.
    pub profile: Profile,
}

/// `[dependencies.NAME]`
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Its check; the check's name is the dependency's.
    pub check: Check,
    /// Its absence shuts the gate; otherwise it only degrades.
    pub required: bool,
}

/// `[features]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Dependencies are checked; off, the upstream alone decides.
    pub dependency_checks: bool,
    /// Working timeouts follow measured latency; off, they are `probe.timeout`.
    pub adaptive_timing: bool,
    /// Clients may be accepted early; off, every one is deferred.
    pub early_accept: bool,
    /// An optional dependency degrades the gate; off, every dependency is required.
    pub degraded_mode: bool,
    /// Waiting clients get messages of readygate's own.
    pub client_notices: bool,
}

impl Config {
    /// The place in [`Config::routes`] of the route for `path` (without its query).
    #[must_use]
    pub fn route_of(&self, path: &str) -> usize {
        self.routes.iter().position(|route| route.path.matches(path)).unwrap_or(self.routes.len().saturating_sub(1))
    }
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where clients connect; `PORT` has been applied.
    pub listen: SocketAddr,
    /// Worker threads of the runtime.
    pub workers: NonZeroUsize,
    /// Time for a whole request head, after which the answer is 408.
    pub header_timeout: Duration,
    /// Bytes of a request head, above which the answer is 431.
    pub header_bytes: usize,
    /// Certificate and key, when readygate itself ends TLS.
    pub tls: Option<ServerTls>,
}

/// PEM files of the public listener.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where probes and scrapers connect.
    pub listen: SocketAddr,
}

/// `[upstream]`
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The backend's address, from `url`.
    pub target: Target,
    /// All must pass before the gate opens. Never empty: without `check` it is a TCP connect.
    pub checks: Vec<Check>,
    /// True where `check` was absent and a bound port stands for readiness.
    pub check_is_guess: bool,
    /// Time for TCP and TLS.
    pub connect_timeout: Duration,
    /// Time from the handshake request to the upstream's answer.
    pub handshake_timeout: Duration,
    /// Pause between dials while nothing has been sent.
    pub backoff: Backoff,
}

/// `[http]`
#[derive(Clone, Copy, Debug)]
pub struct Http {
    /// What becomes of a request while the gate is shut.
    pub when_shut: WhenShut,
    /// What a request waits for.
    pub wait_for: WaitFor,
    /// From the moment it goes to the upstream to the head of its answer.
    pub response_timeout: Duration,
}

/// `http.wait_for`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// The backend alone: what needs no dependency is answered without it.
    Upstream,
    /// The backend and what the request's route depends on.
    All,
}

/// `http.when_shut`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenShut {
    /// Wait for the gate, at most `gate.hold_timeout`.
    Hold,
    /// Forward all the same.
    Pass,
    /// 503 with Retry-After.
    Refuse,
}

/// `[drain]`
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// From the signal to the exit.
    pub timeout: Duration,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Least severe level written.
    pub level: tracing::Level,
    /// Plain requests have a line.
    pub requests: bool,
    /// How much of a flood is written.
    pub flood: Flood,
}

/// `log.flood`: of the lines on single sessions, for each kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Lines at once.
    pub burst: u32,
    /// Lines a second after that.
    pub per_second: u32,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
