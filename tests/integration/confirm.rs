//! R11: what a client sends waits until the backend itself says that it is ready for this very connection.

use serde_json::json;

use crate::harness::{
    frame::{Frame, TEXT},
    gate::{Running, Setup, sessions},
    programs::{Foreign, Server},
    raw::{ACCEPT, Raw, switching},
    upstream::Upstream,
};

/// Longer than any test: none of them waits for the limit.
const CONFIRM: &str = r#"gate.confirm = { json = { "/connection_ready" = true }, timeout = "10m" }"#;
const READY: &str = r#"{"type":"hello","connection_ready":true}"#;

/// A client and its backend after the backend's 101, with a message of the client's held.
struct Scene {
    gate: Running,
    client: Raw,
    backend: Raw,
    _upstream: Upstream,
}

impl Scene {
    /// With the gate open from the start: the handshake is the backend's own.
    async fn open(lines: &str) -> Self {
        let mut scene = Self::without_a_message(lines, &[]).await;
        scene.client_sends(&Frame::text("first")).await;
        scene
    }

    async fn without_a_message(lines: &str, extensions: &[(&str, &str)]) -> Self {
        let mut upstream = Upstream::start().await;
        let gate = Setup::open(upstream.address).with(lines).start().await;
        let mut client = gate.client().await;
        client.ask("/ws", extensions).await;
        let mut backend = upstream.dialed().await;
        backend.accept(extensions).await;
        client.upgraded().await;
        Self { gate, client, backend, _upstream: upstream }
    }

    /// The client was accepted and its message held before the gate opened.
    async fn held(lines: &str) -> Self {
        let mut upstream = Upstream::start().await;
        let gate = Setup::shut(upstream.address).with(lines).start().await;
        let mut client = gate.held_client().await;
        client.send_frame(&Frame::text("first")).await;
        gate.holds_bytes(|bytes| bytes > 0).await;
        gate.open().await;
        let mut backend = upstream.dialed().await;
        backend.accept(&[]).await;
        Self { gate, client, backend, _upstream: upstream }
    }

    /// Sends a data frame, and returns when readygate holds it.
    async fn client_sends(&mut self, frame: &Frame) {
        let before = self.gate.metric("readygate_hold_frames").await;
        self.client.send_frame(frame).await;
        self.gate.metric_is("readygate_hold_frames", before + 1.0).await;
    }

    /// What the backend says passes to the client as it is.
    async fn passes(&mut self, frame: &Frame) {
        self.backend.send_frame(frame).await;
        assert_eq!(self.client.frame().await, *frame);
    }

    /// Nothing has reached the backend; the client answers a ping of readygate's own, so all before it was dealt with.
    async fn backend_hears_nothing(&mut self) {
        self.client.send_frame(&Frame::ping("fence")).await;
        assert_eq!(self.client.frame().await, Frame::pong("fence"));
        assert!(self.backend.is_silent().await, "the backend heard something before it confirmed");
    }

    async fn backend_hears(&mut self, frame: &Frame) {
        assert_eq!(self.backend.frame().await, *frame);
    }

    /// Both ends say goodbye; nothing was refused.
    async fn ends_well(mut self, frames: u64) {
        let goodbye = Frame::close(1000, "");
        self.client.send_frame(&goodbye).await;
        self.backend_hears(&goodbye).await;
        self.passes(&goodbye).await;
        drop((self.client, self.backend));
        self.gate.outcome("completed", 1).await;
        assert_eq!(self.gate.ledger().await, (frames, frames, 0));
    }
}

