//! Asks the backend whether it is ready: one [`Probe`] per check, run for ever by [`run::run`], which reports to the
//! gate.

#[cfg(test)]
mod bench;
mod breaker;
#[cfg(test)]
mod fixture;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grpc;
mod http;
mod latency;
mod lessons;
mod postgres;
mod redis;
pub mod run;
#[cfg(test)]
mod run_tests;
mod schedule;
#[cfg(test)]
mod stall_tests;
mod tcp;
mod ws;

use std::{fmt, future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, timeout};

pub use self::{latency::Timing, lessons::Lessons};
use crate::{
    config,
    dial::{DialError, DialFault},
    gate::{Class, Failure},
};

/// What identifies readygate in the logs of those it asks.
const USER_AGENT: &str = concat!("readygate/", env!("CARGO_PKG_VERSION"));

/// Most characters of a server's message that a reason shows: the longest of the known ones fit.
const SHOWN_MESSAGE: usize = 160;

/// A run of a [`Probe`].
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// One way to ask one target. It sets no time limit of its own: whoever runs it does.
pub trait Probe: Send + Sync {
    /// `tcp`, `http`, `ws`, `redis`, `postgres` or `grpc`: the metric label.
    fn kind(&self) -> &'static str;

    /// Asks once, and ends the connection cleanly.
    fn check(&self) -> Checking<'_>;
}

/// A check that can never run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The TLS settings are of no use.
    Dial(DialError),
    /// The path is none.
    Path(String),
    /// The named header's value cannot be sent.
    Header(String),
}

/// The probe for `check`. A CA file is read here.
///
/// # Errors
/// A [`ProbeError`] where the check's settings cannot be used.
pub fn build(check: &config::Check) -> Result<Box<dyn Probe>, ProbeError> {
    let limit = check.pacing.timeout;
    match &check.kind {
        config::CheckKind::Tcp(target) => Ok(Box::new(tcp::Tcp::new(target, limit)?)),
        config::CheckKind::Http(asked) => Ok(Box::new(http::Http::new(asked, limit)?)),
        config::CheckKind::Ws(asked) => Ok(Box::new(ws::Ws::new(asked, limit)?)),
        config::CheckKind::Redis(asked) => Ok(Box::new(redis::Redis::new(asked, limit)?)),
        config::CheckKind::Postgres(asked) => Ok(Box::new(postgres::Postgres::new(asked, limit)?)),
        config::CheckKind::Grpc(asked) => Ok(Box::new(grpc::Grpc::new(asked, limit)?)),
    }
}

/// Runs `check` a single time within its timeout, and says how long that took.
pub async fn once(check: &config::Check) -> (Result<(), Failure>, Duration) {
    match build(check) {
        Ok(probe) => attempt(&*probe, check.pacing.timeout).await,
        Err(error) => (Err(Failure::from(error)), Duration::ZERO),
    }
}

/// Asks once, within `limit`.
///
/// # Errors
/// Why the answer is not the one that was asked for.
pub async fn passes(asked: &config::HttpCheck, limit: Duration) -> Result<(), Failure> {
    attempt(&http::Http::new(asked, limit)?, limit).await.0
}

/// One run within `limit`.
async fn attempt(probe: &dyn Probe, limit: Duration) -> (Result<(), Failure>, Duration) {
    let begun = Instant::now();
    let result = timeout(limit, probe.check()).await.unwrap_or_else(|_| Err(no_answer()));
    // The dialer's own limit is the same: whichever of the two fires first, the reason is one.
    let result = result.map_err(|failure| if failure.class == Class::Timeout { too_late(limit) } else { failure });
    (result, begun.elapsed())
}

/// What a server said, fit for a reason: one line, cut at [`SHOWN_MESSAGE`] characters.
fn brief(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim_end_matches('.');
    line.chars().filter(|character| !character.is_control()).take(SHOWN_MESSAGE).collect()
}

fn no_answer() -> Failure {
    Failure { class: Class::Timeout, reason: String::new(), hint: None }
}

fn too_late(limit: Duration) -> Failure {
    let reason = format!("no answer within {}", humantime::format_duration(limit));
    Failure { class: Class::Timeout, reason, hint: Some("is it overloaded, or a firewall in between?") }
}

