//! Five healthy dependencies on the loopback, one of a kind: what the parts that ask some of them need.

#[path = "../../tests/integration/dependencies/grpc.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod grpc;
#[path = "../../tests/integration/dependencies/postgres.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod postgres;
#[path = "../../tests/integration/dependencies/process.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod process;
#[path = "../../tests/integration/dependencies/redis.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod redis;

use self::{grpc::Health, postgres::Postgres};
use super::backend::Backend;

pub(crate) use self::redis::Redis;

/// Of PostgreSQL's user: a login is what real backends have, and the dearest part of the check.
const ROLE: &str = "CREATE ROLE app LOGIN PASSWORD 'readygate'";

/// What asks for each of them; the HTTP check is the upstream's own.
pub(crate) const CHECKS: [&str; 5] = ["upstream", "redis", "postgres", "grpc", "tcp"];

/// Running servers, ended with their handle.
pub(crate) struct Dependencies {
    /// Answers HTTP checks, takes connections, and is what readygate stands before.
    pub(crate) backend: Backend,
    redis: Redis,
    postgres: Postgres,
    health: Health,
}

impl Dependencies {
    /// Starts all, and waits until each can serve.
    pub(crate) fn start() -> Self {
        let (redis, postgres, health) = (Redis::start(&[]), Postgres::start(&[]), Health::start(&[]));
        postgres.sql(ROLE);
        Self { backend: Backend::start(true, false), redis, postgres, health }
    }

    /// What follows `upstream.url` in a configuration that asks all of [`CHECKS`] and sets nothing else.
    pub(crate) fn config(&self) -> String {
        let Self { backend, redis, postgres, health } = self;
        format!(
            "check = \"/ready\"\n\
             [dependencies.redis]\ncheck = \"redis://127.0.0.1:{}\"\n\
             [dependencies.postgres]\ncheck = \"postgres://app:readygate@127.0.0.1:{}/postgres\"\n\
             [dependencies.grpc]\ncheck = \"grpc://127.0.0.1:{}\"\n\
             [dependencies.tcp]\ncheck = \"tcp://{}\"\n",
            redis.port, postgres.port, health.port, backend.address
        )
    }
}
