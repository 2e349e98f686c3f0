//! readygate without a file descriptor left: its own trouble, not the backend's.

use futures_util::future::join_all;

use crate::harness::{
    gate::{admin, metric},
    process::Process,
    upstream::{Health, Upstream},
};

/// Open files: some twenty are readygate's own from the start, and every connection takes one.
const FILES: usize = 64;

/// Silent connections stay, and the open session is not waited for at the end.
const PATIENT: &str = "server.header_timeout = \"60s\"\ndrain.timeout = \"300ms\"";

/// One line of each dialer.
const TOLD: &str = "out of file descriptors: raise the limit or lower hold.sessions";

#[tokio::test]
async fn a_shortage_of_descriptors_shuts_no_gate_and_the_dial_is_tried_again_until_there_are_some() {
    let (mut upstream, health) = (Upstream::start().await, Health::start(true).await);
    let lines = format!("upstream.check = \"http://{}/\"\n{PATIENT}", health.address);
    let mut gate = Process::start_with_files(upstream.address, &lines, FILES).await;
    gate.logged("gate open").await;
    let mut client = gate.client().await;
    let silent = join_all((0..FILES).map(|_| gate.client())).await;
    // The check holds none and finds none: all of them are with connections that stay.
    gate.logged(TOLD).await;
    client.ask("/ws", &[]).await;
    gate.logged(TOLD).await;
    drop(silent);
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.upgraded().await;

    assert_eq!(admin(gate.admin, "/gate").await.json()["verdict"], "open");
    assert!(metric(gate.admin, "readygate_check_void_total{check=\"upstream\"}").await > 0.0);
    assert_eq!(metric(gate.admin, "readygate_check_failures_total{check=\"upstream\",class=\"refused\"}").await, 0.0);
    gate.signal("TERM").await;
    let log = gate.everything().await;
    assert!(!log.contains("gate shut"), "{log}");
}