#[tokio::test]
async fn with_an_open_gate_a_message_waits_for_the_backends_word_and_the_backends_messages_pass() {
    let mut scene = Scene::open(CONFIRM).await;
    scene.passes(&Frame::text(r#"{"connection_ready":false}"#)).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.client.send_frame(&Frame::text("second")).await;
    scene.backend_hears(&Frame::text("second")).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn a_held_message_waits_on_after_the_gate_has_opened() {
    let mut scene = Scene::held(CONFIRM).await;
    scene.passes(&Frame::text("not yet")).await;
    scene.client_sends(&Frame::binary(b"more")).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.backend_hears(&Frame::binary(b"more")).await;
    scene.ends_well(2).await;
}

#[tokio::test]
async fn a_deferred_client_waits_too() {
    let mut upstream = Upstream::start().await;
    let lines = format!("{CONFIRM}\ngate.accept = \"deferred\"");
    let gate = Setup::shut(upstream.address).with(&lines).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    gate.holds(1).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.upgraded().await;
    let mut scene = Scene { gate, client, backend, _upstream: upstream };
    scene.client_sends(&Frame::text("first")).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn what_comes_glued_to_the_101_and_behind_the_confirmation_keeps_its_order() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).with(CONFIRM).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    let glued = [Frame::text("early"), Frame::text(READY), Frame::text("behind")];
    let head = switching(ACCEPT, &[]);
    let bytes: Vec<u8> = glued.iter().flat_map(Frame::plain).collect();
    // The last frame's end comes later: a frame is under way when the streams are joined.
    backend.send([head.as_bytes(), &bytes[..bytes.len() - 3]].concat()).await;
    client.upgraded().await;
    assert_eq!([client.frame().await, client.frame().await], glued[..2]);
    client.send_frame(&Frame::text("first")).await;
    assert_eq!(backend.frame().await, Frame::text("first"));
    backend.send(&bytes[bytes.len() - 3..]).await;
    assert_eq!(client.frame().await, glued[2]);
}

#[tokio::test]
async fn a_confirmation_in_fragments_confirms_at_its_last() {
    let mut scene = Scene::open(CONFIRM).await;
    let (start, end) = READY.split_at(12);
    scene.passes(&Frame::new(TEXT, start)).await;
    scene.passes(&Frame::ping("between")).await;
    scene.passes(&Frame::new(0, "")).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::new(0x80, end)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn binary_messages_and_those_over_the_limit_pass_and_do_not_confirm() {
    let lines = r#"gate.confirm = { text = "ready", message_bytes = "100B", timeout = "10m" }"#;
    let mut scene = Scene::open(lines).await;
    scene.passes(&Frame::binary(b"ready")).await;
    scene.passes(&Frame::text(&format!("ready{}", " ".repeat(96)))).await;
    scene.passes(&Frame::new(TEXT, "rea")).await;
    scene.passes(&Frame::new(0x80, format!("dy{}", " ".repeat(96)))).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::text("quite ready")).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn under_compression_the_clients_own_frames_are_held_as_they_are() {
    let deflate = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let mut scene = Scene::without_a_message(CONFIRM, &deflate).await;
    // RSV1: a compressed text, whose bytes are no UTF-8.
    let compressed = Frame::new(0xc0 | TEXT, [0xca, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    scene.client_sends(&compressed).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&compressed).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn a_real_server_that_compresses_its_confirmation_is_understood_and_loses_nothing() {
    let app = Server::warm_race(&["--register", "after", "--bind", "late"]).await;
    let gate = Setup::open(app.address).with(CONFIRM).start().await;
    let url = format!("ws://{}/ws", gate.public);
    let arguments = ["--expect", "events", "--texts", "20", "--binaries", "0"];
    let result = Foreign::Python.start(&url, &arguments).result().await;
    assert_eq!((&result["ok"], &result["lost"]), (&json!(true), &json!([])), "{result}");
    assert!(result["extensions"].as_str().unwrap().contains("permessage-deflate"), "{result}");
    gate.outcome("completed", 1).await;
    let (received, delivered, refused) = gate.ledger().await;
    assert_eq!((received, refused), (delivered, 0));
}

#[tokio::test]
async fn a_confirmation_that_does_not_come_is_1013_to_the_client_and_1001_to_the_backend() {
    let lines = r#"gate.confirm = { text = "ready", timeout = "80ms" }"#;
    for mut scene in [Scene::without_a_message(lines, &[]).await, Scene::held(lines).await] {
        assert_eq!(scene.client.closed().await, (1013, "not confirmed in time".into()));
        assert_eq!(scene.backend.closed().await, (1001, String::new()));
        drop((scene.client, scene.backend));
        scene.gate.outcome("confirm_timeout", 1).await;
        let (received, delivered, refused) = scene.gate.ledger().await;
        assert_eq!((received, delivered), (refused, 0));
    }
}

#[tokio::test]
async fn a_confirmation_that_does_not_come_is_waived_where_the_policy_is_to_pass() {
    let lines = r#"gate.confirm = { text = "ready", timeout = "80ms", on_timeout = "pass" }"#;
    let mut scene = Scene::without_a_message(lines, &[]).await;
    scene.client.send_frame(&Frame::text("first")).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.passes(&Frame::text("answer")).await;
}

#[tokio::test]
async fn a_waived_session_goes_on_at_the_end_of_the_frame_under_way() {
    let lines = r#"gate.confirm = { text = "ready", timeout = "80ms", on_timeout = "pass" }"#;
    let mut scene = Scene::without_a_message(lines, &[]).await;
    let half = Frame::text("under way").plain();
    scene.backend.send(&half[..4]).await;
    assert_eq!(scene.client.exactly(4).await, half[..4]);
    scene.client.send(Frame::text("first").masked()).await;
    scene.client.send_frame(&Frame::ping("ping")).await;
    scene.backend.send(&half[4..]).await;
    assert_eq!(scene.client.exactly(half.len() - 4).await, half[4..]);
    scene.backend_hears(&Frame::text("first")).await;
}

#[tokio::test]
async fn a_backend_that_closes_before_it_confirms_is_heard_and_answered_and_what_was_held_is_refused() {
    let mut scene = Scene::open(CONFIRM).await;
    let goodbye = Frame::close(4401, "who are you");
    scene.passes(&goodbye).await;
    assert_eq!(scene.backend.closed().await, (4401, String::new()));
    scene.client.ended().await;
    drop((scene.client, scene.backend));
    scene.gate.outcome("unconfirmed", 1).await;
    assert_eq!(scene.gate.ledger().await, (1, 0, 1));
}

#[tokio::test]
async fn a_backend_that_is_lost_before_it_confirms_is_1012() {
    let mut scene = Scene::open(CONFIRM).await;
    scene.passes(&Frame::text("soon")).await;
    drop(scene.backend);
    assert_eq!(scene.client.closed().await, (1012, "upstream lost".into()));
    drop(scene.client);
    scene.gate.outcome("upstream_lost", 1).await;
    assert_eq!(scene.gate.ledger().await, (1, 0, 1));
}

#[tokio::test]
async fn a_client_that_sends_and_closes_is_delivered_with_its_close_after_the_confirmation() {
    let mut scene = Scene::open(CONFIRM).await;
    let goodbye = Frame::close(1000, "done");
    scene.client.send_frame(&goodbye).await;
    scene.client.finish().await;
    scene.passes(&Frame::text("not yet")).await;
    assert!(scene.backend.is_silent().await);
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.backend_hears(&goodbye).await;
    scene.passes(&goodbye).await;
    drop((scene.client, scene.backend));
    scene.gate.outcome("completed", 1).await;
    assert_eq!(scene.gate.ledger().await, (1, 1, 0));
}

#[tokio::test]
async fn a_client_that_closes_with_nothing_held_is_answered_and_the_backend_is_told() {
    let mut scene = Scene::without_a_message(CONFIRM, &[]).await;
    scene.client.send_frame(&Frame::close(4000, "ça ira")).await;
    assert_eq!(scene.client.closed().await, (4000, "ça ira".to_owned()));
    assert_eq!(scene.backend.closed().await, (4000, "ça ira".to_owned()));
    drop((scene.client, scene.backend));
    scene.gate.outcome("client_gone", 1).await;
    assert_eq!(scene.gate.ledger().await, (0, 0, 0));
}

#[tokio::test]
async fn a_frame_of_the_backend_is_never_cut_by_a_pong_of_ours() {
    let mut scene = Scene::open(CONFIRM).await;
    let whole = Frame::text("a frame in two pieces").plain();
    scene.backend.send(&whole[..7]).await;
    assert_eq!(scene.client.exactly(7).await, whole[..7]);
    scene.client.send_frame(&Frame::ping("between")).await;
    scene.client_sends(&Frame::text("behind the ping")).await;
    scene.backend.send([&whole[7..], &Frame::text(READY).plain()].concat()).await;
    assert_eq!(scene.client.exactly(whole.len() - 7).await, whole[7..]);
    assert_eq!(scene.client.frame().await, Frame::pong("between"));
    assert_eq!(scene.client.frame().await, Frame::text(READY));
    scene.backend_hears(&Frame::text("first")).await;
    scene.backend_hears(&Frame::text("behind the ping")).await;
    scene.ends_well(2).await;
}

#[tokio::test]
async fn an_answer_to_the_backends_ping_waits_with_the_rest_and_is_delivered() {
    let mut scene = Scene::open(CONFIRM).await;
    scene.passes(&Frame::ping("are you there")).await;
    scene.client.send_frame(&Frame::pong("are you there")).await;
    scene.backend_hears_nothing().await;
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.backend_hears(&Frame::pong("are you there")).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn a_gate_that_shuts_meanwhile_changes_nothing() {
    let mut scene = Scene::open(CONFIRM).await;
    scene.gate.shut().await;
    scene.passes(&Frame::text(READY)).await;
    scene.backend_hears(&Frame::text("first")).await;
    scene.ends_well(1).await;
}

#[tokio::test]
async fn a_drain_tells_both_ends_1012() {
    let mut scene = Scene::open(CONFIRM).await;
    scene.gate.drain();
    assert_eq!(scene.client.closed().await, (1012, "restarting".into()));
    assert_eq!(scene.backend.closed().await, (1012, String::new()));
    drop((scene.client, scene.backend));
    scene.gate.ended().await;
}

#[tokio::test]
async fn a_client_that_finds_no_place_to_wait_is_told_before_its_101() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).with(CONFIRM).with("hold.sessions = 1").start().await;
    let (mut first, mut second) = (gate.client().await, gate.client().await);
    first.ask("/ws", &[]).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    first.upgraded().await;
    second.ask("/ws", &[]).await;
    upstream.dialed().await.accept(&[]).await;
    assert_eq!(second.response().await.status(), 503);
    gate.outcome("too_many", 1).await;
    backend.send_frame(&Frame::text(READY)).await;
    assert_eq!(first.frame().await, Frame::text(READY));
    first.send_frame(&Frame::text("first")).await;
    assert_eq!(backend.frame().await, Frame::text("first"));
}

#[tokio::test]
async fn a_message_larger_than_may_be_held_is_1009_and_a_broken_frame_1002() {
    let lines = format!("{CONFIRM}\nhold.connection_bytes = \"1KiB\"");
    for (frame, code) in [(Frame::binary(&[1; 2000]), 1009), (Frame::new(0xc0 | TEXT, "bits"), 1002)] {
        let mut scene = Scene::without_a_message(&lines, &[]).await;
        scene.client.send_frame(&frame).await;
        assert_eq!(scene.client.closed().await.0, code);
        assert_eq!(scene.backend.closed().await.0, 1001);
    }
}

#[tokio::test]
async fn a_session_that_waits_can_be_seen() {
    let scene = Scene::open(CONFIRM).await;
    let waiting = sessions(scene.gate.admin, "confirming").await;
    assert_eq!((waiting.len(), &waiting[0]["held_frames"]), (1, &json!(1)), "{waiting:?}");
    scene.gate.metric_is(r#"readygate_sessions{state="confirming"}"#, 1.0).await;
    drop((scene.client, scene.backend));
    scene.gate.metric_is(r#"readygate_stage_duration_seconds_count{stage="confirming"}"#, 1.0).await;
    let timeline = scene.gate.admin("/sessions/1").await.text().to_owned();
    assert!(timeline.contains("confirming"), "{timeline}");
}

#[tokio::test]
async fn only_routes_that_ask_for_it_wait_and_only_clients_for_whom_the_gate_counts() {
    let elsewhere = r#"routes = [{ path = "/careful", confirm = { text = "ready" } }]"#.to_owned();
    for lines in [elsewhere, format!("{CONFIRM}\ngate.mode = \"off\""), format!("{CONFIRM}\ngate.mode = \"observe\"")] {
        let mut scene = Scene::without_a_message(&lines, &[]).await;
        scene.client.send_frame(&Frame::text("at once")).await;
        scene.backend_hears(&Frame::text("at once")).await;
    }
}
