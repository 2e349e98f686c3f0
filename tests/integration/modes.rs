//! Modes, rollout and the switch for early accepts: who is held, and who is relayed as by any proxy.

use std::collections::BTreeSet;

use crate::harness::{
    frame::Frame,
    gate::{Running, Setup},
    head::head,
    raw::Raw,
    upstream::{Echo, Upstream, nowhere},
};

const STATE: &str = "x-readygate-state";
const HOST: (&str, &str) = ("Host", "example.org");

/// A message there and back.
async fn echoes(client: &mut Raw) {
    client.send_frame(&Frame::text("hello")).await;
    assert_eq!(client.frame().await, Frame::text("hello"));
}

/// An orderly end.
async fn close(mut client: Raw) {
    client.send_frame(&Frame::close(1000, "")).await;
    assert_eq!(client.closed().await.0, 1000);
}

async fn observed(gate: &Running, would: &str, outcome: &str, count: f64) {
    gate.metric_is(&format!("readygate_observed_total{{outcome=\"{outcome}\",would=\"{would}\"}}"), count).await;
}

#[tokio::test]
async fn r24_an_observed_session_is_dialed_at_once_and_what_would_have_been_is_counted() {
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).with(r#"gate.mode = "observe""#).start().await;
    let mut client = gate.client().await;
    let answer = client.upgrade("/ws", &[]).await;
    assert_eq!(answer.get(STATE), None);
    echoes(&mut client).await;
    close(client).await;
    observed(&gate, "hold", "completed", 1.0).await;
    gate.open().await;
    let mut client = gate.held_client().await;
    echoes(&mut client).await;
    close(client).await;
    observed(&gate, "pass", "completed", 1.0).await;
    assert_eq!(gate.metric(r#"readygate_stage_duration_seconds_count{stage="held"}"#).await, 0.0);
}

#[tokio::test]
async fn r24_off_is_a_plain_relay_and_the_checks_go_on() {
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).with(r#"gate.mode = "off""#).start().await;
    gate.metric_is(r#"readygate_check_up{check="upstream",kind="http"}"#, 0.0).await;
    let mut client = gate.held_client().await;
    echoes(&mut client).await;
    close(client).await;
    gate.outcome("completed", 1).await;
    assert_eq!(gate.admin("/gate").await.status(), 503);
    gate.open().await;
    assert_eq!(gate.admin("/gate").await.status(), 200);
    let metrics = gate.admin("/metrics").await;
    let counted = metrics.text().lines().filter(|line| line.starts_with("readygate_observed_total{"));
    let counted: Vec<_> = counted.filter(|line| !line.ends_with(" 0")).collect();
    assert!(counted.is_empty(), "{counted:?}");
}

#[tokio::test]
async fn r24_where_nothing_listens_who_is_not_held_gets_502_at_once() {
    for mode in ["observe", "off"] {
        let gate = Setup::open(nowhere().await).with(&format!("gate.mode = \"{mode}\"")).start().await;
        let mut client = gate.client().await;
        client.ask("/ws", &[]).await;
        assert_eq!(client.response().await.status(), 502, "{mode}");
        let mut client = gate.client().await;
        client.send(head("GET / HTTP/1.1", &[HOST])).await;
        assert_eq!(client.response().await.status(), 502, "{mode}");
    }
}

#[tokio::test]
async fn r24_plain_requests_of_such_a_route_pass_a_shut_gate() {
    let mut upstream = Upstream::start().await;
    let routes = r#"routes = [{ path = "/free/*", mode = "off" }, { path = "/seen/*", mode = "observe" }]"#;
    let gate = Setup::shut(upstream.address).with(routes).with(r#"http.when_shut = "refuse""#).start().await;
    for path in ["/free/a", "/seen/a"] {
        let mut client = gate.client().await;
        client.send(head(&format!("GET {path} HTTP/1.1"), &[HOST, ("Connection", "close")])).await;
        let mut backend = upstream.dialed().await;
        assert_eq!(backend.head().await.first, format!("GET {path} HTTP/1.1"));
        backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        let answer = client.response().await;
        assert_eq!((answer.text(), answer.head.get(STATE)), ("ok", None));
    }
    let mut client = gate.client().await;
    client.send(head("GET /other HTTP/1.1", &[HOST])).await;
    assert_eq!(client.response().await.status(), 503);
}

#[tokio::test]
async fn r24_each_route_has_its_own_mode() {
    let echo = Echo::start().await;
    let routes = r#"routes = [{ path = "/ws/free", mode = "off" }]"#;
    let gate = Setup::shut(echo.address).with(routes).start().await;
    let mut free = gate.client().await;
    assert_eq!(free.upgrade("/ws/free", &[]).await.get(STATE), None);
    echoes(&mut free).await;
    let mut held = gate.client().await;
    assert_eq!(held.upgrade("/ws/held", &[]).await.get(STATE), Some("held"));
    gate.holds(1).await;
    gate.open().await;
    echoes(&mut held).await;
}

#[tokio::test]
async fn r24_a_client_is_always_in_the_same_share() {
    let echo = Echo::start().await;
    let lines = "gate.rollout_percent = 50\ngate.rollout_key = { cookie = \"sid\" }";
    let gate = Setup::shut(echo.address).with(lines).start().await;
    let mut shares = BTreeSet::new();
    for number in 0..20 {
        let cookie = format!("other=1; sid=client-{number}");
        let mut seen = BTreeSet::new();
        for forwarded in ["203.0.113.1", "203.0.113.2"] {
            let mut client = gate.client().await;
            let answer = client.upgrade("/ws", &[("Cookie", &cookie), ("X-Forwarded-For", forwarded)]).await;
            seen.insert(answer.get(STATE) == Some("held"));
        }
        assert_eq!(seen.len(), 1, "{cookie}");
        shares.extend(seen);
    }
    assert_eq!(shares.len(), 2, "all clients are in one share");
}

#[tokio::test]
async fn r24_without_early_accepts_every_handshake_waits_for_the_backend() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with("features.early_accept = false").start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    gate.holds(1).await;
    assert!(client.is_silent().await);
    assert_eq!(gate.metric(r#"readygate_sessions_deferred_total{reason="switched_off"}"#).await, 1.0);
    gate.open().await;
    upstream.dialed().await.accept(&[("X-Backend", "yes")]).await;
    assert_eq!(client.upgraded().await.get("x-backend"), Some("yes"));
}
