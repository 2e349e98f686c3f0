//! Heads and bodies of every size.

use super::{CHUNKED, HOST, asked};
use crate::harness::{gate::Setup, head::head, raw::handshake, upstream::Upstream};

#[tokio::test]
async fn a_body_without_a_length_passes_whatever_the_method() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST"] {
        let (_gate, mut client, mut backend) = asked(&format!("{method} / HTTP/1.1"), &[HOST, CHUNKED]).await;
        client.send("3\r\nabc\r\n0\r\n\r\n").await;
        assert_eq!(backend.head().await.all("transfer-encoding"), ["chunked"], "{method}");
        assert_eq!((backend.chunk().await, backend.chunk().await), (b"abc".to_vec(), vec![]), "{method}");
    }
}

#[tokio::test]
async fn a_request_without_a_body_is_passed_on_without_one() {
    let (_gate, _client, mut backend) = asked("GET / HTTP/1.1", &[HOST]).await;
    let request = backend.head().await;
    assert_eq!((request.get("transfer-encoding"), request.get("content-length")), (None, None));
}

#[tokio::test]
async fn heads_of_the_greatest_configured_size_pass_and_longer_ones_are_431() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).with("server.header_bytes = \"1MiB\"").start().await;
    let cookie = "c".repeat(1_000_000);
    for head in [head("GET / HTTP/1.1", &[HOST, ("Cookie", &cookie)]), handshake("/ws", &[("Cookie", &cookie)])] {
        let mut client = gate.client().await;
        client.send(head).await;
        assert_eq!(upstream.dialed().await.head().await.get("cookie"), Some(cookie.as_str()));
    }
    let mut client = gate.client().await;
    client.send(head("GET / HTTP/1.1", &[HOST, ("Cookie", &"c".repeat(1 << 20))])).await;
    assert_eq!(client.head().await.status(), 431);
}
