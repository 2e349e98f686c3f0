//! Checks against real servers, which each test starts on a free port of loopback and ends when it ends.

mod certificates;
pub(crate) mod grpc;
mod grpc_tests;
mod https_tests;
pub(crate) mod postgres;
mod postgres_tests;
pub(crate) mod process;
pub(crate) mod redis;
mod redis_tests;
pub(crate) mod relay;
mod relay_tests;

use std::time::Duration;

use readygate::{
    config::{Backoff, Breaker, Check, CheckKind, Pacing, Target},
    gate::{Class, Failure},
    probe::once,
};

/// For one attempt: the default of a check. A server on a busy machine answers within it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// For an attempt that is meant to run into it.
const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

/// A check with the rhythm of the defaults.
fn check(name: &str, kind: CheckKind) -> Check {
    let backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(1) };
    let breaker = Breaker { attempts: 10, cooldown: Duration::from_secs(10) };
    let pacing = Pacing { interval: Duration::from_secs(5), timeout: TIMEOUT, backoff, rise: 1, fall: 3, breaker };
    Check { name: name.to_owned(), kind, pacing }
}

fn local(port: u16) -> Target {
    Target { host: "127.0.0.1".to_owned(), port, tls: None }
}

async fn ask(kind: CheckKind) -> Result<(), Failure> {
    once(&check("dependency", kind)).await.0
}

async fn refusal(kind: CheckKind) -> Failure {
    ask(kind).await.expect_err("a check that fails")
}

/// Class, reason and hint, as an operator reads them.
async fn told(kind: CheckKind) -> (Class, String, &'static str) {
    let failure = refusal(kind).await;
    (failure.class, failure.reason, failure.hint.unwrap_or_default())
}

async fn ask_briefly(kind: CheckKind) -> Failure {
    let mut check = check("dependency", kind);
    check.pacing.timeout = SHORT_TIMEOUT;
    once(&check).await.0.expect_err("a check that fails")
}
