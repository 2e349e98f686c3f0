//! An optional dependency is missing: sessions pass, and whoever wants to know is told.

use crate::harness::{
    gate::{Running, Setup},
    head::{Head, head},
    raw::Raw,
    upstream::{Health, Upstream},
};

const STATE: &str = "x-readygate-state";
const ALL: &str = r#"http.wait_for = "all""#;

/// A backend's own header of that name.
const OWN: (&str, &str) = ("X-Readygate-State", "backend");

/// An optional dependency that the test makes ready.
async fn dependency(ready: bool) -> (Health, String) {
    let health = Health::start(ready).await;
    let line = format!("dependencies.llm = {{ check = \"http://{}/\", required = false }}", health.address);
    (health, line)
}

async fn is(gate: &Running, verdict: &str) {
    gate.metric_is(&format!("readygate_gate_verdict{{route=\"*\",verdict=\"{verdict}\"}}"), 1.0).await;
}

/// A relayed 101.
async fn relayed(gate: &Running, upstream: &mut Upstream) -> Head {
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    upstream.dialed().await.accept(&[OWN]).await;
    client.upgraded().await
}

async fn ask(client: &mut Raw) {
    client.send(head("GET / HTTP/1.1", &[("Host", "example.org"), ("Connection", "close")])).await;
}

/// The answer to a request that the backend answers with a header of its own.
async fn answered(client: &mut Raw, upstream: &mut Upstream) -> Head {
    let mut backend = upstream.dialed().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\nX-Readygate-State: backend\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .await;
    client.response().await.head
}

#[tokio::test]
async fn r14_a_101_under_a_degraded_verdict_says_so_and_under_an_open_one_is_the_backends_own() {
    let mut upstream = Upstream::start().await;
    let (llm, line) = dependency(false).await;
    let gate = Setup::open(upstream.address).with(&line).start().await;
    is(&gate, "degraded").await;
    assert_eq!(relayed(&gate, &mut upstream).await.get(STATE), Some("degraded"));
    assert_eq!(gate.metric(r#"readygate_sessions_degraded_total{route="*"}"#).await, 1.0);
    llm.set(true);
    is(&gate, "open").await;
    assert_eq!(relayed(&gate, &mut upstream).await.get(STATE), Some("backend"));
    assert_eq!(gate.metric(r#"readygate_sessions_degraded_total{route="*"}"#).await, 1.0);
}

#[tokio::test]
async fn r14_an_early_101_says_that_the_client_is_held() {
    let upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    assert_eq!(gate.client().await.upgrade("/ws", &[]).await.get(STATE), Some("held"));
}

#[tokio::test]
async fn r14_an_answer_to_a_plain_request_says_that_it_waited_or_what_is_missing() {
    let mut upstream = Upstream::start().await;
    let (llm, line) = dependency(true).await;
    let gate = Setup::shut(upstream.address).with(&line).with(ALL).start().await;
    let mut client = gate.client().await;
    ask(&mut client).await;
    waits(&gate).await;
    gate.open().await;
    is(&gate, "open").await;
    assert_eq!(answered(&mut client, &mut upstream).await.get(STATE), Some("held"));
    let mut client = gate.client().await;
    ask(&mut client).await;
    assert_eq!(answered(&mut client, &mut upstream).await.get(STATE), Some("backend"));
    llm.set(false);
    is(&gate, "degraded").await;
    let mut client = gate.client().await;
    ask(&mut client).await;
    assert_eq!(answered(&mut client, &mut upstream).await.get(STATE), Some("degraded"));
}

#[tokio::test]
async fn r14_without_degraded_mode_an_optional_dependency_is_required() {
    let mut upstream = Upstream::start().await;
    let (llm, line) = dependency(false).await;
    let gate = Setup::shut(upstream.address).with(&line).with("features.degraded_mode = false").start().await;
    gate.health.set(true);
    gate.metric_is(r#"readygate_check_up{check="upstream",kind="http"}"#, 1.0).await;
    let mut client = gate.client().await;
    assert_eq!(client.upgrade("/ws", &[]).await.get(STATE), Some("held"));
    gate.holds(1).await;
    llm.set(true);
    upstream.dialed().await.accept(&[]).await;
    is(&gate, "open").await;
}

/// A plain request waits for the gate.
async fn waits(gate: &Running) {
    crate::harness::eventually("a waiting request", async || {
        let status = gate.admin("/status").await.json();
        (status["hold"]["sessions"] == 1).then_some(())
    })
    .await;
}
