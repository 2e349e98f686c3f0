//! Other people's clients and servers: Python's websockets, Node's ws and Chromium, against the race app and an echo
//! server, warm and held.

use serde_json::{Value, json};

use crate::harness::{
    gate::{Running, Setup},
    programs::{Foreign, Server},
};

/// A browser's page has an origin of its own.
const ANY_ORIGIN: &str = r#"gate.allowed_origins = ["*"]"#;

#[tokio::test]
async fn python_gets_its_events_warm() {
    events(Foreign::Python, false).await;
}

#[tokio::test]
async fn python_gets_its_events_held() {
    events(Foreign::Python, true).await;
}

#[tokio::test]
async fn node_gets_its_events_warm() {
    events(Foreign::Node, false).await;
}

#[tokio::test]
async fn node_gets_its_events_held() {
    events(Foreign::Node, true).await;
}

#[tokio::test]
async fn chromium_gets_its_events_warm() {
    events(Foreign::Chromium, false).await;
}

#[tokio::test]
async fn chromium_gets_its_events_held() {
    events(Foreign::Chromium, true).await;
}

#[tokio::test]
async fn python_gets_its_echo_warm() {
    echo(Foreign::Python, false).await;
}

#[tokio::test]
async fn python_gets_its_echo_held() {
    echo(Foreign::Python, true).await;
}

#[tokio::test]
async fn node_gets_its_echo_warm() {
    echo(Foreign::Node, false).await;
}

#[tokio::test]
async fn node_gets_its_echo_held() {
    echo(Foreign::Node, true).await;
}

#[tokio::test]
async fn chromium_gets_its_echo_warm() {
    echo(Foreign::Chromium, false).await;
}

#[tokio::test]
async fn chromium_gets_its_echo_held() {
    echo(Foreign::Chromium, true).await;
}

#[tokio::test]
async fn chromium_from_a_foreign_origin_waits_for_the_backends_own_101() {
    let mut app = race().await;
    let gate = Setup::real(app.address, "/health/ready").start().await;
    let mut client = Foreign::Chromium.start(&url(&gate), &["--expect", "events", "--protocols", "bearer,letmein"]);
    gate.holds(1).await;
    app.boot().await;
    let result = client.result().await;
    assert_eq!((&result["ok"], &result["protocol"]), (&json!(true), &json!("bearer")), "{result}");
}

#[tokio::test]
async fn chromium_takes_the_subprotocol_that_it_was_promised() {
    let mut app = race().await;
    let lines = format!("{ANY_ORIGIN}\ngate.subprotocols = [\"bearer\"]");
    let gate = Setup::real(app.address, "/health/ready").with(&lines).start().await;
    let mut client = Foreign::Chromium.start(&url(&gate), &["--expect", "events", "--protocols", "bearer,letmein"]);
    client.event("sent").await;
    app.boot().await;
    let result = client.result().await;
    assert_eq!((&result["ok"], &result["protocol"]), (&json!(true), &json!("bearer")), "{result}");
}

/// Messages to the race app, each answered by five events in order.
async fn events(client: Foreign, held: bool) {
    let mut app = race().await;
    let gate = Setup::real(app.address, "/health/ready").with(ANY_ORIGIN).start().await;
    if !held {
        app.boot().await;
        gate.has_opened().await;
    }
    let mut running = client.start(&url(&gate), &["--expect", "events", "--texts", "20", "--binaries", "0"]);
    if held {
        running.event("sent").await;
        gate.holds_bytes(|bytes| bytes > 4000).await;
        app.boot().await;
    }
    is_perfect(&running.result().await, 20);
    gate.outcome("completed", 1).await;
}

/// Texts and binaries of some size, in pieces where the client can, echoed in pieces.
async fn echo(client: Foreign, held: bool) {
    let mut server = Server::echo(&["--wait-stdin", "--fragments", "3"]).await;
    let check = format!("ws://{}/", server.address);
    let gate = Setup::real(server.address, &check).with(ANY_ORIGIN).start().await;
    if !held {
        server.listen().await;
        gate.has_opened().await;
    }
    let pieces = if client == Foreign::Chromium { "1" } else { "4" };
    let arguments = ["--texts", "10", "--binaries", "10", "--size", "20000", "--fragments", pieces];
    let mut running = client.start(&url(&gate), &arguments);
    if held {
        running.event("sent").await;
        gate.holds_bytes(|bytes| bytes > 400_000).await;
        server.listen().await;
    }
    let result = running.result().await;
    is_perfect(&result, 20);
    let compressed = result["extensions"].as_str().unwrap().contains("permessage-deflate");
    assert_eq!(compressed, !held, "{result}");
    gate.outcome("completed", 1).await;
}

fn is_perfect(result: &Value, messages: u32) {
    assert_eq!((&result["ok"], &result["error"]), (&json!(true), &Value::Null), "{result}");
    assert_eq!((&result["answered"], &result["lost"]), (&json!(messages), &json!([])), "{result}");
    assert_eq!(result["close"]["code"], 1000, "{result}");
}

async fn race() -> Server {
    Server::race(&["--register", "before", "--bind", "late"]).await
}

fn url(gate: &Running) -> String {
    format!("ws://{}/ws", gate.public)
}
