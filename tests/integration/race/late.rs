//! The cold start again, with services that come up after the application: PostgreSQL, and Redis last.

use super::{GATE, Lab, backend::Backend, books, column::Column, sidecar::Sidecar};
use crate::dependencies::{postgres::Postgres, redis::Redis};

const CLIENTS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_waits_for_an_application_and_for_the_services_that_come_up_after_it_and_loses_nothing() {
    let (mut redis, mut postgres) = (Redis::start(&[]), Postgres::start(&[]));
    postgres.sql("CREATE ROLE app LOGIN PASSWORD 'planted'");
    redis.kill();
    postgres.kill();
    let lab = Lab { clients: CLIENTS, ..Lab::new("late") };
    let mut backend = Backend::start(&lab, 0).await;
    let gate = Sidecar::start(backend.address, &config(&redis, &postgres));
    let crowd = lab.crowd(gate.public, "client");
    lab.held(&gate, CLIENTS).await;

    backend.boot();
    let ready = backend.ready().await;
    passes(&gate, "upstream").await;
    assert_untouched(&lab, &backend, &gate).await;
    postgres.restart();
    passes(&gate, "database").await;
    assert_untouched(&lab, &backend, &gate).await;
    redis.restart(&[], "eady to accept connections");

    let traces = crowd.join().await;
    let mut column = Column::new("gated", &traces, lab.manner.messages, &backend.ledger().await, ready);
    column.books = Some(books(&gate).await);
    column.assert_whole(lab.manner.messages);
    lab.assert_books(&column);
}

fn config(redis: &Redis, postgres: &Postgres) -> String {
    let cache = format!("[dependencies.cache]\ncheck = \"redis://127.0.0.1:{}\"\n", redis.port);
    let database = format!("postgres://app:planted@127.0.0.1:{}/postgres?sslmode=disable", postgres.port);
    format!("{GATE}{cache}[dependencies.database]\ncheck = \"{database}\"\n")
}

async fn passes(gate: &Sidecar, check: &str) {
    let name = format!("readygate_check_up{{check=\"{check}\",");
    let up = |(key, value): (&String, &f64)| key.starts_with(&name) && *value == 1.0;
    gate.until(&format!("{check} passes"), |metrics| metrics.iter().any(up)).await;
}

/// The application has seen no client, and all that they sent is still held.
async fn assert_untouched(lab: &Lab, backend: &Backend, gate: &Sidecar) {
    let ledger = backend.ledger().await;
    assert_eq!((&ledger["clients"], &ledger["accepted"]), (&0.into(), &0.into()), "{ledger}");
    let metrics = gate.metrics().await;
    assert_eq!(metrics["readygate_hold_frames"], (CLIENTS as u64 * lab.manner.messages) as f64);
    assert_eq!(metrics[r#"readygate_sessions{state="held"}"#], CLIENTS as f64);
}
