//! What the admin port does, and what it says of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::tests::{Port, Reply, port};

async fn post(port: &Port, path: &str) -> Reply {
    port.send("POST", path, "", "").await
}

/// The route's hand, without its times.
fn hand(gate: &Value) -> (Value, bool) {
    let mut hand = gate["routes"][0]["hand"].clone();
    let Some(fields) = hand.as_object_mut() else { return (hand, false) };
    assert!(fields.remove("since").unwrap().as_str().unwrap().ends_with('Z'));
    let has_end = fields.remove("until").unwrap().is_string();
    (hand, has_end)
}

#[tokio::test]
async fn a_gate_opened_by_hand_is_open_and_says_by_whose_word() {
    let port = port().await;
    assert_eq!(hand(&port.get("/gate").await.json()), (Value::Null, false));
    let done = post(&port, "/gate/open?reason=check+is+wrong").await;
    let expected = (json!({ "verdict": "open", "reason": "check is wrong" }), false);
    assert_eq!((done.status, hand(&done.json())), (200, expected.clone()));
    for path in ["/gate", "/status"] {
        let shown = port.get(path).await;
        assert_eq!(
            (shown.status, &shown.json()["verdict"], hand(&shown.json())),
            (200, &json!("open"), expected.clone())
        );
    }
    let metrics = port.get("/metrics").await;
    assert!(metrics.body().contains("\nreadygate_gate_forced{route=\"*\",verdict=\"open\"} 1\n"));
    assert_eq!(post(&port, "/gate/auto").await.json()["verdict"], "shut");
    assert_eq!(hand(&port.get("/gate").await.json()), (Value::Null, false));
}

#[tokio::test]
async fn a_gate_shut_by_hand_names_the_operator_as_what_blocks() {
    let port = port().await;
    port.open_gate();
    let body = r#"{ "route": "*", "reason": "moving", "for": "10m" }"#;
    let done = port.send("POST", "/gate/shut", "", body).await;
    assert_eq!(done.status, 200, "what was asked is done, whatever the verdict");
    let gate = port.get("/gate").await;
    assert_eq!((gate.status, hand(&gate.json())), (503, (json!({ "verdict": "shut", "reason": "moving" }), true)));
    let mut blocker = gate.json()["routes"][0]["blockers"][0].clone();
    blocker.as_object_mut().unwrap().remove("since").unwrap();
    let (reason, hint) = ("shut by hand: moving", "POST /gate/auto ends it");
    assert_eq!(blocker, json!({ "check": "operator", "class": "not-ready", "reason": reason, "hint": hint }));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let port = port().await;
    let lost = post(&port, "/gate/open?route=/nowhere").await;
    assert_eq!((lost.status, &lost.json()["routes"]), (404, &json!(["*"])));
    for path in ["/gate/open?for=soon", "/gate/auto?for=1m", "/gate/shut?why=x", "/drain?for=1m"] {
        let wrong = post(&port, path).await;
        assert!(wrong.status == 400 && wrong.json()["error"].is_string(), "{path}");
    }
    let large = port.send("POST", "/gate/open", "", &" ".repeat(5000)).await;
    assert_eq!(large.status, 400);
    for path in ["/gate/open", "/gate/shut", "/gate/auto", "/drain"] {
        let read = port.get(path).await;
        assert!(read.status == 405 && read.head.contains("allow: post"), "{}", read.head);
    }
    let page = port.send("POST", "/gate/open", "origin: https://elsewhere.example\r\n", "").await;
    assert!(page.status == 403 && page.json()["error"].is_string());
    assert_eq!(hand(&port.get("/gate").await.json()), (Value::Null, false));
    assert!(port.view.asked_to_drain().now_or_never().is_none());
}

#[tokio::test]
async fn the_drain_can_be_asked_for_and_asked_for_again() {
    let port = port().await;
    for _ in 0..2 {
        assert_eq!(post(&port, "/drain").await.status, 202);
    }
    assert!(port.view.asked_to_drain().now_or_never().is_some());
}
