//! How long a backend may keep an answer to itself.

use super::HOST;
use crate::harness::{eventually, gate::Setup, head::head, upstream::Upstream};

#[tokio::test]
async fn a_backend_that_takes_a_request_and_is_silent_is_504_and_a_stream_may_be_silent_for_longer() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).with("http.response_timeout = \"100ms\"").start().await;
    // On a machine that stands still for a tenth of a second, a backend is late whatever it does.
    let (mut client, mut stream) = eventually("a head in time", async || {
        let mut client = gate.client().await;
        client.send(head("GET /events HTTP/1.1", &[HOST])).await;
        let mut backend = upstream.dialed().await;
        backend.head().await;
        backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        (client.head().await.status() == 200).then_some((client, backend))
    })
    .await;
    let mut silenced = gate.client().await;
    silenced.send(head("GET / HTTP/1.1", &[HOST])).await;
    let mut silent = upstream.dialed().await;
    silent.head().await;
    let refusal = silenced.response().await;
    assert_eq!((refusal.status(), refusal.json()["error"].as_str()), (504, Some("upstream timeout")));
    silent.ended().await;
    // The stream has been silent for longer than that.
    stream.send("3\r\nend\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await, b"end");
}
