//! What is asked of whom, and how often.

use std::{fmt, path::PathBuf, time::Duration};

use http::HeaderName;
use secrecy::SecretString;

/// Host, port and whether TLS is spoken: what a dial needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS client settings; none means plain TCP.
    pub tls: Option<ClientTls>,
}

impl Target {
    /// `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// The same without the port that the scheme implies, as Host has it (RFC 9110 §7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        let implied = if self.tls.is_some() { 443 } else { 80 };
        if self.port == implied { self.bracketed() } else { self.address() }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// How a server's certificate is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of a private CA, trusted in place of the public roots.
    pub ca: Option<PathBuf>,
}

/// One test of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Label in metrics and answers: the dependency's name; `upstream`, or `upstream-2` and so on in a list.
    pub name: String,
    /// What is asked.
    pub kind: CheckKind,
    /// How often, how long, how many.
    pub pacing: Pacing,
}

/// What a check asks for; the URL's scheme chose it.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// A connection is taken (with `tls://` the TLS handshake too).
    Tcp(Target),
    /// A GET answers as expected.
    Http(HttpCheck),
    /// A handshake succeeds and a ping comes back.
    Ws(HttpCheck),
    /// PING is answered.
    Redis(RedisCheck),
    /// The start-up exchange, or a login and `SELECT 1`.
    Postgres(PostgresCheck),
    /// grpc.health.v1.Health/Check says SERVING.
    Grpc(GrpcCheck),
}

/// `redis://`, `rediss://`
#[derive(Clone, Debug)]
pub struct RedisCheck {
    /// Where to connect.
    pub target: Target,
    /// ACL user.
    pub user: Option<String>,
    /// For AUTH.
    pub password: Option<SecretString>,
    /// Selected before the PING.
    pub db: i64,
    /// `role = "primary"`: a replica does not pass.
    pub primary: bool,
}

/// `postgres://`, `postgresql://`
#[derive(Clone, Debug)]
pub struct PostgresCheck {
    /// Where to connect; its `tls` is there unless `sslmode` is `disable`.
    pub target: Target,
    /// `sslmode=prefer`: goes on in the clear where the server speaks no TLS. Otherwise TLS is required where the
    /// target has it.
    pub prefer_tls: bool,
    /// Role; libpq's default would be the system user, ours is `postgres`.
    pub user: String,
    /// With it a login and `SELECT 1`, without it the start-up exchange of pg_isready.
    pub password: Option<SecretString>,
    /// Database; the user's name where it is absent.
    pub database: String,
}

/// `grpc://`, `grpcs://`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCheck {
    /// Where to connect.
    pub target: Target,
    /// Service name; empty asks for the whole server.
    pub service: String,
}

impl CheckKind {
    /// The word in metrics and answers.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Ws(_) => "ws",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
            Self::Grpc(_) => "grpc",
        }
    }

    /// Whom it asks.
    #[must_use]
    pub fn target(&self) -> &Target {
        match self {
            Self::Tcp(target) => target,
            Self::Http(check) | Self::Ws(check) => &check.target,
            Self::Redis(check) => &check.target,
            Self::Postgres(check) => &check.target,
            Self::Grpc(check) => &check.target,
        }
    }

    /// The path that is asked for, without its query: what may be shown.
    #[must_use]
    pub fn shown_path(&self) -> Option<&str> {
        match self {
            Self::Http(asked) | Self::Ws(asked) => Some(asked.shown_path()),
            Self::Tcp(_) | Self::Redis(_) | Self::Postgres(_) | Self::Grpc(_) => None,
        }
    }
}

/// A request and what its answer must be. Its `Debug` leaves out the query, which may hold a token.
#[derive(Clone)]
pub struct HttpCheck {
    /// Where to connect.
    pub target: Target,
    /// Path and query.
    pub path: String,
    /// Accepted statuses; empty means any 2xx (for WebSockets it is not read).
    pub status: Vec<u16>,
    /// JSON pointers and the values they must have, all of them.
    pub json: Vec<(String, serde_json::Value)>,
    /// Text that the body must contain.
    pub text: Option<String>,
    /// Sent with the request; values never printed.
    pub headers: Vec<(HeaderName, SecretString)>,
}

impl HttpCheck {
    /// Any 2xx on `path`, and nothing more.
    #[must_use]
    pub fn new(target: Target, path: String) -> Self {
        Self { target, path, status: Vec::new(), json: Vec::new(), text: None, headers: Vec::new() }
    }

    /// The path without its query: what may be shown.
    #[must_use]
    pub fn shown_path(&self) -> &str {
        self.path.split_once('?').map_or(self.path.as_str(), |(path, _)| path)
    }
}

impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("HttpCheck");
        fields.field("target", &self.target).field("path", &self.shown_path()).field("status", &self.status);
        fields.field("json", &self.json).field("text", &self.text).field("headers", &self.headers).finish()
    }
}

/// The rhythm of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Between checks while passing.
    pub interval: Duration,
    /// For one attempt.
    pub timeout: Duration,
    /// Between attempts while failing.
    pub backoff: Backoff,
    /// Passes in a row that make a failing check passing.
    pub rise: u32,
    /// Failures in a row that make a passing check failing.
    pub fall: u32,
    /// When to pause.
    pub breaker: Breaker,
}

/// `probe.breaker`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row before the pause.
    pub attempts: u32,
    /// The pause before one trial.
    pub cooldown: Duration,
}

/// Exponential backoff with full jitter, after
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first pause.
    pub initial: Duration,
    /// Ceiling of every pause.
    pub max: Duration,
}

impl Backoff {
    /// The pause after `failures` failures in a row (1 or more): `fraction` (0 to 1, chosen at random by the
    /// caller) of `initial × 2^(failures − 1)`, at most `max`.
    #[must_use]
    pub fn pause(&self, failures: u32, fraction: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.initial.saturating_mul(1 << doublings).min(self.max);
        ceiling.mul_f64(fraction.clamp(0.0, 1.0))
    }
}
