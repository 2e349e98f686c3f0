//! Plain HTTP beside the WebSockets.

mod kept;
mod silence;
mod sizes;

use std::time::Duration;

use tokio::{net::TcpSocket, net::TcpStream, time::timeout};

use crate::harness::{
    eventually,
    gate::{Running, Setup},
    head::head,
    raw::Raw,
    upstream::{Upstream, nowhere},
    within,
};

const HOST: (&str, &str) = ("Host", "example.org");
const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

#[tokio::test]
async fn bodies_stream_both_ways_chunk_by_chunk() {
    let (_gate, mut client, mut backend) = asked("POST /chat HTTP/1.1", &[HOST, CHUNKED]).await;
    backend.head().await;
    client.send("3\r\none\r\n").await;
    assert_eq!(backend.chunk().await, b"one");
    backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n").await;
    assert_eq!(client.head().await.status(), 200);
    assert_eq!(client.chunk().await, b"uno");
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!((backend.chunk().await, backend.chunk().await), (b"two".to_vec(), vec![]));
    backend.send("3\r\ndos\r\n0\r\n\r\n").await;
    assert_eq!((client.chunk().await, client.chunk().await), (b"dos".to_vec(), vec![]));
}

#[tokio::test]
async fn connections_to_client_and_upstream_are_used_again() {
    let (_gate, mut client, mut backend) = asked("GET /one HTTP/1.1", &[HOST]).await;
    assert_eq!(backend.head().await.first, "GET /one HTTP/1.1");
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
    assert_eq!(client.response().await.text(), "one");
    client.send(head("GET /two?x=1 HTTP/1.1", &[HOST])).await;
    assert_eq!(backend.head().await.first, "GET /two?x=1 HTTP/1.1");
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo").await;
    assert_eq!(client.response().await.text(), "two");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(head("GET /one HTTP/1.1", &[HOST]) + &head("GET /two HTTP/1.1", &[HOST])).await;
    let mut backend = upstream.dialed().await;
    for name in ["one", "two"] {
        assert_eq!(backend.head().await.first, format!("GET /{name} HTTP/1.1"));
        assert!(backend.is_silent().await);
        backend.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{name}")).await;
        assert_eq!(client.response().await.text(), name);
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let lines = [HOST, CHUNKED, ("TE", "trailers"), ("Trailer", "X-Sum")];
    let (_gate, mut client, mut backend) = asked("POST / HTTP/1.1", &lines).await;
    assert_eq!(backend.head().await.get("te"), Some("trailers"));
    client.send("1\r\na\r\n0\r\nX-Sum: asked\r\n\r\n").await;
    assert_eq!((backend.chunk().await, backend.chunk().await), (b"a".to_vec(), vec![]));
    assert_eq!(backend.line().await.to_lowercase(), "x-sum: asked");
    backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n").await;
    backend.send("1\r\nb\r\n0\r\nX-Sum: answered\r\n\r\n").await;
    assert_eq!(client.head().await.get("trailer"), Some("X-Sum"));
    assert_eq!((client.chunk().await, client.chunk().await), (b"b".to_vec(), vec![]));
    assert_eq!(client.line().await.to_lowercase(), "x-sum: answered");
}

#[tokio::test]
async fn answers_without_a_body_keep_their_headers_and_the_connection() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nX-Empty: yes\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
    ] {
        let (_gate, mut client, mut backend) = asked(&format!("{method} / HTTP/1.1"), &[HOST]).await;
        backend.head().await;
        backend.send(answer).await;
        let seen = client.head().await;
        let name = ["content-length", "x-empty", "etag"].into_iter().find(|name| answer.to_lowercase().contains(name));
        assert_eq!(seen.all(name.unwrap()).len(), 1, "{seen:?}");
        client.send(head("GET /next HTTP/1.1", &[HOST])).await;
        assert_eq!(backend.head().await.first, "GET /next HTTP/1.1", "{method} {answer}");
    }
}

#[tokio::test]
async fn a_client_that_expects_100_hears_it_when_its_request_is_released_and_not_before() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(head("POST / HTTP/1.1", &[HOST, ("Content-Length", "4"), ("Expect", "100-continue")])).await;
    requests_wait(&gate, 1).await;
    assert!(client.is_silent().await);
    gate.open().await;
    let mut backend = upstream.dialed().await;
    assert_eq!(client.head().await.status(), 100);
    client.send("body").await;
    let request = backend.head().await;
    assert_eq!((request.get("content-length"), backend.exactly(4).await.as_slice()), (Some("4"), b"body".as_slice()));
    backend.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 201);
}