impl From<DialError> for ProbeError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl From<DialError> for Failure {
    /// A network that does not carry the attempt is transient, as a refusal is: a fresh instance may be without one
    /// for a minute.
    fn from(error: DialError) -> Self {
        let class = match error.fault {
            DialFault::Refused | DialFault::Unreachable(_) => Class::Refused,
            DialFault::Timeout => Class::Timeout,
            DialFault::Dns => Class::Dns,
            DialFault::Tls => Class::Tls,
            DialFault::Starved => Class::Starved,
        };
        Self { class, reason: error.reason, hint: error.hint }
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Dial(error) => error.into(),
            ProbeError::Path(_) | ProbeError::Header(_) => {
                Self { class: Class::Unexpected, reason: error.to_string(), hint: None }
            }
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Path(path) => write!(f, "{path:?} is no path"),
            Self::Header(name) => write!(f, "the value of header {name} cannot be sent"),
        }
    }
}

impl std::error::Error for ProbeError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::{fixture::*, *};
    use crate::config::{CheckKind, ClientTls, GrpcCheck, PostgresCheck, RedisCheck, Target};

    const TIMEOUT: Duration = Duration::from_millis(50);

    fn every_kind(port: u16) -> [CheckKind; 6] {
        let target = local(port);
        let (user, database) = ("postgres".to_owned(), "postgres".to_owned());
        let redis = RedisCheck { target: target.clone(), user: None, password: None, db: 0, primary: false };
        let postgres = PostgresCheck { target: target.clone(), prefer_tls: false, user, password: None, database };
        [
            CheckKind::Tcp(target.clone()),
            CheckKind::Http(get(port, "/")),
            CheckKind::Ws(get(port, "/")),
            CheckKind::Redis(redis),
            CheckKind::Postgres(postgres),
            CheckKind::Grpc(GrpcCheck { target, service: String::new() }),
        ]
    }

    #[tokio::test]
    async fn a_connection_that_is_taken_passes_the_tcp_check() {
        assert_eq!(run_once(CheckKind::Tcp(local(mute().await))).await, Ok(()));
    }

    #[tokio::test]
    async fn nothing_listening_is_refused_whatever_the_kind() {
        let (_kept, port) = dead_port();
        for kind in every_kind(port) {
            assert_eq!(run_once(kind).await.unwrap_err().class, Class::Refused);
        }
    }

    #[tokio::test]
    async fn silence_is_a_timeout_that_names_the_time() {
        let port = mute().await;
        // Taking a connection is all that the first one asks for.
        for kind in every_kind(port).into_iter().skip(1) {
            let mut check = check(kind);
            check.pacing.timeout = TIMEOUT;
            let (result, took) = once(&check).await;
            let failure = result.unwrap_err();
            assert_eq!((failure.class, failure.reason.as_str()), (Class::Timeout, "no answer within 50ms"));
            assert!(took >= TIMEOUT);
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_a_dns_failure() {
        let target = Target { host: "no-such-host.invalid".to_owned(), port: 80, tls: None };
        let failure = run_once(CheckKind::Tcp(target)).await.unwrap_err();
        assert_eq!(failure.class, Class::Dns);
        assert!(failure.reason.contains("no-such-host.invalid"));
    }

    #[tokio::test]
    async fn a_plain_server_where_tls_is_wanted_is_a_tls_failure() {
        let port = say(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let target = Target { tls: Some(ClientTls::default()), ..local(port) };
        assert_eq!(run_once(CheckKind::Tcp(target)).await.unwrap_err().class, Class::Tls);
    }

    #[tokio::test]
    async fn a_ca_file_that_is_missing_fails_the_check_and_is_named() {
        let tls = Some(ClientTls { ca: Some("no/such/ca.pem".into()) });
        let failure = run_once(CheckKind::Tcp(Target { tls, ..local(1) })).await.unwrap_err();
        assert_eq!(failure.class, Class::Tls);
        assert!(failure.reason.contains("no/such/ca.pem"), "{}", failure.reason);
    }

    #[test]
    fn a_probe_and_its_configuration_give_the_kind_one_name() {
        for kind in every_kind(1) {
            let label = kind.label();
            assert_eq!(build(&check(kind)).unwrap().kind(), label);
        }
    }

    #[test]
    fn an_unusable_header_is_named_and_its_value_is_not() {
        let mut asked = get(1, "/");
        asked.headers.push((::http::header::AUTHORIZATION, "hush\n".into()));
        let error = build(&check(CheckKind::Http(asked))).err().unwrap();
        assert_eq!(error.to_string(), "the value of header authorization cannot be sent");
    }
}
