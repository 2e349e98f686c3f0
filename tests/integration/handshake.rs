//! Who answers a handshake, and that nothing passes before a right answer.

use serde_json::Value;

use crate::harness::{
    frame::Frame,
    gate::{Running, Setup},
    head::{Head, head},
    raw::{Raw, handshake, switching},
    upstream::Upstream,
};

const DEFERRED: &str = r#"gate.accept = "deferred""#;

/// By this the tests see that a 101 is the upstream's own.
const BACKEND: (&str, &str) = ("X-Backend", "yes");

#[tokio::test]
async fn with_the_gate_open_the_handshake_is_the_upstreams_own() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    let asked = [
        ("Origin", "https://elsewhere.example"),
        ("Sec-WebSocket-Protocol", "bearer, t0ken"),
        ("Sec-WebSocket-Protocol", "chat.v1"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Cookie", "a=1; b=2"),
        ("Authorization", "Bearer t0ken"),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
    ];
    client.ask("/ws/room?id=7&x=%20", &asked).await;
    let mut backend = upstream.dialed().await;
    let answered = [
        ("Sec-WebSocket-Protocol", "bearer"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Set-Cookie", "session=1; Path=/"),
        ("Set-Cookie", "other=2"),
        ("X-Backend", "yes"),
    ];
    let request = backend.accept(&answered).await;
    assert_eq!(request.first, "GET /ws/room?id=7&x=%20 HTTP/1.1");
    assert_eq!(request.get("host"), Some("example.org"));
    assert_has(&request, &asked);
    assert_has(&client.upgraded().await, &answered);
}

#[tokio::test]
async fn header_names_keep_their_case_on_both_ways() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[("x-LOWER-and-UPPER", "1"), ("COOKIE", "a=1")]).await;
    let mut backend = upstream.dialed().await;
    let request = backend.accept(&[("X-Strange-CASE", "1"), ("set-cookie", "a=1")]).await;
    for name in ["Host", "x-LOWER-and-UPPER", "COOKIE", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        assert!(request.names().contains(&name), "{name} is not in {:?}", request.names());
    }
    let answer = client.upgraded().await;
    for name in ["X-Strange-CASE", "set-cookie", "Sec-WebSocket-Accept"] {
        assert!(answer.names().contains(&name), "{name} is not in {:?}", answer.names());
    }
}

#[tokio::test]
async fn a_handshake_is_the_same_at_once_in_pieces_and_behind_another_request() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let lines = [("X-Strange-CASE", "1"), ("Cookie", "a=1"), ("cookie", "b=2"), ("Keep-Alive", "timeout=5")];
    let asked = handshake("/ws?id=%20", &lines).into_bytes();

    let mut at_once = gate.client().await;
    at_once.send([&asked[..], &Frame::text("glued").masked()].concat()).await;
    let expected = told_and_answered(at_once, &mut upstream).await;

    let mut in_pieces = gate.client().await;
    in_pieces.send(&asked[..20]).await;
    // An answer of the same process: it has turned to its sockets meanwhile.
    gate.admin("/livez").await;
    in_pieces.send([&asked[20..], &Frame::text("glued").masked()].concat()).await;
    assert_eq!(told_and_answered(in_pieces, &mut upstream).await, expected, "in pieces");

    let mut behind = gate.client().await;
    behind.send("GET /plain HTTP/1.1\r\nHOST: example.org\r\n\r\n").await;
    let mut plain = upstream.dialed().await;
    plain.head().await;
    plain.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(behind.response().await.status(), 200);
    behind.send([&asked[..], &Frame::text("glued").masked()].concat()).await;
    assert_eq!(told_and_answered(behind, &mut upstream).await, expected, "behind another request");
}

/// The lines that the upstream is told, and those that the client is answered, where a frame came glued to the request.
async fn told_and_answered(mut client: Raw, upstream: &mut Upstream) -> (Vec<String>, Vec<String>) {
    let mut backend = upstream.dialed().await;
    let request = backend.accept(&[("X-Other-CASE", "1"), ("set-cookie", "a=1"), ("Content-Length", "5")]).await;
    assert_eq!(backend.frame().await, Frame::text("glued"));
    let sorted = |head: Head| {
        let lines = head.lines.into_iter().filter(|(name, _)| name != "date");
        let mut lines: Vec<_> = lines.map(|(name, value)| format!("{name}: {value}")).collect();
        lines.sort();
        lines
    };
    (sorted(request), sorted(client.upgraded().await))
}

