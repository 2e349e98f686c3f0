//! Whole stories of dependencies: services die and return under sessions, and what readygate tells of it.

mod breaker;
mod outage;
mod secrets;
mod single_flight;
mod suspicion;
mod timing;
mod verdicts;

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::{eventually, frame::Frame, gate::admin, raw::Raw};

/// A route's entry on `/gate`, once it has this verdict.
async fn route(address: SocketAddr, path: &str, verdict: &str) -> Value {
    eventually(&format!("route {path} {verdict}"), async || {
        let gate = admin(address, "/gate").await.json();
        entry(&gate["routes"], "path", path).filter(|route| route["verdict"] == verdict)
    })
    .await
}

/// A check's entry on `/gate`, once it is as wanted.
async fn check(address: SocketAddr, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("check {name}"), async || {
        let gate = admin(address, "/gate").await.json();
        entry(&gate["checks"], "name", name).filter(&wanted)
    })
    .await
}

fn entry(list: &Value, key: &str, name: &str) -> Option<Value> {
    list.as_array().unwrap().iter().find(|entry| entry[key] == name).cloned()
}

/// The names in a route's `blockers` or `missing`.
fn names(blockers: &Value) -> Vec<&str> {
    blockers.as_array().unwrap().iter().map(|blocker| blocker["check"].as_str().unwrap()).collect()
}

/// What came back of one message.
async fn echoed(client: &mut Raw, text: &str) {
    client.send_frame(&Frame::text(text)).await;
    assert_eq!(client.frame().await, Frame::text(text));
}
