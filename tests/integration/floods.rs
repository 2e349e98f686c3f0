//! Very many clients at once, and what the log makes of them.

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::{
    eventually,
    frame::Frame,
    gate::{admin, metric, metric_is},
    process::Process,
    upstream::{Echo, Health},
};

/// Refused clients of one flood.
const FLOOD: usize = 300;

/// Plain requests of another.
const REQUESTS: u64 = 40;

/// A pipe is full before its last byte: its pages keep short lines whole.
const NEARLY_FULL: f64 = 0.8;

#[tokio::test]
async fn of_a_flood_of_refused_clients_some_lines_are_written_and_all_others_are_counted() {
    let (echo, health) = (Echo::start().await, Health::start(false).await);
    let mut gate = start(&echo, &health, "hold.sessions = 1\nlog.flood = { burst = 5, per_second = 1 }").await;
    let mut held = gate.client().await;
    held.upgrade("/ws", &[]).await;
    refuse(&gate, FLOOD).await;
    let told = gate.logged("log lines left out").await;
    assert!(told["suppressed"].as_u64() > Some(0), "{told}");
    let counted = metric(gate.admin, "readygate_log_lines_suppressed_total{line=\"too_many\"}").await;
    drop(held);
    metric_is(gate.admin, "readygate_sessions_total{outcome=\"client_gone\"}", 1.0).await;
    gate.signal("TERM").await;
    let log = gate.everything().await;

    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let suppressed = |kind: &str| -> u64 {
        lines.iter().filter(|line| line["line"] == kind).map(|line| line["suppressed"].as_u64().unwrap()).sum()
    };
    let written = |kind: &str| lines.iter().filter(|line| line["to"] == kind).count() as u64;
    assert_eq!(written("too_many") + suppressed("too_many"), FLOOD as u64, "{log}");
    assert!(written("too_many") >= 5, "{log}");
    assert!(lines.iter().filter(|line| line["line"] == "too_many").all(|line| line["severity"] == "WARNING"), "{log}");
    assert_eq!((written("held"), suppressed("held")), (1, 0), "who is refused was not held: {log}");
    assert_eq!(suppressed("too_many") as f64, counted);
    assert_eq!((written("client_gone"), suppressed("client_gone")), (1, 0));
}

#[tokio::test]
async fn of_a_flood_of_plain_requests_some_lines_are_written_and_all_others_are_counted() {
    let (echo, health) = (Echo::start().await, Health::start(false).await);
    let lines = "http.when_shut = \"refuse\"\nlog = { requests = true, flood = { burst = 5, per_second = 1 } }";
    let mut gate = start(&echo, &health, lines).await;
    // Nobody is patient enough to have all these answered as slowly as they may be logged.
    let asking = (0..REQUESTS).map(async |_| {
        let mut client = gate.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.status(), 503);
    });
    join_all(asking).await;
    gate.logged("log lines left out").await;
    gate.signal("TERM").await;
    let log = gate.everything().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let written = lines.iter().filter(|line| line["message"] == "request answered").count() as u64;
    let left_out = lines.iter().filter(|line| line["line"] == "request");
    let suppressed: u64 = left_out.map(|line| line["suppressed"].as_u64().unwrap()).sum();
    assert_eq!((written >= 5, written + suppressed), (true, REQUESTS), "{log}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_no_session_and_no_drain() {
    let (echo, health) = (Echo::start().await, Health::start(false).await);
    let mut gate = start(&echo, &health, "hold.sessions = 1\ndrain.timeout = \"300ms\"").await;
    let mut held = gate.client().await;
    held.upgrade("/ws", &[]).await;
    held.send_frame(&Frame::text("early")).await;
    refuse(&gate, FLOOD).await;
    eventually("a full pipe", async || (gate.unread() > NEARLY_FULL).then_some(())).await;

    assert_eq!(admin(gate.admin, "/livez").await.status(), 200);
    health.set(true);
    assert_eq!(held.frame().await, Frame::text("early"));
    gate.signal("TERM").await;
    assert_eq!(gate.ended_unread().await.code(), Some(0));
}

async fn start(echo: &Echo, health: &Health, lines: &str) -> Process {
    Process::start(echo.address, &format!("upstream.check = \"http://{}/\"\n{lines}", health.address), &[]).await
}

/// So many clients, one held already, who are told to come back.
async fn refuse(gate: &Process, count: usize) {
    let told = join_all((0..count).map(|_| async {
        let mut client = gate.client().await;
        client.ask("/ws", &[]).await;
        client.response().await.status()
    }));
    assert_eq!(told.await, vec![503; count]);
    metric_is(gate.admin, "readygate_sessions_total{outcome=\"too_many\"}", count as f64).await;
}
