//! What a client is told, row by row of the table of close codes: by a status before its 101, by a Close after it.

use crate::harness::{
    frame::Frame,
    gate::{Setup, joined},
    head::{Response, head},
    raw::{ACCEPT, KEY, handshake, switching},
    upstream::{Upstream, nowhere},
};

const DEFERRED: &str = r#"gate.accept = "deferred""#;
const SHORT_HOLD: &str = r#"gate.hold_timeout = "80ms""#;
const SMALL_HOLD: &str = "hold.connection_bytes = \"1KiB\"\nhold.when_full = \"close\"";

/// Long enough for a refused dial to be tried a few times, which is what tells an upstream that is not there.
const SOME_RETRIES: &str = "gate.hold_timeout = \"1s\"\nupstream.backoff = { initial = \"1ms\", max = \"5ms\" }";

#[tokio::test]
async fn a_hold_that_timed_out_is_503_before_the_101() {
    let gate = Setup::shut(nowhere().await).with(DEFERRED).with(SHORT_HOLD).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    told_to_come_back(&client.response().await, "not ready in time");
    gate.outcome("hold_timeout", 1).await;
}

#[tokio::test]
async fn a_hold_that_timed_out_is_1013_after_the_101() {
    let gate = Setup::shut(nowhere().await).with(SHORT_HOLD).start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("never delivered")).await;
    assert_eq!(client.closed().await, (1013, "not ready in time".into()));
    drop(client);
    gate.outcome("hold_timeout", 1).await;
    assert_eq!(gate.ledger().await, (1, 0, 1));
}

#[tokio::test]
async fn traffic_does_not_extend_a_hold() {
    let gate = Setup::shut(nowhere().await).with(r#"gate.hold_timeout = "300ms""#).start().await;
    let mut client = gate.held_client().await;
    let mut pongs = 0;
    let closing = loop {
        client.send_frame(&Frame::ping("still here")).await;
        let frame = client.frame().await;
        if frame != Frame::pong("still here") {
            break frame.closing();
        }
        pongs += 1;
    };
    assert_eq!(closing.0, 1013);
    assert!(pongs > 1, "{pongs} pongs");
}

#[tokio::test]
async fn a_full_hold_is_1013_where_the_policy_is_to_close() {
    let gate = Setup::shut(nowhere().await).with(SMALL_HOLD).start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::binary(&[1; 600])).await;
    client.send_frame(&Frame::binary(&[2; 600])).await;
    assert_eq!(client.closed().await, (1013, "hold full".into()));
    drop(client);
    gate.outcome("hold_full", 1).await;
    let (received, delivered, refused) = gate.ledger().await;
    assert_eq!((received, delivered), (refused, 0));
}

#[tokio::test]
async fn one_client_more_than_may_be_held_is_503() {
    let gate = Setup::shut(nowhere().await).with("hold.sessions = 1").start().await;
    let _first = gate.held_client().await;
    let mut second = gate.client().await;
    second.ask("/ws", &[]).await;
    told_to_come_back(&second.response().await, "too many waiting");
    assert_eq!(gate.admin("/readyz").await.status(), 503);
}

#[tokio::test]
async fn a_message_that_may_never_be_held_is_1009() {
    let gate = Setup::shut(nowhere().await).with("hold.connection_bytes = \"1KiB\"").start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("small")).await;
    client.send_frame(&Frame::binary(&[1; 2000])).await;
    assert_eq!(client.closed().await.0, 1009);
    drop(client);
    gate.outcome("too_big", 1).await;
}

