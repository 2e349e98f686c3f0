//! Holding real clients: bounded, alive, in order, and nothing lost.

use futures_util::future::join_all;

use crate::harness::{
    frame::{BINARY, Frame, PING},
    gate::{Running, Setup, sessions},
    raw::Raw,
    upstream::{Echo, Upstream, nowhere},
};

const CROWD: usize = 500;
const MESSAGES: usize = 20;
const CROWD_BUDGET: u64 = 64 << 10;

#[tokio::test]
async fn a_crowd_beyond_the_total_budget_is_paused_and_loses_nothing() {
    let echo = Echo::start().await;
    let limits = "hold = { connection_bytes = \"8KiB\", total_bytes = \"64KiB\" }";
    let gate = Setup::shut(echo.address).with(limits).start().await;
    let mut clients = join_all((0..CROWD).map(|_| gate.held_client())).await;
    join_all(clients.iter_mut().map(send_messages)).await;
    gate.holds(CROWD as u32).await;
    let held = gate.holds_bytes(|bytes| bytes > CROWD_BUDGET - 200).await;
    assert!(held <= CROWD_BUDGET, "{held} bytes are held");
    assert_eq!(gate.admin("/status").await.json()["hold"]["bytes_limit"], CROWD_BUDGET);
    gate.open().await;
    join_all(clients.iter_mut().map(receive_messages)).await;
    join_all(clients.iter_mut().map(leave)).await;
    drop(clients);
    gate.outcome("completed", CROWD as u32).await;
    let (received, delivered, refused) = gate.ledger().await;
    assert!(received > 100, "{received} frames were held");
    assert_eq!((received, refused), (delivered, 0));
    assert_eq!(gate.metric("readygate_hold_bytes").await, 0.0);
}

#[tokio::test]
async fn long_request_heads_count_for_the_total_budget_while_they_wait() {
    let cookie = "c".repeat(24 << 10);
    let upstream = Upstream::start().await;
    let limits = "hold = { connection_bytes = \"8KiB\", total_bytes = \"64KiB\" }";
    let gate = Setup::shut(upstream.address).with(limits).start().await;
    let heavy = async || {
        let mut client = gate.client().await;
        client.ask("/ws", &[("cookie", &cookie)]).await;
        let head = client.head().await;
        (client, head.status())
    };
    let held = [heavy().await, heavy().await, heavy().await];
    assert_eq!(held.each_ref().map(|(_, status)| *status), [101; 3]);
    let taken = gate.metric("readygate_hold_budget_taken_bytes").await;
    assert!((60_000.0..65_536.0).contains(&taken), "{taken} bytes for three heads of 24 KiB");
    assert_eq!(gate.metric("readygate_hold_bytes").await, 0.0);
    assert_eq!(heavy().await.1, 503, "the budget has no room for a fourth");
    let _ordinary = gate.held_client().await;
    let mut plain = gate.client().await;
    plain.send(format!("GET /page HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")).await;
    assert_eq!(plain.head().await.status(), 503, "nor for that of a plain request");
    held.into_iter().for_each(|(client, _)| client.reset());
    gate.outcome("client_gone", 3).await;
    assert_eq!(heavy().await.1, 101);
}

#[tokio::test]
async fn a_greedy_client_is_paused_at_its_limit_and_loses_nothing() {
    // More than the hold and the kernel's buffers take together.
    const TOTAL: usize = 16 << 20;
    let mut upstream = Upstream::start().await;
    let limits = "hold = { connection_bytes = \"64KiB\", connection_frames = 100000 }";
    let gate = Setup::shut(upstream.address).with(limits).start().await;
    let mut client = gate.held_client().await;
    let bytes = Frame::binary(&[7; 1018]).masked().repeat(TOTAL / 1026);
    let mut sent = 0;
    let held = gate
        .holds_bytes(|held| {
            sent += client.send_until_full(&bytes[sent..]);
            held == 64 << 10
        })
        .await;
    assert!(held as usize <= sent && sent < bytes.len(), "{sent} sent");
    assert_eq!(sessions(gate.admin, "held").await[0]["held_bytes"], 64 << 10);
    gate.open().await;
    let mut backend = upstream.dialed().await;
    let ((), received) = tokio::join!(client.send(&bytes[sent..]), async {
        backend.accept(&[]).await;
        backend.exactly(bytes.len()).await
    });
    assert!(received == bytes, "the bytes were changed");
}

