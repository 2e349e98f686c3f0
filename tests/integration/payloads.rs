//! Authentication, payloads and paths pass untouched, warm and held.

use serde_json::{Value, json};

use crate::harness::{
    frame::Frame,
    gate::{Running, Setup, joined},
    head::head,
    programs::Server,
    raw::Raw,
    upstream::Upstream,
};

/// Where a token may stand, and what is answered to a right one.
const FORMS: [(&str, &str, &str); 3] = [
    ("header", "Authorization", "Bearer "),
    ("cookie", "Cookie", "token="),
    ("subprotocol", "Sec-WebSocket-Protocol", "bearer, "),
];

const TOKEN: &str = "letmein";

#[tokio::test]
async fn a_right_token_passes_in_every_form_warm() {
    for (form, name, prefix) in FORMS {
        let app = race(form).await;
        let gate = Setup::open(app.address).start().await;
        let mut client = gate.client().await;
        let answer = client.upgrade("/ws", &[(name, &format!("{prefix}{TOKEN}"))]).await;
        assert_eq!(answer.get("sec-websocket-protocol"), (form == "subprotocol").then_some("bearer"));
        assert_eq!(answer.get("set-cookie"), Some("session=lab; Path=/; HttpOnly"));
        is_served(&mut client).await;
    }
}