#[tokio::test]
async fn what_concerns_one_connection_is_stripped_on_both_ways() {
    let lines = [
        HOST,
        ("Connection", "keep-alive, X-Private"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic eA=="),
        ("TE", "gzip"),
        ("Upgrade", "h2c"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("x-Case", "kept"),
    ];
    let (_gate, mut client, mut backend) = asked("GET /a//b/../c?d=%2F&&e HTTP/1.1", &lines).await;
    let request = backend.head().await;
    assert_eq!(request.first, "GET /a//b/../c?d=%2F&&e HTTP/1.1");
    for name in ["x-private", "keep-alive", "proxy-authorization", "te", "upgrade"] {
        assert_eq!(request.get(name), None, "{request:?}");
    }
    assert_eq!(request.get("host"), Some("example.org"));
    assert_eq!(request.get("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(request.get("x-forwarded-proto"), Some("http"));
    assert_eq!(request.get("x-forwarded-host"), Some("example.org"));
    assert!(request.names().contains(&"x-Case"), "{request:?}");
    let answer =
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n";
    backend.send(answer).await;
    let seen = client.response().await.head;
    assert_eq!(["x-hop", "keep-alive", "x-end"].map(|name| seen.get(name)), [None, None, Some("1")]);
}

#[tokio::test]
async fn what_an_outer_proxy_saw_is_passed_on_and_not_what_readygate_sees() {
    let lines = [HOST, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "public.example")];
    let (_gate, _client, mut backend) = asked("GET / HTTP/1.1", &lines).await;
    let request = backend.head().await;
    assert_eq!(request.get("x-forwarded-proto"), Some("https"));
    assert_eq!(request.get("x-forwarded-host"), Some("public.example"));
}

#[tokio::test]
async fn an_absolute_request_target_is_forwarded_as_a_path() {
    let (_gate, _client, mut backend) = asked("GET http://example.org/x?y HTTP/1.1", &[HOST]).await;
    assert_eq!(backend.head().await.first, "GET /x?y HTTP/1.1");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_502_in_json() {
    let gate = Setup::open(nowhere().await).with(r#"http.when_shut = "pass""#).start().await;
    let mut client = gate.client().await;
    client.send(head("GET / HTTP/1.1", &[HOST])).await;
    let response = client.response().await;
    assert_eq!(response.head.get("content-type"), Some("application/json"));
    assert_eq!(response.json(), serde_json::json!({ "status": 502, "error": "upstream unreachable" }));
}

#[tokio::test]
async fn an_upstream_that_does_not_take_the_connection_is_504_in_json() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
    }
    let gate = Setup::open(address).with(r#"upstream.connect_timeout = "50ms""#).start().await;
    let mut client = gate.client().await;
    client.send(head("GET / HTTP/1.1", &[HOST])).await;
    assert_eq!(client.response().await.json(), serde_json::json!({ "status": 504, "error": "upstream timeout" }));
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_is_502_in_json() {
    for answer in ["220 mail.example.org ESMTP\r\n\r\n", "HTTP/1.1 2", ""] {
        let (_gate, mut client, mut backend) = asked("GET / HTTP/1.1", &[HOST]).await;
        backend.head().await;
        backend.send(answer).await;
        drop(backend);
        assert_eq!(client.response().await.json()["error"], "bad upstream answer", "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_completed() {
    for (answer, seen) in [
        ("Content-Length: 10\r\n\r\nfour", "four"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n", "4\r\nfour\r\n"),
    ] {
        let (_gate, mut client, mut backend) = asked("GET / HTTP/1.1", &[HOST]).await;
        backend.head().await;
        backend.send(format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        assert_eq!(client.head().await.status(), 200);
        assert_eq!(client.exactly(seen.len()).await, seen.as_bytes());
        drop(backend);
        client.ended().await;
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_never_completed() {
    let (_gate, mut client, mut backend) = asked("POST / HTTP/1.1", &[HOST, CHUNKED]).await;
    client.send("3\r\none\r\n").await;
    backend.head().await;
    assert_eq!(backend.chunk().await, b"one");
    client.reset();
    backend.ended().await;
}

#[tokio::test]
async fn a_request_is_held_while_the_gate_is_shut() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(head("POST / HTTP/1.1", &[HOST, ("Content-Length", "4")]) + "body").await;
    requests_wait(&gate, 1).await;
    assert!(upstream.is_left_alone().await);
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    assert_eq!(backend.exactly(4).await, b"body");
    requests_wait(&gate, 0).await;
}

#[tokio::test]
async fn a_request_held_too_long_is_503() {
    let gate = Setup::shut(nowhere().await).with(r#"gate.hold_timeout = "80ms""#).start().await;
    let mut client = gate.client().await;
    client.send(head("GET / HTTP/1.1", &[HOST])).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.json()["error"].as_str()), (503, Some("not ready in time")));
    assert!(response.head.get("retry-after").is_some());
}

#[tokio::test]
async fn a_shut_gate_can_refuse_or_pass_requests() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(r#"http.when_shut = "refuse""#).start().await;
    let mut client = gate.client().await;
    client.send(head("GET / HTTP/1.1", &[HOST])).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.json()["error"].as_str()), (503, Some("not ready")));
    let gate = Setup::shut(upstream.address).with(r#"http.when_shut = "pass""#).start().await;
    let mut client = gate.client().await;
    client.send(head("GET /passed HTTP/1.1", &[HOST])).await;
    assert_eq!(upstream.dialed().await.head().await.first, "GET /passed HTTP/1.1");
}

#[tokio::test]
async fn a_request_survives_refused_dials_with_its_body_intact() {
    let address = nowhere().await;
    let gate = Setup::open(address).start().await;
    let mut client = gate.client().await;
    let body = pattern(1 << 20);
    let request = head("POST / HTTP/1.1", &[HOST, ("Content-Length", &body.len().to_string())]);
    client.send(request).await;
    gate.has_shut().await;
    let mut upstream = Upstream::start_on(address).await;
    let sending = async { client.send(&body).await };
    let receiving = async {
        let mut backend = upstream.dialed().await;
        backend.head().await;
        backend.exactly(1 << 20).await
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert!(received == body, "the body was changed");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_unchanged() {
    const SIZE: usize = 8 << 20;
    let length = SIZE.to_string();
    let (_gate, mut client, mut backend) = asked("POST / HTTP/1.1", &[HOST, ("Content-Length", &length)]).await;
    let body = pattern(SIZE);
    let (_, request) = tokio::join!(client.send(&body), async {
        backend.head().await;
        backend.exactly(SIZE).await
    });
    assert!(request == body, "the request's body was changed");
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes(), &body].concat();
    let (_, response) = tokio::join!(backend.send(answer), client.response());
    assert!(response.body == body, "the answer's body was changed");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_431() {
    let gate = Setup::open(nowhere().await).with(r#"server.header_bytes = "8KiB""#).start().await;
    let mut client = gate.client().await;
    client.send(head("GET / HTTP/1.1", &[HOST, ("X-Long", &"x".repeat(9000))])).await;
    assert_eq!(client.head().await.status(), 431);
}

#[tokio::test]
async fn a_head_that_takes_too_long_is_408_also_when_it_is_the_second() {
    let (_gate, mut client, mut backend) =
        asked_of(|address| Setup::open(address).with(r#"server.header_timeout = "150ms""#), "GET / HTTP/1.1", &[HOST])
            .await;
    backend.head().await;
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.response().await;
    client.send("GET /slow HTT").await;
    assert_eq!(client.response().await.status(), 408);
    client.ended().await;
}

#[tokio::test]
async fn what_two_servers_could_read_in_two_ways_is_400() {
    let gate = Setup::open(nowhere().await).start().await;
    for (first, lines) in [
        ("GET / HTTP/1.1", &[][..]),
        ("GET / HTTP/1.1", &[HOST, HOST]),
        ("GET / HTTP/1.1", &[HOST, ("Host", "other.example")]),
        ("GET http://other.example/ HTTP/1.1", &[HOST]),
        ("POST / HTTP/1.1", &[HOST, ("Transfer-Encoding", "chunked, chunked")]),
        ("POST / HTTP/1.1", &[HOST, ("Transfer-Encoding", "gzip, chunked")]),
        ("POST / HTTP/1.1", &[HOST, CHUNKED, CHUNKED]),
        ("POST / HTTP/1.1", &[HOST, ("Transfer-Encoding", "identity")]),
        ("POST / HTTP/1.1", &[HOST, ("Content-Length", "1"), ("Content-Length", "2")]),
    ] {
        let mut client = gate.client().await;
        client.send(head(first, lines)).await;
        assert_eq!(client.head().await.status(), 400, "{first} {lines:?}");
        within("the end", client.rest()).await;
    }
}

#[tokio::test]
async fn interim_answers_pass_in_front_of_the_final_one() {
    let (_gate, mut client, mut backend) = asked("GET / HTTP/1.1", &[HOST]).await;
    backend.head().await;
    backend.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
    let hints = client.head().await;
    assert_eq!((hints.status(), hints.get("link")), (103, Some("</a.css>; rel=preload")));
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn a_waiting_request_whose_client_hangs_up_gives_its_place_back_and_is_not_sent() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(head("POST /order HTTP/1.1", &[HOST, ("Content-Length", "0")])).await;
    requests_wait(&gate, 1).await;
    drop(client);
    requests_wait(&gate, 0).await;
    gate.open().await;
    assert!(upstream.is_left_alone().await);
}

async fn asked(first: &str, lines: &[(&str, &str)]) -> (Running, Raw, Raw) {
    asked_of(Setup::open, first, lines).await
}

/// A gate, a client that has sent a head, and the dial that follows.
async fn asked_of(
    setup: impl Fn(std::net::SocketAddr) -> Setup,
    first: &str,
    lines: &[(&str, &str)],
) -> (Running, Raw, Raw) {
    let mut upstream = Upstream::start().await;
    let gate = setup(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(head(first, lines)).await;
    let backend = upstream.dialed().await;
    (gate, client, backend)
}

/// Waits until so many places are taken.
async fn requests_wait(gate: &Running, count: u64) {
    eventually("waiting requests", async || {
        let status = gate.admin("/status").await.json();
        (status["hold"]["sessions"] == count).then_some(())
    })
    .await;
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}