#[tokio::test]
async fn header_names_keep_their_case_while_they_wait() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.client().await;
    let answer = client.upgrade("/ws", &[("x-LOWER-and-UPPER", "1"), ("COOKIE", "a=1")]).await;
    for name in ["Connection", "Upgrade", "Sec-WebSocket-Accept"] {
        assert!(answer.names().contains(&name), "{name} is not in {:?}", answer.names());
    }
    gate.open().await;
    let request = upstream.dialed().await.accept(&[]).await;
    for name in ["Host", "x-LOWER-and-UPPER", "COOKIE", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        assert!(request.names().contains(&name), "{name} is not in {:?}", request.names());
    }
}

#[tokio::test]
async fn the_upstream_is_told_who_asks() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]).await;
    let request = upstream.dialed().await.accept(&[]).await;
    assert_eq!(request.get("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(request.get("x-forwarded-proto"), Some("https"));
    assert_eq!(request.get("x-forwarded-host"), Some("example.org"));
}

#[tokio::test]
async fn what_connection_names_is_not_passed_on() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    let lines = [("X-Private", "1"), ("X-Kept", "1"), ("Keep-Alive", "timeout=5")];
    let request = handshake("/ws", &lines).replace("Connection: Upgrade", "Connection: keep-alive, X-Private, Upgrade");
    client.send(request).await;
    let request = upstream.dialed().await.accept(&[]).await;
    let seen = ["connection", "upgrade", "x-private", "keep-alive", "x-kept"].map(|name| request.get(name));
    assert_eq!(seen, [Some("Upgrade"), Some("websocket"), None, None, Some("1")]);
}

#[tokio::test]
async fn every_spelling_of_an_upgrade_is_understood() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Upgrade: websocket", "upgrade:h2c, websocket"),
        ("Host: example.org", "Host: example.org\r\nContent-Length: 0"),
    ] {
        let mut upstream = Upstream::start().await;
        let gate = Setup::shut(upstream.address).start().await;
        let mut client = gate.client().await;
        client.send(handshake("/ws", &[]).replacen(from, to, 1)).await;
        client.upgraded().await;
        gate.open().await;
        upstream.dialed().await.accept(&[]).await;
    }
}

