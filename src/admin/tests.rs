#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::Environment,
    gate::{Class, Failure},
    session::{deferral::Deferral, registry::Waits},
    telemetry::metrics::Fate,
};

const ONE: NonZeroUsize = NonZeroUsize::MIN;
const SECRET: &str = "hunter2";

/// An admin port on loopback, and the parts behind it.
pub(super) struct Port {
    address: SocketAddr,
    pub(super) view: Arc<View>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    body: String,
}

/// Connections at a time.
pub(super) const PLACES: usize = 8;

/// One byte and one session fill the hold.
pub(super) fn view() -> Arc<View> {
    let (config, metrics) = (Arc::new(config()), Metrics::new());
    let gate = Gate::new(&config.upstream.checks, ONE, Arc::clone(&metrics));
    let registry = Registry::new(Arc::clone(&metrics));
    View::new(gate, metrics, registry, Budget::new(1, 1), config, Instant::now())
}

pub(super) async fn port() -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, view, shutdown) = (listener.local_addr().unwrap(), view(), CancellationToken::new());
    let server = tokio::spawn(serve(listener, Arc::clone(&view), PLACES, shutdown.clone()));
    Port { address, view, shutdown, server }
}

impl Port {
    pub(super) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).await
    }

    async fn ask(&self, method: &str, path: &str) -> Reply {
        self.send(method, path, "", "").await
    }

    /// A request with more header lines (each with its end) and a body.
    pub(super) async fn send(&self, method: &str, path: &str, lines: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n");
        let request = format!("{head}{lines}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub(super) fn open_gate(&self) {
        self.view.gate().report(0, Ok(()), Duration::from_micros(800), SystemTime::now());
    }

    fn enter(&self, path: &str, state: &'static str) -> crate::session::registry::Entry {
        self.view.registry.enter(path.to_owned(), "192.0.2.1:5".parse().unwrap(), Instant::now(), state)
    }
}

impl Reply {
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[tokio::test]
async fn start_up_is_over_once_the_public_port_is_bound() {
    let port = port().await;
    assert_eq!(port.get("/startupz").await.status, 503);
    port.view.set_bound();
    assert_eq!(port.get("/startupz").await.status, 200);
}

#[tokio::test]
async fn a_shut_gate_is_alive_and_ready_but_not_open() {
    let port = port().await;
    let failure = Failure { class: Class::Auth, reason: "status 401".to_owned(), hint: Some("give a token") };
    port.view.gate().report(0, Err(failure), Duration::from_millis(3), SystemTime::now());
    assert_eq!(port.get("/livez").await.status, 200);
    assert_eq!(port.get("/readyz").await.status, 200);
    let gate = port.get("/gate").await;
    assert_eq!(gate.status, 503);
    let (gate, route) = (gate.json(), gate.json()["routes"][0].clone());
    assert_eq!((&gate["verdict"], &route["path"], &route["verdict"]), (&json!("shut"), &json!("*"), &json!("shut")));
    let mut blocker = route["blockers"][0].clone();
    assert!(blocker.as_object_mut().unwrap().remove("since").unwrap().as_str().unwrap().ends_with('Z'));
    let expected = json!({ "check": "upstream", "class": "auth", "reason": "status 401", "hint": "give a token" });
    assert_eq!(blocker, expected);
    assert_eq!(gate["checks"][0]["state"], "failing");
}

#[tokio::test]
async fn an_open_gate_answers_200_with_its_checks() {
    let port = port().await;
    port.open_gate();
    assert_eq!(port.get("/readyz").await.status, 200);
    let gate = port.get("/gate").await;
    assert_eq!(gate.status, 200);
    assert!(gate.head.contains("cache-control: no-store") && gate.head.contains("content-type: application/json"));
    let gate = gate.json();
    assert_eq!((&gate["verdict"], &gate["routes"][0]["blockers"]), (&json!("open"), &json!([])));
    assert_eq!(gate["routes"][0]["missing"], json!([]));
    let mut check = gate["checks"][0].clone();
    check.as_object_mut().unwrap().remove("last_checked").unwrap();
    let expected = json!({
        "name": "upstream", "kind": "http", "required": true, "state": "passing", "class": null, "reason": null,
        "hint": null, "suspicion": null, "latency_ms": 0.8, "timeout_ms": 2000.0, "breaker": "closed",
    });
    assert_eq!(check, expected);
}

#[tokio::test]
async fn a_draining_process_is_alive_but_takes_no_traffic() {
    let port = port().await;
    port.open_gate();
    port.view.gate().drain();
    assert_eq!(port.get("/livez").await.status, 200);
    let ready = port.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!("draining")));
    let gate = port.get("/gate").await;
    assert_eq!((gate.status, &gate.json()["verdict"]), (503, &json!("draining")));
}

