//! The corpus of requests through readygate: what is answered, and what the backend saw.
//!
//! Each runs through an open gate, and through a shut one that opens once everybody who may wait does.

use super::{
    corpus::{CHUNKS, Case, ENCODINGS, LENGTHS, LINES, PROTOCOLS, TARGETS},
    recorder::Recorder,
};
use crate::harness::{
    eventually,
    gate::{Running, Setup},
    raw::Raw,
};

#[tokio::test]
async fn what_two_servers_could_read_in_two_ways_reaches_the_backend_in_one_or_not_at_all() {
    let backend = Recorder::start().await;
    let gate = Setup::open(backend.address).start().await;
    for case in cases() {
        println!("open: {}", case.0);
        let mut client = gate.client().await;
        client.send(case.1).await;
        is_answered(&mut client, case.2).await;
        is_seen(&backend, &case);
    }
}

#[tokio::test]
async fn what_a_shut_gate_refuses_it_refuses_at_once_and_the_rest_reaches_the_backend_after_it_opened() {
    let backend = Recorder::start().await;
    let gate = Setup::shut(backend.address).start().await;
    for case in cases() {
        println!("shut: {}", case.0);
        let mut client = gate.client().await;
        client.send(case.1).await;
        // A body is not read while its request is held.
        if CHUNKS.contains(&case) || case.2.contains(&200) {
            waits(&gate).await;
            assert_eq!(backend.take(), []);
            gate.open().await;
            is_answered(&mut client, case.2).await;
            gate.shut().await;
        } else {
            is_answered(&mut client, case.2).await;
        }
        is_seen(&backend, &case);
    }
}

fn cases() -> Vec<Case> {
    [&LENGTHS[..], &ENCODINGS, &CHUNKS, &LINES, &TARGETS, &PROTOCOLS].concat()
}

/// So many answers, and not one more.
async fn is_answered(client: &mut Raw, statuses: &[u16]) {
    let mut seen = Vec::new();
    for _ in statuses {
        seen.push(client.response().await.status());
    }
    assert_eq!(seen, statuses);
    client.hang_up().await;
    client.ended().await;
}

/// The backend's requests were these; a request that broke off is none.
fn is_seen(backend: &Recorder, case: &Case) {
    let mut seen = backend.take();
    seen.retain(|request| !(CHUNKS.contains(case) && request.first.starts_with("unfinished: ")));
    let lines: Vec<String> = seen.iter().map(|request| request.line()).collect();
    assert_eq!(lines, case.3);
    for request in seen {
        for name in ["upgrade", "http2-settings", "keep-alive", "proxy-connection"] {
            let is_named = !(name == "http2-settings" && case.0.contains("does not name"));
            assert!(!is_named || request.all(name).is_empty(), "{request:?}");
        }
        assert_eq!(request.all("host"), [host(case.1)], "{request:?}");
        assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"], "{request:?}");
    }
}

/// Whom a request says it is for.
fn host(request: &[u8]) -> &str {
    let mut lines =
        request.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line.trim_ascii()).unwrap_or_default());
    lines.find_map(|line| line.strip_prefix("Host: ")).expect("a request with a Host")
}

async fn waits(gate: &Running) {
    eventually("a waiting request", async || {
        let status = gate.admin("/status").await.json();
        (status["hold"]["sessions"] == 1).then_some(())
    })
    .await;
}