#[tokio::test]
async fn fragments_of_a_message_that_may_never_be_held_add_up_to_1009() {
    let gate = Setup::shut(nowhere().await).with("hold.connection_bytes = \"1KiB\"").start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::new(0x02, [1; 600])).await;
    client.send_frame(&Frame::new(0x80, [1; 600])).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn a_frame_that_is_not_finished_in_time_is_1008() {
    let gate = Setup::shut(nowhere().await).with(r#"hold.frame_timeout = "80ms""#).start().await;
    let mut client = gate.held_client().await;
    client.send(&Frame::text("unfinished").masked()[..9]).await;
    assert_eq!(client.closed().await, (1008, "frame not finished in time".into()));
}

#[tokio::test]
async fn a_refusal_of_the_upstream_is_relayed_before_the_101() {
    for (status, body) in [("401 Unauthorized", "who are you"), ("403 Forbidden", "not you"), ("200 OK", "no socket")] {
        let answer = refusal(status, body);
        let response = refused(&answer, Setup::open).await;
        assert_eq!((response.head.first, response.body), (format!("HTTP/1.1 {status}"), body.into()));
        let response = refused(&answer, |address| Setup::shut(address).with(DEFERRED)).await;
        assert_eq!((response.head.get("x-backend"), response.status().to_string()), (Some("yes"), status[..3].into()));
    }
}

#[tokio::test]
async fn a_refusal_of_the_upstream_is_3000_3003_or_1014_after_the_101() {
    for (status, code) in [
        ("401 Unauthorized", 3000),
        ("403 Forbidden", 3003),
        ("404 Not Found", 1014),
        ("503 Service Unavailable", 1014),
        ("200 OK", 1014),
        ("302 Found", 1014),
    ] {
        let (closing, ledger) = closed_after(&refusal(status, "no"), "").await;
        assert_eq!((closing, ledger), ((code, "refused by upstream".into()), (1, 0, 1)), "{status}");
    }
}

#[tokio::test]
async fn close_codes_of_refusals_can_be_configured() {
    let codes = r#"gate.close_codes = { "401" = 4401 }"#;
    assert_eq!(closed_after(&refusal("401 Unauthorized", "no"), codes).await.0.0, 4401);
    assert_eq!(closed_after(&refusal("403 Forbidden", "no"), codes).await.0.0, 1014);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_502_before_the_101() {
    let gate = Setup::open(nowhere().await).with(DEFERRED).with(SOME_RETRIES).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    assert_eq!(client.response().await.json()["error"], "upstream unreachable");
    gate.outcome("upstream_unreachable", 1).await;
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_1014_after_the_101() {
    let gate = Setup::open(nowhere().await).with(SOME_RETRIES).start().await;
    let mut client = gate.held_client().await;
    assert_eq!(client.closed().await, (1014, "upstream unreachable".into()));
    assert!(gate.metric("readygate_dial_retries_total").await >= 3.0);
}

#[tokio::test]
async fn a_bad_handshake_is_502_before_the_101() {
    for answer in bad_handshakes() {
        let response = refused(&answer, Setup::open).await;
        assert_eq!(
            (response.status(), response.json()["error"].as_str()),
            (502, Some("bad upstream handshake")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_handshake_is_1014_after_the_101() {
    for answer in bad_handshakes() {
        let (closing, ledger) = closed_after(&answer, "").await;
        assert_eq!((closing, ledger), ((1014, "bad upstream handshake".into()), (1, 0, 1)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_silent_upstream_is_504_before_the_101() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).with(r#"upstream.handshake_timeout = "80ms""#).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    let _silent = upstream.dialed().await;
    let response = client.response().await;
    assert_eq!((response.status(), response.json()["error"].as_str()), (504, Some("upstream timeout")));
}

#[tokio::test]
async fn a_silent_upstream_is_1014_after_the_101() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(r#"upstream.handshake_timeout = "80ms""#).start().await;
    let mut client = gate.held_client().await;
    gate.open().await;
    let _silent = upstream.dialed().await;
    assert_eq!(client.closed().await, (1014, "upstream timeout".into()));
}

#[tokio::test]
async fn an_upstream_lost_without_a_close_is_1012() {
    for reset in [false, true] {
        let (gate, mut client, mut backend) = joined().await;
        backend.send_frame(&Frame::text("before the end")).await;
        assert_eq!(client.frame().await, Frame::text("before the end"));
        match reset {
            true => backend.reset(),
            false => drop(backend),
        }
        assert_eq!(client.closed().await, (1012, "upstream lost".into()), "reset: {reset}");
        drop(client);
        gate.outcome("upstream_lost", 1).await;
    }
}

#[tokio::test]
async fn an_upstream_lost_inside_a_frame_cuts_the_client_and_puts_nothing_into_the_frame() {
    let (gate, mut client, mut backend) = joined().await;
    let frame = Frame::text("only a part of this").plain();
    backend.send(&frame[..7]).await;
    assert_eq!(client.exactly(7).await, frame[..7]);
    drop(backend);
    client.ended().await;
    gate.outcome("upstream_lost", 1).await;
}

#[tokio::test]
async fn the_upstreams_own_close_passes_untouched() {
    for (code, reason) in [(1000, "bye"), (1001, ""), (1011, "boom"), (4321, "its own")] {
        let (_gate, mut client, mut backend) = joined().await;
        backend.send_frame(&Frame::close(code, reason)).await;
        assert_eq!(client.frame().await.closing(), (code, reason.into()));
        client.send_frame(&Frame::close(code, "")).await;
        assert_eq!(backend.frame().await.closing().0, code);
    }
}

#[tokio::test]
async fn a_client_that_breaks_rfc_6455_while_held_is_told_1002_or_1007() {
    for (bytes, code) in [
        (Frame::text("unmasked").plain(), 1002),
        (Frame::new(0xc1, "a reserved bit").masked(), 1002),
        (Frame::new(0x83, "a reserved opcode").masked(), 1002),
        (Frame::new(0x09, "a fragmented ping").masked(), 1002),
        (Frame::new(0x89, [b'x'; 126]).masked(), 1002),
        (Frame::new(0x80, "a continuation of nothing").masked(), 1002),
        (Frame::new(0x88, [0]).masked(), 1002),
        (Frame::close(1005, "").masked(), 1002),
        (Frame::new(0x81, [0xff, 0xfe]).masked(), 1007),
        ([Frame::new(0x01, [0xc3]).masked(), Frame::new(0x80, [0x28]).masked()].concat(), 1007),
        (Frame::new(0x88, [0x03, 0xe8, 0xff]).masked(), 1007),
    ] {
        let gate = Setup::shut(nowhere().await).start().await;
        let mut client = gate.held_client().await;
        client.send(&bytes).await;
        assert_eq!(client.closed().await.0, code, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_rfc_6455_is_400_or_426() {
    let good = handshake("/ws", &[]);
    let gate = Setup::shut(nowhere().await).start().await;
    for (from, to, status) in [
        ("GET /ws", "POST /ws", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Connection: Upgrade", "Connection: keep-alive", 400),
        (KEY, "dG9vIHNob3J0", 400),
        ("Version: 13", "Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Host: example.org\r\n", "", 400),
        ("Host: example.org", "Host: example.org\r\nContent-Length: 2", 400),
    ] {
        let request = good.replacen(from, to, 1);
        assert_ne!(request, good);
        let mut client = gate.client().await;
        client.send(&request).await;
        let response = client.response().await;
        assert_eq!(response.status(), status, "{request}");
        assert_eq!(response.head.get("sec-websocket-version"), (status == 426).then_some("13"));
    }
}

#[tokio::test]
async fn a_drain_is_503_before_the_101_and_1012_after_it() {
    let mut gate = Setup::shut(nowhere().await).with(r#"drain.timeout = "300ms""#).start().await;
    let mut early = gate.held_client().await;
    let mut deferred = gate.client().await;
    deferred.ask("/ws", &[("Origin", "https://elsewhere.example")]).await;
    gate.holds(2).await;
    gate.drain();
    assert_eq!(early.closed().await, (1012, "restarting".into()));
    told_to_come_back(&deferred.response().await, "restarting");
    gate.ended().await;
}

#[tokio::test]
async fn a_timed_out_hold_passes_where_the_policy_is_to_fail_open() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(SHORT_HOLD).with(r#"gate.on_timeout = "pass""#).start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("all the same")).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert_eq!(backend.frame().await, Frame::text("all the same"));
}

fn told_to_come_back(response: &Response, why: &str) {
    assert_eq!((response.status(), response.json()["error"].as_str()), (503, Some(why)));
    let seconds: u32 = response.head.get("retry-after").expect("Retry-After").parse().unwrap();
    assert!(seconds > 0);
}

/// What a client is told whose 101 depends on this answer of the upstream.
async fn refused(answer: &str, setup: impl Fn(std::net::SocketAddr) -> Setup) -> Response {
    let mut upstream = Upstream::start().await;
    let gate = setup(upstream.address).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    backend.send(answer).await;
    drop(backend);
    client.response().await
}

/// The Close to a held client whose upstream then answers so, and the ledger: its message was never delivered.
async fn closed_after(answer: &str, lines: &str) -> ((u16, String), (u64, u64, u64)) {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(lines).start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("held")).await;
    gate.holds_bytes(|bytes| bytes > 0).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    backend.send(answer).await;
    backend.finish().await;
    let closing = client.closed().await;
    backend.ended().await;
    drop(client);
    gate.metric_is(r#"readygate_frames_total{fate="received"}"#, 1.0).await;
    (closing, gate.ledger().await)
}

fn refusal(status: &str, body: &str) -> String {
    let length = body.len().to_string();
    head(&format!("HTTP/1.1 {status}"), &[("X-Backend", "yes"), ("Content-Length", &length)]) + body
}

fn bad_handshakes() -> Vec<String> {
    vec![
        switching("c29tZXRoaW5nIGVsc2UgaGVyZQ==", &[]),
        switching(ACCEPT, &[("Sec-WebSocket-Accept", ACCEPT)]),
        switching(ACCEPT, &[]).replace("Sec-WebSocket-Accept", "X-Accept"),
        switching(ACCEPT, &[]).replace("Upgrade: websocket", "Upgrade: h2c"),
        switching(ACCEPT, &[]).replace("Connection: Upgrade", "Connection: keep-alive"),
        "220 mail.example.org ESMTP\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switch".to_owned(),
        String::new(),
    ]
}
