//! Hostile frames while held: each is answered for itself, and its neighbours do not notice.

use futures_util::future::join_all;

use super::neighbour::Neighbour;
use crate::harness::{
    frame::Frame,
    gate::{Running, Setup},
    upstream::{Echo, Upstream},
};

/// Broken frames, and the code they are closed with.
fn attacks() -> Vec<(&'static str, Vec<u8>, u16)> {
    let long = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
    let two = Frame::new(0x01, "a").masked();
    vec![
        ("unmasked", Frame::text("bare").plain(), 1002),
        ("RSV1", Frame::new(0xc1, "x").masked(), 1002),
        ("RSV2", Frame::new(0xa1, "x").masked(), 1002),
        ("RSV3", Frame::new(0x91, "x").masked(), 1002),
        ("opcode 3", Frame::new(0x83, "x").masked(), 1002),
        ("opcode 15", Frame::new(0x8f, "x").masked(), 1002),
        ("a ping of 126", Frame::new(0x89, [0; 126]).masked(), 1002),
        ("a Close of 65,536", Frame::new(0x88, [0; 65_536]).masked(), 1002),
        ("a ping in pieces", Frame::new(0x09, "x").masked(), 1002),
        ("2^63 bytes", long(1 << 63), 1002),
        ("2^64 - 1 bytes", long(u64::MAX), 1002),
        ("2^63 - 1 bytes", long((1 << 63) - 1), 1009),
        ("2^40 bytes", long(1 << 40), 1009),
        ("one byte more than may be held", long(HOLD), 1009),
        ("a message inside a message", [two.clone(), two].concat(), 1002),
        ("a continuation of nothing", Frame::new(0x80, "x").masked(), 1002),
        ("a Close with 1005", Frame::close(1005, "").masked(), 1002),
        ("a request", b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 1002),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 1002),
        ("text that is none", Frame::new(0x81, [0xc0, 0x80]).masked(), 1007),
    ]
}

const HOLD: u64 = 64 << 10;

#[tokio::test]
async fn a_broken_frame_is_answered_for_itself_whole_or_byte_by_byte_and_nothing_of_it_hears_back() {
    let (gate, mut upstream) = shut("hold.connection_bytes = \"64KiB\"").await;
    let attacks = attacks();
    let neighbour = Neighbour::held(&gate).await;
    for drip in [false, true] {
        let clients = join_all(attacks.iter().map(async |(name, bytes, code)| {
            let mut client = gate.held_client().await;
            // A frame before it is refused with it: nothing of a broken session is delivered.
            client.send_frame(&Frame::text("good")).await;
            // The header is enough for a verdict; what follows is not waited for.
            let bytes = &bytes[..bytes.len().min(60)];
            for piece in bytes.chunks(if drip { 1 } else { bytes.len() }) {
                if client.try_send(piece).await.is_err() {
                    break;
                }
            }
            assert_eq!(client.frame().await.closing().0, *code, "{name}, drip {drip}");
            client
        }))
        .await;
        drop(clients);
    }
    let count = 2 * attacks.len() as u32;
    let outcome = async |name: &str| gate.metric(&format!("readygate_sessions_total{{outcome=\"{name}\"}}")).await;
    crate::harness::eventually("all outcomes", async || {
        let ended = outcome("protocol_error").await + outcome("too_big").await + outcome("invalid_payload").await;
        (ended == f64::from(count)).then_some(())
    })
    .await;
    let (received, delivered, refused) = gate.ledger().await;
    assert!(received >= u64::from(count), "{received} frames received");
    assert_eq!((delivered, refused), (0, received));
    gate.open().await;
    neighbour.hears_back(&mut upstream).await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn bytes_that_come_one_at_a_time_make_the_same_frames() {
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).start().await;
    let frames = [Frame::text("é 門 😀"), Frame::binary(&[0xff; 200]), Frame::text("")];
    let mut client = gate.held_client().await;
    let mut sent = 0;
    for frame in &frames {
        for byte in frame.masked() {
            client.send([byte]).await;
            sent += 1;
            gate.holds_bytes(|bytes| sent - bytes < 14).await;
        }
    }
    gate.holds_bytes(|bytes| bytes == sent).await;
    gate.open().await;
    for frame in frames {
        assert_eq!(client.frame().await, frame);
    }
}

#[tokio::test]
async fn a_client_that_pings_and_reads_no_pong_is_not_read_from_and_holds_no_memory() {
    let (gate, mut upstream) = shut("hold.ping_interval = \"10m\"").await;
    let neighbour = Neighbour::held(&gate).await;
    let mut flooder = gate.held_client().await;
    let pings = Frame::ping(&"p".repeat(125)).masked().repeat(1 << 12);
    // What the kernel's buffers take both ways is the only limit; 64 MiB of pings are more than that.
    let mut sent = 0;
    let mut still = 0;
    while still < STILL {
        let taken = flooder.send_until_full(&pings[sent % PING..]);
        still = if taken == 0 { still + 1 } else { 0 };
        sent += taken;
        assert!(sent < 64 << 20, "{sent} bytes of pings were taken");
        gate.holds(2).await;
    }
    assert_eq!(gate.metric("readygate_hold_bytes").await as usize, neighbour.bytes());
    gate.open().await;
    neighbour.hears_back(&mut upstream).await;
}

/// A masked ping of 125 bytes on the wire.
const PING: usize = 131;

/// So many looks at the metrics without a byte taken, and the client is not read from.
const STILL: u32 = 20;

async fn shut(lines: &str) -> (Running, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(lines).start().await;
    (gate, upstream)
}