#[tokio::test]
async fn auto_accepts_early_where_it_can_answer_as_the_backend_would() {
    answered_early("", &[]).await;
    answered_early("", &[("Origin", "http://example.org")]).await;
    answered_early("", &[("Origin", "https://example.org")]).await;
    answered_early("", &[("Sec-WebSocket-Extensions", "permessage-deflate")]).await;
    answered_early(r#"gate.allowed_origins = ["https://app.example"]"#, &[("Origin", "https://app.example")]).await;
    answered_early(r#"gate.allowed_origins = ["*"]"#, &[("Origin", "https://anyone.example")]).await;
    let offer = ("Sec-WebSocket-Protocol", "other, chat.v1");
    let answer = answered_early(r#"gate.subprotocols = ["chat.v2", "chat.v1"]"#, &[offer]).await;
    assert_eq!(answer.get("sec-websocket-protocol"), Some("chat.v1"));
}

#[tokio::test]
async fn auto_leaves_to_the_backend_what_only_the_backend_knows() {
    answered_by_the_backend("", &[("Origin", "https://elsewhere.example")]).await;
    answered_by_the_backend("", &[("Origin", "null")]).await;
    answered_by_the_backend("", &[("Origin", "http://example.org:81")]).await;
    answered_by_the_backend(r#"gate.allowed_origins = ["https://app.example"]"#, &[("Origin", "http://example.org")])
        .await;
    answered_by_the_backend("", &[("Sec-WebSocket-Protocol", "chat.v1")]).await;
    answered_by_the_backend(r#"gate.subprotocols = ["chat.v2"]"#, &[("Sec-WebSocket-Protocol", "chat.v1")]).await;
}

#[tokio::test]
async fn early_still_leaves_foreign_origins_to_the_backend() {
    let early = r#"gate.accept = "early""#;
    answered_by_the_backend(early, &[("Origin", "https://elsewhere.example")]).await;
    let answer = answered_early(early, &[("Sec-WebSocket-Protocol", "unknown")]).await;
    assert_eq!(answer.get("sec-websocket-protocol"), None);
}

#[tokio::test]
async fn deferred_leaves_everything_to_the_backend() {
    answered_by_the_backend(DEFERRED, &[]).await;
    answered_by_the_backend(DEFERRED, &[("Origin", "http://example.org")]).await;
}

#[tokio::test]
async fn whether_a_waiting_client_was_accepted_early_or_why_not_can_be_asked() {
    let upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let (_early, mut deferred) = (gate.held_client().await, gate.client().await);
    deferred.ask("/ws", &[("Origin", "https://elsewhere.example")]).await;
    gate.holds(2).await;
    let told = async |id: u32| {
        let session = gate.admin(&format!("/sessions/{id}")).await.json();
        (session["accept"].clone(), session["deferred_because"].clone())
    };
    assert_eq!(told(1).await, ("early".into(), Value::Null));
    assert_eq!(told(2).await, ("deferred".into(), "origin".into()));
}

#[tokio::test]
async fn frames_in_the_segment_of_the_request_are_delivered_once() {
    for lines in ["", DEFERRED] {
        let mut upstream = Upstream::start().await;
        let gate = Setup::shut(upstream.address).with(lines).start().await;
        let mut client = gate.client().await;
        client.send([handshake("/ws", &[]).into_bytes(), Frame::text("glued").masked()].concat()).await;
        gate.holds(1).await;
        gate.open().await;
        let mut backend = upstream.dialed().await;
        backend.accept(&[]).await;
        client.upgraded().await;
        client.send_frame(&Frame::text("after")).await;
        let delivered = [backend.frame().await, backend.frame().await];
        assert_eq!(delivered, [Frame::text("glued"), Frame::text("after")], "{lines}");
    }
}

#[tokio::test]
async fn frames_in_the_segment_of_the_upstreams_101_reach_the_client_first() {
    for is_held in [true, false] {
        let mut upstream = Upstream::start().await;
        let gate = Setup::shut(upstream.address).with(if is_held { "" } else { DEFERRED }).start().await;
        let mut client = gate.client().await;
        client.ask("/ws", &[]).await;
        gate.open().await;
        let mut backend = upstream.dialed().await;
        backend.head().await;
        let glued = [Frame::text("one").plain(), Frame::text("two").plain()[..2].to_vec()].concat();
        backend.send([right_101().into_bytes(), glued].concat()).await;
        client.upgraded().await;
        assert_eq!(client.frame().await, Frame::text("one"));
        backend.send(&Frame::text("two").plain()[2..]).await;
        assert_eq!(client.frame().await, Frame::text("two"));
    }
}

#[tokio::test]
async fn another_subprotocol_than_was_answered_is_1014_and_nothing_is_replayed() {
    let known = r#"gate.subprotocols = ["chat.v1"]"#;
    let offer = [("Sec-WebSocket-Protocol", "chat.v1, chat.v2")];
    mismatch(known, &offer, &[("Sec-WebSocket-Protocol", "chat.v2")]).await;
    mismatch(known, &offer, &[]).await;
    mismatch(known, &[], &[("Sec-WebSocket-Protocol", "chat.v1")]).await;
}

#[tokio::test]
async fn an_extension_that_was_not_offered_is_1014_and_nothing_is_replayed() {
    mismatch("", &[], &[("Sec-WebSocket-Extensions", "permessage-deflate")]).await;
}

#[tokio::test]
async fn after_an_early_accept_no_extension_is_offered_to_the_upstream() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.client().await;
    let answer = client.upgrade("/ws", &[("Sec-WebSocket-Extensions", "permessage-deflate"), ("Cookie", "a=1")]).await;
    assert_eq!(answer.get("sec-websocket-extensions"), None);
    gate.open().await;
    let request = upstream.dialed().await.accept(&[]).await;
    assert_eq!((request.get("sec-websocket-extensions"), request.get("cookie")), (None, Some("a=1")));
}

#[tokio::test]
async fn a_second_request_behind_a_failed_handshake_never_reaches_the_upstream() {
    let smuggled = head("GET /internal HTTP/1.1", &[("Host", "example.org")]);
    for glued in [true, false] {
        let mut upstream = Upstream::start().await;
        let gate = Setup::open(upstream.address).start().await;
        let mut client = gate.client().await;
        client.send(handshake("/ws", &[]) + if glued { &smuggled } else { "" }).await;
        let mut backend = upstream.dialed().await;
        backend.head().await;
        backend.send(right_101().replace("Sec-WebSocket-Accept", "X-Accept")).await;
        assert_eq!(client.response().await.status(), 502);
        // The connection may be gone already: that is as good as unread.
        let _ = client.try_send(&smuggled).await;
        backend.ended().await;
        client.ended().await;
        assert!(upstream.is_left_alone().await, "glued: {glued}");
    }
}

#[tokio::test]
async fn behind_a_declined_handshake_the_connection_speaks_http_and_no_tunnel_is_open() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.response().await.text(), "ok");
    backend.ended().await;
    client
        .send(head("GET /next HTTP/1.1", &[("Host", "example.org"), ("Connection", "close, X-Hop"), ("X-Hop", "1")]))
        .await;
    let mut proxied = upstream.dialed().await;
    let request = proxied.head().await;
    assert_eq!((request.first.as_str(), request.get("x-hop")), ("GET /next HTTP/1.1", None));
    assert_eq!(request.get("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_request_sent_instead_of_frames_is_a_protocol_error() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.held_client().await;
    client.send(head("GET /internal HTTP/1.1", &[("Host", "example.org")])).await;
    assert_eq!(client.closed().await.0, 1002);
    gate.open().await;
    gate.outcome("protocol_error", 1).await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_deferred_client_that_goes_is_never_dialed_for() {
    for glued in [false, true] {
        let mut upstream = Upstream::start().await;
        let gate = Setup::shut(upstream.address).with(DEFERRED).start().await;
        let mut client = gate.client().await;
        client.ask("/ws", &[]).await;
        if glued {
            client.send_frame(&Frame::text("early")).await;
        }
        gate.holds(1).await;
        drop(client);
        gate.outcome("client_gone", 1).await;
        gate.open().await;
        assert!(upstream.is_left_alone().await);
    }
}

/// Starts a gate, asks with `lines`, and joins; the client's answer.
async fn answer_to(config: &str, lines: &[(&str, &str)]) -> (Running, Raw, Head) {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(config).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", lines).await;
    gate.holds(1).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    let subprotocol = config.contains("subprotocols").then_some(("Sec-WebSocket-Protocol", "chat.v1"));
    backend.accept(&[&[BACKEND], subprotocol.as_slice()].concat()).await;
    let answer = client.upgraded().await;
    (gate, client, answer)
}

async fn answered_early(config: &str, lines: &[(&str, &str)]) -> Head {
    let (_gate, _client, answer) = answer_to(config, lines).await;
    assert_eq!(answer.get(BACKEND.0), None, "{config} {lines:?}");
    answer
}

async fn answered_by_the_backend(config: &str, lines: &[(&str, &str)]) {
    let (_gate, _client, answer) = answer_to(config, lines).await;
    assert_eq!(answer.get(BACKEND.0), Some(BACKEND.1), "{config} {lines:?}");
}

/// The upstream's 101 does not agree with what the held client was told.
async fn mismatch(config: &str, offer: &[(&str, &str)], answer: &[(&str, &str)]) {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(config).start().await;
    let mut client = gate.client().await;
    client.upgrade("/ws", offer).await;
    client.send_frame(&Frame::text("held")).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(answer).await;
    assert_eq!(client.closed().await, (1014, "bad upstream handshake".into()), "{offer:?} {answer:?}");
    backend.ended().await;
}

fn right_101() -> String {
    switching(crate::harness::raw::ACCEPT, &[])
}

fn assert_has(head: &Head, lines: &[(&str, &str)]) {
    for (name, _) in lines {
        let sent: Vec<&str> = lines.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect();
        assert_eq!(head.all(name), sent, "{name} in {head:?}");
    }
}