#[tokio::test]
async fn a_client_at_its_frame_limit_is_paused_and_loses_nothing() {
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).with("hold.connection_frames = 2").start().await;
    let mut client = gate.held_client().await;
    for seq in 0..MESSAGES {
        client.send_frame(&message(seq)).await;
    }
    gate.holds_bytes(|bytes| bytes > 0).await;
    gate.open().await;
    receive_messages(&mut client).await;
}

#[tokio::test]
async fn pings_are_answered_while_held_and_not_replayed() {
    let (gate, mut upstream) = shut("").await;
    let mut client = gate.held_client().await;
    for payload in ["", "one", &"x".repeat(125)] {
        client.send_frame(&Frame::ping(payload)).await;
        assert_eq!(client.frame().await, Frame::pong(payload));
    }
    client.send_frame(&Frame::pong("unasked")).await;
    client.send_frame(&Frame::text("data")).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert_eq!(backend.frame().await, Frame::text("data"));
    client.send_frame(&Frame::ping("the backend's")).await;
    assert_eq!(backend.frame().await, Frame::ping("the backend's"));
}

#[tokio::test]
async fn a_ping_between_fragments_is_taken_out_and_the_message_stays_whole() {
    let (gate, mut upstream) = shut("").await;
    let mut client = gate.held_client().await;
    let pieces = [Frame::new(0x01, "begin, "), Frame::ping("?"), Frame::new(0x80, "end")];
    for piece in &pieces {
        client.send_frame(piece).await;
    }
    assert_eq!(client.frame().await, Frame::pong("?"));
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    let expected = [pieces[0].masked(), pieces[2].masked()].concat();
    assert_eq!(backend.exactly(expected.len()).await, expected);
}

