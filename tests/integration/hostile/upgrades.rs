//! Tunnels: a backend's answer to a handshake that is no right 101 opens none, and what a client has sent behind its
//! handshake is then never the backend's.

use crate::harness::{
    frame::Frame,
    gate::{Running, Setup},
    head::head,
    raw::{ACCEPT, Raw, handshake, switching},
    upstream::Upstream,
};

const HOST: (&str, &str) = ("Host", "example.org");
const DEFERRED: &str = r#"gate.accept = "deferred""#;

/// A backend's answers that decline, and the status that the client gets.
const DECLINED: [(&str, u16); 8] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", 200),
    ("HTTP/1.1 204 No Content\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 204),
    ("HTTP/1.1 400 Bad Request\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno", 400),
    ("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 404),
    (
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
        426,
    ),
    ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401),
    // RFC 9112 §6.3: Transfer-Encoding counts.
    ("HTTP/1.1 200 OK\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 200),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nno\r\n0\r\n\r\n", 200),
];

/// Answers that cannot be passed on, to whatever was asked.
const UNUSABLE: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nno!",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/2 200\r\n\r\n",
];

#[tokio::test]
async fn behind_a_handshake_that_was_declined_the_next_request_is_a_request() {
    for deferred in [false, true] {
        for (answer, status) in DECLINED {
            let second = second();
            // One half comes glued to the handshake, the other while the backend thinks about it.
            let (glued, later) = second.split_at(second.len() / 2);
            let (gate, mut upstream, mut client, mut backend) = asked(deferred, glued).await;
            client.send(later).await;
            backend.send(answer).await;
            let first = client.response().await;
            assert_eq!(first.status(), status, "{answer:?}");
            assert!(["", "no"].contains(&first.text()), "{answer:?}: {:?}", first.text());
            backend.ended().await;
            let mut other = upstream.dialed().await;
            let request = other.head().await;
            assert_eq!(
                (request.first.as_str(), request.get("x-forwarded-for")),
                ("GET /second HTTP/1.1", Some("127.0.0.1"))
            );
            other.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond").await;
            assert_eq!(client.response().await.text(), "second");
            drop(gate);
        }
    }
}

#[tokio::test]
async fn behind_a_101_that_is_not_right_nothing_passes_either_way() {
    for deferred in [false, true] {
        for answer in wrong_101s() {
            let (gate, mut upstream, mut client, mut backend) = asked(deferred, &second()).await;
            // What comes with it would be the client's, had it been right.
            backend.send(answer.clone() + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await;
            assert_eq!(client.response().await.status(), 502, "{answer:?}");
            client.ended().await;
            backend.ended().await;
            assert!(upstream.is_left_alone().await, "{answer:?}");
            drop(gate);
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_in_one_way_is_502_whatever_was_asked() {
    for answer in UNUSABLE {
        let (_gate, _upstream, mut client, mut backend) = asked(false, "").await;
        backend.send(answer).await;
        assert_eq!(client.response().await.status(), 502, "to a handshake: {answer:?}");
        backend.ended().await;

        let mut upstream = Upstream::start().await;
        let gate = Setup::open(upstream.address).start().await;
        let mut client = gate.client().await;
        client.send(second()).await;
        let mut backend = upstream.dialed().await;
        backend.head().await;
        backend.send(answer).await;
        assert_eq!(client.response().await.status(), 502, "to a request: {answer:?}");
        backend.ended().await;
    }
}

#[tokio::test]
async fn a_101_that_speaks_of_a_body_is_followed_by_frames() {
    for lines in [&[("Content-Length", "5")][..], &[("Transfer-Encoding", "chunked")]] {
        let (_gate, _upstream, mut client, mut backend) = asked(false, "").await;
        let glued = Frame::text("glued").plain();
        backend.send([switching(ACCEPT, lines).into_bytes(), glued].concat()).await;
        let answer = client.upgraded().await;
        assert_eq!((answer.get("content-length"), answer.get("transfer-encoding")), (None, None), "{lines:?}");
        assert_eq!(client.frame().await, Frame::text("glued"));
        client.send_frame(&Frame::text("up")).await;
        assert_eq!(backend.frame().await, Frame::text("up"));
    }
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502_and_its_connection_is_not_used_again() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(second()).await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    backend.send(switching(ACCEPT, &[])).await;
    assert_eq!(client.response().await.status(), 502);
    backend.ended().await;
}

#[tokio::test]
async fn an_answer_behind_an_answer_is_nobodys() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(second()).await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    backend.send(ok("right") + &ok("poison")).await;
    assert_eq!(client.response().await.text(), "right");
    let mut other = gate.client().await;
    other.send(second()).await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    backend.send(ok("own")).await;
    assert_eq!(other.response().await.text(), "own");
}

#[tokio::test]
async fn a_request_behind_the_handshake_of_a_held_client_is_no_request() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(handshake("/ws", &[]) + &second()).await;
    client.upgraded().await;
    assert_eq!(client.closed().await.0, 1002);
    gate.open().await;
    gate.outcome("protocol_error", 1).await;
    assert!(upstream.is_left_alone().await);
}

/// A client that has sent its handshake with something behind it, and the dial that followed.
async fn asked(deferred: bool, behind: &str) -> (Running, Upstream, Raw, Raw) {
    let mut upstream = Upstream::start().await;
    let setup = if deferred { Setup::shut(upstream.address).with(DEFERRED) } else { Setup::open(upstream.address) };
    let gate = setup.start().await;
    let mut client = gate.client().await;
    client.send(handshake("/ws", &[]) + behind).await;
    if deferred {
        gate.holds(1).await;
        assert!(upstream.is_left_alone().await);
        gate.open().await;
    }
    let mut backend = upstream.dialed().await;
    assert_eq!(backend.head().await.first, "GET /ws HTTP/1.1");
    assert!(backend.is_silent().await, "what is behind the handshake has passed");
    (gate, upstream, client, backend)
}

fn wrong_101s() -> Vec<String> {
    let right = switching(ACCEPT, &[]);
    vec![
        switching("c29tZXRoaW5nIGVsc2UgaGVyZQ==", &[]),
        switching("", &[]),
        switching(&ACCEPT.to_lowercase(), &[]),
        switching(ACCEPT, &[("Sec-WebSocket-Accept", "c29tZXRoaW5nIGVsc2UgaGVyZQ==")]),
        right.replace("Sec-WebSocket-Accept", "X-Accept"),
        right.replace("Upgrade: websocket\r\n", ""),
        right.replace("Upgrade: websocket", "Upgrade: h2c"),
        right.replace("Connection: Upgrade", "Connection: close"),
        right.replace("Connection: Upgrade\r\n", ""),
        "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
    ]
}

fn second() -> String {
    head("GET /second HTTP/1.1", &[HOST])
}
