//! RFC 7692: permessage-deflate, its parameters, and what it makes of frames. The compressed bytes are those of the RFC's
//! own examples (§7.2.3). After an early accept no extension is agreed on.

use super::case::{Case, FIN, Held, RSV1, wire};
use crate::harness::frame::{BINARY, CLOSE, Frame, PING, TEXT};

const OFFER: &str = "permessage-deflate";

/// "Hello" (§7.2.3.1), and "Hello" once more by a reference to the first (§7.2.3.2).
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGAIN: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];

/// Reserved bits without an extension.
const REFUSED: Held = Held::Stricter(1002);

const OFFERS: [&str; 22] = [
    OFFER,
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=8",
    "permessage-deflate; client_max_window_bits=9",
    "permessage-deflate; client_max_window_bits=15",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=15",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; unknown",
    "permessage-deflate; unknown=1, permessage-deflate",
    "permessage-bzip2, permessage-deflate",
    "permessage-bzip2",
    "permessage-deflate; server_max_window_bits=\"10\"",
];

pub(super) fn cases() -> Vec<Case> {
    [offers(), frames(), broken()].concat()
}

/// Every offer, with messages that are compressed where it is taken, and not compressed where it is not.
fn offers() -> Vec<Case> {
    let mut cases = Vec::new();
    for offer in OFFERS {
        let twice = [compressed(TEXT, HELLO), compressed(TEXT, AGAIN)];
        let case = Case::echoed(format!("7692 §7.1 {offer}, compressed"), &twice, 2);
        cases.push(case.held(REFUSED).offering(offer));
        let plain = [Frame::text("Hello"), Frame::binary(b"Hello"), Frame::text("Hello, Hello, Hello")];
        let case = Case::echoed(format!("7692 §7.1 {offer}, not compressed"), &plain, 3);
        cases.push(case.held(Held::Plain).offering(offer));
    }
    cases
}

fn frames() -> Vec<Case> {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    let pieces = [Frame::new(RSV1 | TEXT, &HELLO[..3]), Frame::new(FIN, &HELLO[3..])];
    let around = [pieces[0].clone(), Frame::ping("between"), Frame::new(0, ""), pieces[1].clone()];
    let mixed = [Frame::text("Hello"), compressed(TEXT, HELLO), Frame::binary(b"Hello"), compressed(BINARY, AGAIN)];
    [
        ("§7.2.3.1 one frame", &[compressed(TEXT, HELLO)][..], 1),
        ("§7.2.3.1 a binary", &[compressed(BINARY, HELLO)], 1),
        ("§7.2.3.1 two frames", &pieces, 1),
        ("§7.2.3.1 two frames around a ping and an empty one", &around, 1),
        ("§7.2.3.2 with and without the last message's window", &[compressed(TEXT, HELLO), compressed(TEXT, HELLO)], 2),
        ("§7.2.3.3 a block that is not compressed", &[compressed(TEXT, &stored)], 1),
        ("§7.2.3.4 a last block", &[compressed(TEXT, &last)], 1),
        ("§7.2.3.5 two blocks", &[compressed(TEXT, &blocks)], 1),
        ("§7.2.3.6 an empty message", &[compressed(TEXT, &[0])], 1),
        ("§6 compressed and not compressed by turns", &mixed, 4),
        ("§6 65,536 bytes that are not compressed", &[compressed(BINARY, &block(65_535))], 1),
    ]
    .map(|(name, frames, messages)| {
        Case::echoed(format!("7692 {name}"), frames, messages).held(REFUSED).offering(OFFER)
    })
    .to_vec()
}

fn broken() -> Vec<Case> {
    let text_block = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00];
    let continued = [Frame::new(RSV1 | TEXT, &HELLO[..3]), Frame::new(FIN | RSV1, &HELLO[3..])];
    let begun = [Frame::new(TEXT, "Hel"), Frame::new(FIN | RSV1, "lo")];
    [
        ("§6.1 RSV1 on every piece", &continued[..]),
        ("§6.1 RSV1 on a continuation", &begun),
        ("§6.1 RSV1 on a ping", &[Frame::new(FIN | RSV1 | PING, "p")]),
        ("§6.1 RSV1 on a Close", &[Frame::new(FIN | RSV1 | CLOSE, 1000_u16.to_be_bytes())]),
        ("§6.1 RSV2 beside RSV1", &[Frame::new(FIN | RSV1 | 0x20 | TEXT, HELLO)]),
        ("§7.2.2 bytes that are no DEFLATE", &[compressed(TEXT, &[0xff; 20])]),
        ("§7.2.2 a reference before the beginning", &[compressed(TEXT, AGAIN)]),
        ("§7.2.2 compressed text that is no UTF-8", &[compressed(TEXT, &text_block)]),
    ]
    .map(|(name, frames)| Case::new(format!("7692 {name}"), wire(frames)).held(REFUSED).offering(OFFER))
    .to_vec()
}

fn compressed(opcode: u8, bytes: &[u8]) -> Frame {
    Frame::new(FIN | RSV1 | opcode, bytes)
}

/// A stored block of DEFLATE (RFC 1951 §3.2.4), and the empty one that the extension leaves out the end of.
fn block(length: u16) -> Vec<u8> {
    let [low, high] = length.to_le_bytes();
    [&[0x00, low, high, !low, !high][..], &vec![b's'; usize::from(length)], &[0x00]].concat()
}
