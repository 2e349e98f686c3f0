//! The configuration as TOML says it: every key with its default, nothing decided.
//!
//! The doc comments here are what `readygate schema` prints and editors show.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::{Deserialize, Serialize};

use super::{
    LogFormat, WaitFor, WhenShut,
    raw_check::{Checks, DependencyCheck},
    raw_policy::{Gate, Hold, Route},
    raw_probe::{Backoff, Probe},
    units::{Size, Time},
};

/// The JSON schema of proxy.toml, without references.
#[must_use]
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let settings = settings.with_transform(RecursiveTransform(without_null_default));
    settings.into_generator().into_root_schema_for::<RawConfig>()
}

/// Null stands for an absent key, which TOML cannot write.
fn without_null_default(schema: &mut Schema) {
    if schema.get("default").is_some_and(serde_json::Value::is_null) {
        schema.remove("default");
    }
}

/// Configuration of readygate (proxy.toml).
///
/// Only upstream.url is required. Any key can be set by environment: READYGATE_GATE__HOLD_TIMEOUT=10s. ${NAME} in a
/// string is replaced by that environment variable.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, title = "proxy.toml")]
pub(super) struct RawConfig {
    /// The public listener.
    pub(super) server: Server,
    /// The private listener: probes, metrics, status.
    pub(super) admin: Admin,
    /// The backend, and how its readiness is observed.
    pub(super) upstream: Upstream,
    /// What the backend needs, by name: letters, digits, "-", "_" and ".".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) dependencies: BTreeMap<String, Dependency>,
    /// The rhythm of every check; a check's own table may override all but profile.
    pub(super) probe: Probe,
    /// When and for whom the gate opens.
    pub(super) gate: Gate,
    /// How much may be held for clients that wait.
    pub(super) hold: Hold,
    /// Policies by path; the first that matches is in force. Everything else follows the tables gate and hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) routes: Vec<Route>,
    /// Requests that are not WebSockets.
    pub(super) http: Http,
    /// How the process goes down.
    pub(super) drain: Drain,
    /// What is written to standard output.
    pub(super) log: Log,
    /// Mechanisms, each on its own switch.
    pub(super) features: Features,
    /// What waiting clients are told, where features.client_notices is on.
    pub(super) notices: Notices,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Server {
    /// IP address and port where clients connect. The environment variable PORT, when set, replaces the port.
    pub(super) listen: String,
    /// Worker threads; 0 means one per CPU.
    pub(super) workers: u32,
    /// Time for a whole request head, from its first byte or the end of the request before; then 408.
    pub(super) header_timeout: Time,
    /// Longest request head, 8KiB to 1MiB; a longer one gets 431.
    pub(super) header_bytes: Size,
    /// Certificate and key with which readygate itself ends TLS; absent means plain TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<ServerTls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".into(),
            workers: 0,
            header_timeout: Time::secs(10),
            header_bytes: Size::kib(32),
            tls: None,
        }
    }
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ServerTls {
    /// PEM file: the certificate chain, leaf first.
    pub(super) cert: Option<PathBuf>,
    /// PEM file: the private key that belongs to the leaf.
    pub(super) key: Option<PathBuf>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Admin {
    /// IP address and port of probes, metrics and the status page. Platform probes reach it only at 0.0.0.0.
    pub(super) listen: String,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9090".into() }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Upstream {
    /// The backend: http://host:port or https://host:port, without a path. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// What must pass before the gate opens: a path on the upstream, a URL (http, https, tcp, tls, ws, wss, redis,
    /// rediss, postgres, postgresql, grpc, grpcs), a table, or a list of these, all of which must pass. Absent means
    /// that a TCP connect is taken for readiness: a guess.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) check: Option<Checks>,
    /// Time for one dial: name, TCP and TLS.
    pub(super) connect_timeout: Time,
    /// Time from the handshake request to the upstream's answer.
    pub(super) handshake_timeout: Time,
    /// Pause between dials while nothing has been sent, doubling from initial to max, with full jitter.
    pub(super) backoff: Backoff,
    /// PEM file of a private CA, trusted in place of the public roots; only with https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: None,
            check: None,
            connect_timeout: Time::secs(2),
            handshake_timeout: Time::secs(30),
            backoff: Backoff::default(),
            ca: None,
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Dependency {
    /// A URL whose scheme is the kind of check, or a table with url. Required.
    pub(super) check: Option<DependencyCheck>,
    /// Its absence shuts the gate. Otherwise it only degrades.
    pub(super) required: bool,
}

impl Default for Dependency {
    fn default() -> Self {
        Self { check: None, required: true }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Http {
    /// What becomes of a plain HTTP request while the gate is shut.
    pub(super) when_shut: WhenShut,
    /// What a held request waits for.
    pub(super) wait_for: WaitFor,
    /// From the moment a request goes to the upstream to the head of its answer; then 504. Bodies that stream have no limit.
    pub(super) response_timeout: Time,
}

impl Default for Http {
    fn default() -> Self {
        Self { when_shut: WhenShut::Hold, wait_for: WaitFor::Upstream, response_timeout: Time::secs(3600) }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Drain {
    /// From the signal to the exit.
    pub(super) timeout: Time,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: Time::millis(8500) }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Log {
    /// How a line looks.
    pub(super) format: LogFormat,
    /// Least severe level written.
    pub(super) level: LogLevel,
    /// A line at "info" for each plain HTTP request that was answered.
    pub(super) requests: bool,
    /// How many lines on single sessions are written of each kind (a state entered, an outcome). How many were left out
    /// is told once a second.
    pub(super) flood: Flood,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: LogLevel::Info, requests: false, flood: Flood::default() }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Flood {
    /// Lines of a kind that may come at once.
    pub(super) burst: u32,
    /// Lines of a kind a second after that.
    pub(super) per_second: u32,
}

impl Default for Flood {
    fn default() -> Self {
        Self { burst: 1000, per_second: 100 }
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Features {
    /// Dependencies are checked. Off, the upstream alone decides.
    pub(super) dependency_checks: bool,
    /// Working timeouts follow measured latency. Off, they are probe.timeout.
    pub(super) adaptive_timing: bool,
    /// Clients may be answered 101 by readygate itself. Off, the backend answers every handshake.
    pub(super) early_accept: bool,
    /// Without an optional dependency the gate opens all the same. Off, every dependency is required.
    pub(super) degraded_mode: bool,
    /// Waiting clients are told so by messages of readygate's own, see the table notices. Off, a client sees only the
    /// backend's bytes, and pings, pongs and Closes.
    pub(super) client_notices: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            dependency_checks: true,
            adaptive_timing: true,
            early_accept: true,
            degraded_mode: true,
            client_notices: false,
        }
    }
}

/// A template for each kind of notice: {state}, {reason}, {waited_ms}, {estimate_ms} and {retry_after_ms} are filled in.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Notices {
    /// Right after an early 101. Absent means a JSON object, "" that nothing is sent; likewise below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<String>,
    /// When a client passes while something is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) degraded: Option<String>,
    /// When a client that waited passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready: Option<String>,
    /// Before a waiting client is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) closing: Option<String>,
}
