//! Messages of readygate's own to waiting clients, and that there are none unless asked for.

use serde_json::Value;

use crate::harness::{
    frame::Frame,
    gate::{Running, Setup},
    raw::Raw,
    upstream::Upstream,
};

/// Switched on, and without pings of readygate between them.
const ON: &str = "features.client_notices = true\nhold.ping_interval = \"1h\"";

/// A notice in its default form.
async fn notice(client: &mut Raw) -> Value {
    let frame = client.frame().await;
    assert_eq!(frame.first, 0x81, "no whole text message: {frame:?}");
    let told: Value = serde_json::from_slice(&frame.payload).unwrap();
    assert_eq!(told["type"], "readygate");
    assert!(told["waited_ms"].is_u64(), "{told}");
    told
}

/// A client that waits, and the backend's side of its connection once the gate is open.
async fn held_and_joined(gate: &Running, upstream: &mut Upstream) -> (Raw, Raw) {
    let client = gate.held_client().await;
    gate.holds(1).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    (client, backend)
}

#[tokio::test]
async fn r15_a_client_is_told_that_it_waits_and_that_it_passes_and_its_messages_are_untouched() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(ON).start().await;
    let mut client = gate.held_client().await;
    let told = notice(&mut client).await;
    assert_eq!((&told["state"], &told["reason"]), (&"held".into(), &"a service is starting".into()));
    assert_eq!((told.get("estimate_ms"), told.get("retry_after_ms")), (None, None));
    client.send_frame(&Frame::text("early")).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert_eq!(backend.frame().await, Frame::text("early"));
    backend.send_frame(&Frame::text("answer")).await;
    assert_eq!(notice(&mut client).await["state"], "ready");
    assert_eq!(client.frame().await, Frame::text("answer"));
    gate.shut().await;
    let mut second = gate.held_client().await;
    assert_eq!(notice(&mut second).await["reason"], "a service is unavailable");
}

#[tokio::test]
async fn r15_notices_say_nothing_of_what_is_inside() {
    let upstream = Upstream::start().await;
    let lines = format!(
        "{ON}\ngate.hold_timeout = \"50ms\"\ndependencies.secret-cache = {{ check = \"redis://127.0.0.1:1\" }}"
    );
    let gate = Setup::shut(upstream.address).with(&lines).start().await;
    let mut client = gate.held_client().await;
    let bytes = client.rest().await;
    let told = String::from_utf8_lossy(&bytes);
    assert!(told.contains("\"closing\""), "{told}");
    for word in ["secret-cache", "127.0.0.1", "redis", "upstream", "/ws"] {
        assert!(!told.contains(word), "{word} in {told}");
    }
}

#[tokio::test]
async fn r15_a_client_is_told_before_it_is_closed() {
    let upstream = Upstream::start().await;
    let mut gate = Setup::shut(upstream.address).with(ON).start().await;
    let mut client = gate.held_client().await;
    assert_eq!(notice(&mut client).await["state"], "held");
    gate.holds(1).await;
    gate.drain();
    let told = notice(&mut client).await;
    assert_eq!((&told["state"], &told["reason"]), (&"closing".into(), &"restarting".into()));
    assert!(told["retry_after_ms"].is_u64(), "{told}");
    assert_eq!(client.closed().await, (1012, "restarting".to_owned()));
}

#[tokio::test]
async fn r15_the_operator_chooses_words_and_kinds() {
    let mut upstream = Upstream::start().await;
    let words = r#"notices = { held = "Moment: {reason} ({state}, {estimate_ms})", ready = "" }"#;
    let gate = Setup::shut(upstream.address).with(ON).with(words).start().await;
    let (mut client, mut backend) = held_and_joined(&gate, &mut upstream).await;
    assert_eq!(client.frame().await, Frame::text("Moment: a service is starting (held, null)"));
    backend.send_frame(&Frame::text("first")).await;
    assert_eq!(client.frame().await, Frame::text("first"));
}

#[tokio::test]
async fn r15_a_deferred_client_is_told_after_the_backends_101() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(ON).with(r#"gate.accept = "deferred""#).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    gate.holds(1).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[("X-Backend", "yes")]).await;
    backend.send_frame(&Frame::text("first")).await;
    assert_eq!(client.upgraded().await.get("x-backend"), Some("yes"));
    assert_eq!(notice(&mut client).await["state"], "ready");
    assert_eq!(client.frame().await, Frame::text("first"));
}

#[tokio::test]
async fn r15_with_the_gate_open_nothing_is_inserted_even_with_notices_on() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).with(ON).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    backend.send_frame(&Frame::text("first")).await;
    client.upgraded().await;
    assert_eq!(client.frame().await, Frame::text("first"));
}

#[tokio::test]
async fn r15_off_a_client_gets_the_backends_bytes_and_no_other() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address)
        .with("notices = { held = \"held\", ready = \"ready\" }\nhold.ping_interval = \"1h\"")
        .start()
        .await;
    let (mut client, mut backend) = held_and_joined(&gate, &mut upstream).await;
    // A frame of an opcode that nobody knows, a fragment, text, and a Close: no parser would make them up.
    let said =
        [vec![0x83, 0x01, 0xff], vec![0x01, 0x01, b'a'], vec![0x80, 0x01, b'b'], Frame::close(4711, "bye").plain()];
    backend.send(said.concat()).await;
    backend.finish().await;
    assert_eq!(client.rest().await, said.concat());
}