#[tokio::test]
async fn a_spent_hold_budget_is_unready_until_something_is_given_back() {
    let port = port().await;
    let mut lease = port.view.budget.enter().unwrap();
    assert_eq!(lease.grow(5), 1);
    let ready = port.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reason"], "hold budget spent: 1 of 1 bytes, 1 of 1 sessions");
    drop(lease);
    assert_eq!(port.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn metrics_are_text_of_version_0_0_4() {
    let port = port().await;
    port.view.metrics.dial_retried();
    let metrics = port.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.body.contains("\nreadygate_dial_retries_total 1\n"));
    assert!(metrics.body.contains("\nreadygate_gate_verdict{route=\"*\",verdict=\"shut\"} 1\n"));
}

#[tokio::test]
async fn the_status_shows_everything_but_secrets() {
    let port = port().await;
    let entry = port.enter("/ws", "held");
    let lease = port.view.budget.enter().unwrap();
    let status = port.get("/status").await;
    assert_eq!(status.status, 200);
    assert!(!status.body.contains(SECRET), "{}", status.body);
    let status = status.json();
    assert_eq!((&status["version"], &status["bound"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(false)));
    assert_eq!((&status["verdict"], &status["checks"][0]["state"]), (&json!("shut"), &json!("unknown")));
    assert_eq!((&status["sessions"]["held"], &status["sessions"]["open"]), (&json!(1), &json!(0)));
    let hold = json!({ "bytes": 0, "bytes_limit": 1, "sessions": 1, "sessions_limit": 1 });
    assert_eq!(status["hold"], hold);
    assert_eq!(status["config"]["upstream"], "http://[::1]:8081");
    assert_eq!(status["config"]["hold_timeout_ms"], 30000.0);
    drop((entry, lease));
}

#[tokio::test]
async fn the_status_tells_what_has_changed_and_what_became_of_frames_and_sessions() {
    let port = port().await;
    port.open_gate();
    port.view.gate().dial_refused();
    port.view.metrics.frames(Fate::Received, 3);
    port.view.metrics.frames(Fate::Delivered, 3);
    port.enter("/ws", "open").finish("completed", "", Instant::now());
    let status = port.get("/status").await.json();
    let changes = &status["changes"];
    let names = |index: usize| [&changes[index]["route"], &changes[index]["from"], &changes[index]["to"]];
    assert_eq!(names(0), ["*", "open", "shut"]);
    assert_eq!(names(1), ["*", "shut", "open"]);
    assert_eq!((&changes[0]["because"]["check"], &changes[1]["because"]), (&json!("upstream"), &Value::Null));
    assert_eq!(status["ledger"], json!({ "received": 3, "delivered": 3, "refused": 0, "imbalances": 0 }));
    assert_eq!(status["outcomes"], json!({ "completed": 1 }));
    assert_eq!((&status["config"]["profile"], &status["config"]["patience"]), (&json!("local"), &json!(0.3)));
    assert!(status["time"].as_str().unwrap().ends_with('Z') && status["uptime_seconds"].is_u64());
}

#[tokio::test]
async fn the_page_runs_nothing_but_itself_and_may_not_be_framed() {
    let port = port().await;
    let page = port.get("/").await;
    assert_eq!(page.status, 200);
    for header in ["content-type: text/html; charset=utf-8", "x-frame-options: deny", "cache-control: no-store"] {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    let policy = page.head.lines().find(|line| line.starts_with("content-security-policy")).unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(page.body.contains("<noscript>") && !page.body.contains(SECRET));
}

#[tokio::test]
async fn sessions_are_listed_by_state_and_up_to_a_limit() {
    let port = port().await;
    let entries = [port.enter("/a", "held"), port.enter("/b", "open"), port.enter("/c", "held")];
    let paths = |reply: &Reply| -> Vec<String> {
        let list = reply.json();
        list.as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&port.get("/sessions").await), ["/a", "/b", "/c"]);
    assert_eq!(paths(&port.get("/sessions?state=held").await), ["/a", "/c"]);
    let cut = port.get("/sessions?state=held&limit=1").await;
    assert_eq!(paths(&cut), ["/a"]);
    assert!(cut.head.contains("x-total-count: 2"));
    assert_eq!(port.get("/sessions?limit=many").await.status, 400);
    assert_eq!(port.get("/sessions?stat=held").await.status, 400);
    drop(entries);
}

#[tokio::test]
async fn one_session_tells_its_steps_and_what_it_waits_for() {
    let port = port().await;
    let entry = port.enter("/ws", "arrived");
    let path = format!("/sessions/{}", entry.id());
    let arrived = port.get(&path).await.json();
    assert_eq!((&arrived["accept"], &arrived["deferred_because"]), (&json!(null), &json!(null)));
    entry.step("held", "gate shut", Instant::now());
    entry.waits(Waits::Deferred(Deferral::Origin));
    entry.held(12, 2);
    let held = port.get(&path).await.json();
    assert_eq!((&held["state"], &held["held_bytes"], &held["held_frames"]), (&json!("held"), &json!(12), &json!(2)));
    assert_eq!(held["waiting_for"][0]["check"], "upstream");
    assert_eq!((&held["accept"], &held["deferred_because"]), (&json!("deferred"), &json!("origin")));
    assert_eq!((&held["steps"][0]["state"], &held["steps"][1]["reason"]), (&json!("arrived"), &json!("gate shut")));
    entry.finish("timed-out", "30 s are over", Instant::now());
    let ended = port.get(&path).await.json();
    assert_eq!((&ended["state"], &ended["waiting_for"]), (&json!("timed-out"), &json!([])));
    for unknown in ["/sessions/999", "/sessions/x", "/sessions/"] {
        let reply = port.get(unknown).await;
        assert!(reply.status == 404 && reply.json()["error"].is_string(), "{unknown}");
    }
}

#[tokio::test]
async fn only_get_and_head_are_allowed_and_strange_paths_are_told_the_known_ones() {
    let port = port().await;
    let head = port.ask("HEAD", "/gate").await;
    assert_eq!((head.status, head.body.as_str()), (503, ""));
    let post = port.ask("POST", "/gate").await;
    assert!(post.status == 405 && post.head.contains("allow: get, head"), "{}", post.head);
    let lost = port.get("/healthz").await;
    assert_eq!(lost.status, 404);
    assert!(lost.json()["paths"].as_array().unwrap().contains(&json!("/sessions/{id}")));
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload_and_get_reloads_nothing() {
    let port = port().await;
    let post = port.ask("POST", "/reload").await;
    assert_eq!((post.status, &post.json()["error"]), (409, &json!("this process has no configuration file")));
    let get = port.get("/reload").await;
    assert!(get.status == 405 && get.head.contains("allow: post"), "{}", get.head);
    assert_eq!(port.get("/status").await.json()["config"].get("hash"), None);
}

#[tokio::test]
async fn a_cancelled_server_ends_idle_connections_and_returns() {
    let port = port().await;
    let mut idle = TcpStream::connect(port.address).await.unwrap();
    assert_eq!(port.get("/livez").await.status, 200);
    port.shutdown.cancel();
    port.server.await.unwrap();
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(TcpStream::connect(port.address).await.is_err());
}

/// One check, with a secret wherever one can be.
fn config() -> Config {
    let text = format!(
        r#"
        [upstream]
        url = "http://[::1]:8081"
        check = {{ url = "http://[::1]:8081/health?token={SECRET}", headers = {{ authorization = "{SECRET}" }} }}
        [probe]
        timeout = "2s"
        "#
    );
    Config::parse(&text, "proxy.toml", &Environment::with_variables([])).unwrap()
}