#[tokio::test]
async fn a_client_that_sends_and_closes_is_delivered_with_its_close() {
    for leaves in [false, true] {
        let (gate, mut upstream) = shut("").await;
        let mut client = gate.held_client().await;
        let sent =
            [Frame::text("one").masked(), Frame::text("two").masked(), Frame::close(4000, "done").masked()].concat();
        client.send(&sent).await;
        gate.holds_bytes(|bytes| bytes == sent.len() as u64).await;
        let client = (!leaves).then_some(client);
        gate.open().await;
        let mut backend = upstream.dialed().await;
        backend.accept(&[]).await;
        assert_eq!(backend.exactly(sent.len()).await, sent, "leaves: {leaves}");
        if let Some(mut client) = client {
            backend.send_frame(&Frame::close(4000, "")).await;
            drop(backend);
            assert_eq!(client.closed().await.0, 4000);
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_and_ends_its_stream_is_delivered_and_still_answered() {
    let (gate, mut upstream) = shut("").await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("the last words")).await;
    client.finish().await;
    gate.holds_bytes(|bytes| bytes > 0).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert_eq!(backend.frame().await, Frame::text("the last words"));
    backend.ended().await;
    backend.send_frame(&Frame::text("an answer")).await;
    assert_eq!(client.frame().await, Frame::text("an answer"));
}

#[tokio::test]
async fn a_half_closed_pair_goes_on_in_the_other_direction() {
    let (gate, mut upstream) = shut("").await;
    let mut client = gate.held_client().await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    backend.send_frame(&Frame::close(1000, "")).await;
    backend.finish().await;
    assert_eq!(client.frame().await.closing().0, 1000);
    client.send_frame(&Frame::text("still on its way")).await;
    client.send_frame(&Frame::close(1000, "")).await;
    assert_eq!(backend.frame().await, Frame::text("still on its way"));
    assert_eq!(backend.frame().await.closing().0, 1000);
}

#[tokio::test]
async fn a_client_that_closes_with_nothing_held_gets_its_close_back_and_no_dial() {
    let (gate, mut upstream) = shut("").await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::close(1001, "going away")).await;
    assert_eq!(client.closed().await, (1001, "going away".into()));
    drop(client);
    gate.outcome("client_gone", 1).await;
    gate.open().await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_client_that_resets_is_gone_at_once() {
    let (gate, _upstream) = shut("").await;
    let client = gate.held_client().await;
    gate.holds(1).await;
    client.reset();
    gate.outcome("client_gone", 1).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_told_and_let_go() {
    let (gate, _upstream) = shut(r#"hold.ping_interval = "30ms""#).await;
    let mut silent = gate.held_client().await;
    let mut living = gate.held_client().await;
    for _ in 0..5 {
        let ping = living.frame().await;
        assert_eq!(ping.opcode(), PING);
        living.send_frame(&Frame::pong(str::from_utf8(&ping.payload).unwrap())).await;
    }
    let last = silent.rest().await;
    let farewell = Frame::close(1008, "no answer to pings").plain();
    assert_eq!(last, [Frame::ping("").plain().repeat(2), farewell].concat(), "two pings and the end");
    gate.outcome("client_silent", 1).await;
}

#[tokio::test]
async fn a_frame_begun_while_held_is_finished_after_the_release() {
    let (gate, mut upstream) = shut("").await;
    let mut client = gate.held_client().await;
    let frame = Frame::binary(&[9; 5000]).masked();
    client.send(&frame[..1234]).await;
    gate.holds_bytes(|bytes| bytes > 1000).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.send(&frame[1234..]).await;
    assert_eq!(backend.exactly(frame.len()).await, frame);
}

#[tokio::test]
async fn the_oldest_is_dialed_first_and_only_so_many_at_a_time() {
    let (gate, mut upstream) = shut("gate.release.concurrency = 1").await;
    let mut clients = Vec::new();
    for seq in 0..4 {
        let mut client = gate.client().await;
        client.upgrade(&format!("/{seq}"), &[]).await;
        clients.push(client);
    }
    gate.open().await;
    for seq in 0..4 {
        let mut backend = upstream.dialed().await;
        assert_eq!(backend.head().await.first, format!("GET /{seq} HTTP/1.1"));
        assert!(upstream.is_left_alone().await);
        backend.send(crate::harness::raw::switching(crate::harness::raw::ACCEPT, &[])).await;
    }
}

#[tokio::test]
async fn a_refused_dial_leads_back_to_the_hold_and_loses_nothing() {
    let address = nowhere().await;
    let gate = Setup::open(address).start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("patience")).await;
    gate.has_shut().await;
    let mut upstream = Upstream::start_on(address).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert_eq!(backend.frame().await, Frame::text("patience"));
}

#[tokio::test]
async fn shutting_the_gate_leaves_open_sessions_alone() {
    let echo = Echo::start().await;
    let gate = Setup::open(echo.address).start().await;
    let mut open = gate.held_client().await;
    gate.shut().await;
    let mut held = gate.held_client().await;
    gate.holds(1).await;
    send_messages(&mut open).await;
    receive_messages(&mut open).await;
    send_messages(&mut held).await;
    gate.open().await;
    receive_messages(&mut held).await;
}

#[tokio::test]
async fn one_request_tells_why_a_client_waits() {
    let (gate, _upstream) = shut("").await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("why?")).await;
    gate.holds_bytes(|bytes| bytes > 0).await;
    let id = sessions(gate.admin, "held").await[0]["id"].to_string();
    let session = gate.admin(&format!("/sessions/{id}")).await.json();
    assert_eq!((&session["path"], &session["held_frames"]), (&"/ws".into(), &1.into()));
    let blocker = &session["waiting_for"][0];
    assert_eq!((&blocker["check"], &blocker["class"]), (&"upstream".into(), &"not-ready".into()), "{session}");
}

async fn shut(lines: &str) -> (Running, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(lines).start().await;
    (gate, upstream)
}

/// Frames of 106 bytes on the wire.
fn message(seq: usize) -> Frame {
    Frame::new(0x80 | BINARY, format!("{seq:0100}"))
}

/// As far as the sockets take them without anybody reading.
async fn send_messages(client: &mut Raw) {
    client.send((0..MESSAGES).flat_map(|seq| message(seq).masked()).collect::<Vec<u8>>()).await;
}

async fn receive_messages(client: &mut Raw) {
    for seq in 0..MESSAGES {
        assert_eq!(client.frame().await, message(seq));
    }
}

async fn leave(client: &mut Raw) {
    client.send_frame(&Frame::close(1000, "")).await;
    assert_eq!(client.closed().await.0, 1000);
}