#[tokio::test]
async fn a_right_token_passes_in_every_form_held() {
    for (form, name, prefix) in FORMS {
        let app = race(form).await;
        let gate = Setup::shut(app.address).with(r#"gate.subprotocols = ["bearer"]"#).start().await;
        let mut client = gate.client().await;
        let answer = client.upgrade("/ws", &[(name, &format!("{prefix}{TOKEN}"))]).await;
        assert_eq!(answer.get("sec-websocket-protocol"), (form == "subprotocol").then_some("bearer"));
        gate.holds(1).await;
        gate.open().await;
        is_served(&mut client).await;
    }
}

#[tokio::test]
async fn a_wrong_token_or_none_is_the_backends_own_refusal_warm() {
    for (form, name, prefix) in FORMS {
        let app = race(form).await;
        let gate = Setup::open(app.address).start().await;
        for (lines, status) in [(&[(name, &*format!("{prefix}wrong"))][..], 403), (&[], 401)] {
            let mut client = gate.client().await;
            client.ask("/ws", lines).await;
            let response = client.response().await;
            assert_eq!(
                (response.status(), response.json()),
                (status, json!({ "detail": format!("refused with {status}") }))
            );
            assert_eq!(response.head.get("www-authenticate"), (status == 401).then_some("Bearer"), "{form}");
        }
    }
}

#[tokio::test]
async fn a_wrong_token_or_none_is_3003_or_3000_held() {
    for (form, name, prefix) in FORMS {
        let app = race(form).await;
        let gate = Setup::shut(app.address).with(r#"gate.subprotocols = ["bearer"]"#).start().await;
        let (mut wrong, mut none) = (gate.client().await, gate.client().await);
        wrong.upgrade("/ws", &[(name, &format!("{prefix}wrong"))]).await;
        none.upgrade("/ws", &[]).await;
        gate.holds(2).await;
        gate.open().await;
        assert_eq!((wrong.closed().await.0, none.closed().await.0), (3003, 3000), "{form}");
    }
}

#[tokio::test]
async fn every_payload_is_the_same_to_the_byte_open() {
    let (_gate, mut client, mut backend) = joined().await;
    // Open is invisible: what RFC 6455 forbids is the two ends' own business.
    let strange = [Frame::new(0xc1, "compressed"), Frame::new(0x83, "reserved"), Frame::new(0x0a, "in pieces")];
    let frames = [payloads(), strange.to_vec()].concat();
    let (up, down) = (wire(&frames, Frame::masked), wire(&frames, Frame::plain));
    let (_, received) = tokio::join!(client.send(&up), backend.exactly(up.len()));
    assert!(received == up, "changed on the way up");
    let (_, received) = tokio::join!(backend.send(&down), client.exactly(down.len()));
    assert!(received == down, "changed on the way down");
}

#[tokio::test]
async fn every_payload_is_the_same_to_the_byte_held() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.held_client().await;
    let up = wire(&payloads(), Frame::masked);
    client.send(&up).await;
    gate.holds_bytes(|bytes| bytes == up.len() as u64).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert!(backend.exactly(up.len()).await == up, "changed on the way up");
}

#[tokio::test]
async fn every_cut_of_the_stream_gives_the_same_bytes_held() {
    let up = wire(
        &[Frame::text("é 門"), Frame::binary(&[0; 130]), Frame::new(0x01, [0xe9]), Frame::new(0x80, [0x96, 0x80])],
        Frame::masked,
    );
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    for cut in 1..up.len() {
        let mut client = gate.held_client().await;
        client.send(&up[..cut]).await;
        gate.holds(1).await;
        gate.open().await;
        let mut backend = upstream.dialed().await;
        backend.accept(&[]).await;
        client.send(&up[cut..]).await;
        assert!(backend.exactly(up.len()).await == up, "cut at {cut}");
        drop((client, backend));
        gate.metric_is(r#"readygate_sessions{state="open"}"#, 0.0).await;
        gate.shut().await;
    }
}

#[tokio::test]
async fn paths_and_queries_reach_the_backend_as_they_are() {
    let app = race("none").await;
    for (path, query) in [("/ws", ""), ("/websocket", "a=1&token=x%20y&a=2&empty="), ("/ws", "x=y%2Fz&")] {
        for held in [false, true] {
            let gate = if held { Setup::shut(app.address) } else { Setup::open(app.address) }.start().await;
            let mut client = gate.client().await;
            let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
            client.ask(&target, &[]).await;
            if held {
                gate.holds(1).await;
                gate.open().await;
            }
            client.upgraded().await;
            is_served(&mut client).await;
            let handshakes = get(&gate, "/handshakes").await;
            let last = handshakes.as_array().unwrap().last().unwrap().to_string();
            assert!(last.contains(path) && last.contains(query), "{target}: {last}");
        }
    }
}

#[tokio::test]
async fn plain_http_beside_the_sockets_is_the_backends_own() {
    let app = race("none").await;
    let gate = Setup::open(app.address).start().await;
    for path in ["/ws/config", "/ws/health", "/health", "/nowhere"] {
        let (through, direct) = (response(gate.public, path).await, response(app.address, path).await);
        assert_eq!((through.status(), &through.body), (direct.status(), &direct.body), "{path}");
        assert_eq!(through.head.get("content-type"), direct.head.get("content-type"));
        assert_eq!(through.head.get("server"), direct.head.get("server"));
    }
    let mut client = gate.client().await;
    client.upgrade("/ws", &[]).await;
    is_served(&mut client).await;
    assert_eq!(get(&gate, "/ws/stats").await["connections"], 1);
}

/// A booted race app that registers a connection before it accepts it.
async fn race(auth: &str) -> Server {
    Server::warm_race(&["--register", "before", "--auth", auth, "--token", TOKEN]).await
}

/// The product greets, and answers a message with its five events.
async fn is_served(client: &mut Raw) {
    assert_eq!(json_of(client).await, json!({ "type": "connection_established", "connection_ready": true }));
    client.send_frame(&Frame::text(r#"{"id":"x","seq":7}"#)).await;
    for event in ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"] {
        assert_eq!(json_of(client).await, json!({ "type": event, "id": "x", "seq": 7 }));
    }
}

async fn json_of(client: &mut Raw) -> Value {
    serde_json::from_slice(&client.frame().await.payload).unwrap()
}

async fn get(gate: &Running, path: &str) -> Value {
    response(gate.public, path).await.json()
}

async fn response(address: std::net::SocketAddr, path: &str) -> crate::harness::head::Response {
    let mut client = Raw::connect(address).await;
    client.send(head(&format!("GET {path} HTTP/1.1"), &[("Host", "example.org")])).await;
    client.response().await
}

fn wire(frames: &[Frame], write: impl Fn(&Frame) -> Vec<u8>) -> Vec<u8> {
    frames.iter().flat_map(write).collect()
}

/// Every length form, every kind, and JSON whose meaning would survive a parser that its bytes would not.
fn payloads() -> Vec<Frame> {
    let texts = [
        "",
        r#"{"jsonrpc": "2.0", "method": "a.b", "params": [1, 2.50, 1e400], "id": "1"}"#,
        r#"{"id":1,"jsonrpc":"2.0","result":null, "result":2}"#,
        r#"[{"jsonrpc":"2.0","id":9007199254740993},{"type":3},{"type":"3"}]"#,
        "{\"text\":\"\\u00e9 é \\ud83d\\ude00 😀\"}\r\n\t ",
        "no JSON at all \u{0} \u{feff}",
    ];
    let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000];
    let all_bytes: Vec<u8> = (0..=255).collect();
    let mut frames: Vec<Frame> = texts.into_iter().map(Frame::text).collect();
    frames.extend(lengths.map(|length| Frame::binary(&all_bytes.repeat(800)[..length])));
    frames.extend([Frame::new(0x01, "in th"), Frame::new(0x00, ""), Frame::new(0x80, "ree pieces")]);
    frames
}
