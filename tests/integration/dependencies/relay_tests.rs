//! Checks over a slow network take as many round trips as their protocols need, and no more.

use std::time::Duration;

use readygate::{
    config::{CheckKind, GrpcCheck, PostgresCheck, RedisCheck},
    probe::once,
};

use super::{check, grpc::Health, local, postgres::Postgres, redis::Redis, relay::Relay};

/// How long `kind` took, in round trips of twice `delay`; it must pass.
async fn round_trips(kind: CheckKind, delay: Duration) -> u128 {
    let (result, took) = once(&check("far", kind)).await;
    assert_eq!(result, Ok(()));
    took.as_micros() / (delay * 2).as_micros()
}

#[tokio::test]
async fn a_redis_check_takes_one_round_trip_with_all_its_steps() {
    let server = Redis::start(&["--requirepass", "planted-redis-secret"]);
    let delay = Duration::from_millis(300);
    let relay = Relay::start(server.port, delay).await;
    let password = Some("planted-redis-secret".into());
    let asked = RedisCheck { target: local(relay.port), user: None, password, db: 1, primary: true };
    assert_eq!(round_trips(CheckKind::Redis(asked), delay).await, 1);
}

#[tokio::test]
async fn a_postgres_check_takes_four_round_trips_with_a_login_and_one_without() {
    let server = Postgres::start(&[]);
    server.sql("CREATE ROLE app LOGIN PASSWORD 'planted-postgres-secret'");
    let delay = Duration::from_millis(100);
    let relay = Relay::start(server.port, delay).await;
    let (user, database) = ("app".to_owned(), "postgres".to_owned());
    let mut asked = PostgresCheck { target: local(relay.port), prefer_tls: false, user, password: None, database };
    assert_eq!(round_trips(CheckKind::Postgres(asked.clone()), delay).await, 1);
    asked.password = Some("planted-postgres-secret".into());
    assert!((4..6).contains(&round_trips(CheckKind::Postgres(asked), delay).await));
}

#[tokio::test]
async fn a_grpc_check_passes_over_a_slow_network() {
    let server = Health::start(&[]);
    let delay = Duration::from_millis(100);
    let relay = Relay::start(server.port, delay).await;
    let asked = GrpcCheck { target: local(relay.port), service: String::new() };
    assert!((1..3).contains(&round_trips(CheckKind::Grpc(asked), delay).await));
}
