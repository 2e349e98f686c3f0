//! RFC 6455 §5: headers, lengths, masks, opcodes, fragments and control frames.

use super::case::{Case, FIN, Held, forged, masked, wire};
use crate::harness::frame::{BINARY, CLOSE, Frame, PING, PONG, TEXT};

const PROTOCOL: Held = Held::Judged(1002);

/// A payload that a Close may have too.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

pub(super) fn cases() -> Vec<Case> {
    [lengths(), long_forms(), bits(), masks(), fragments(), broken_fragments(), controls(), broken_controls()].concat()
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        cases.push(Case::echoed(format!("§5.2 a binary of {length}"), &[Frame::binary(&bytes)], 1));
        cases.push(Case::echoed(format!("§5.2 a text of {length}"), &[Frame::text(&"t".repeat(length))], 1));
    }
    // More than a connection may hold.
    let large = Case::echoed("§5.2 a binary of 1.5 MiB", &[Frame::binary(&vec![5; 3 << 19])], 1);
    cases.push(large.held(Held::Stricter(1009)));
    let many: Vec<Frame> = (0..100).map(|seq| Frame::text(&format!("message {seq}"))).collect();
    cases.push(Case::echoed("§5.2 a hundred messages at once", &many, 100));
    cases
}

/// Lengths that are not in their shortest form, which servers take, and lengths that nobody can send.
fn long_forms() -> Vec<Case> {
    let mut cases = Vec::new();
    for (form, length) in [(126, 0), (126, 1), (126, 125), (127, 0), (127, 125), (127, 126), (127, 65_535)] {
        let bytes = [forged(FIN | BINARY, form, length), masked(&vec![3; length as usize])].concat();
        let case = Case::new(format!("§5.2 {length} in the form of {form}"), bytes);
        cases.push(case.answered(1, 0).held(Held::Stricter(1002)));
    }
    for (name, length, code) in [
        ("§5.2 a length of 2^63", 1 << 63, 1002),
        ("§5.2 a length of 2^64 - 1", u64::MAX, 1002),
        ("§5.2 a length of 2^62", 1 << 62, 1009),
        ("§5.2 a length of 2^53", 1 << 53, 1009),
    ] {
        cases.extend(Case::broken(name, &forged(FIN | BINARY, 127, length), Held::Stricter(code)));
    }
    cases
}

/// Reserved bits and reserved opcodes.
fn bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let frame = Frame::new(FIN | bits << 4 | opcode, NORMAL);
            cases.extend(Case::broken(&format!("§5.2 RSV {bits:03b} on opcode {opcode}"), &frame.masked(), PROTOCOL));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for (fin, payload) in [(FIN, ""), (FIN, "reserved"), (0, "reserved")] {
            let name = format!("§5.2 opcode {opcode}, {} bytes, FIN {}", payload.len(), fin >> 7);
            cases.extend(Case::broken(&name, &Frame::new(fin | opcode, payload).masked(), PROTOCOL));
        }
    }
    let inside = [Frame::new(TEXT, "be"), Frame::new(0x40, "tw"), Frame::new(FIN, "een")];
    cases.extend(Case::broken("§5.2 RSV 100 on a continuation", &wire(&inside), PROTOCOL));
    cases
}

fn masks() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, frame) in [
        ("§5.1 an unmasked text", Frame::text("bare")),
        ("§5.1 an unmasked text without bytes", Frame::text("")),
        ("§5.1 an unmasked binary of 126", Frame::binary(&[1; 126])),
        ("§5.1 an unmasked fragment", Frame::new(TEXT, "bare")),
        ("§5.1 an unmasked ping", Frame::ping("bare")),
        ("§5.1 an unmasked pong", Frame::pong("")),
        ("§5.1 an unmasked Close", Frame::close(1000, "")),
    ] {
        cases.extend(Case::broken(name, &frame.plain(), PROTOCOL));
    }
    let half = [Frame::new(TEXT, "masked ").masked(), Frame::new(FIN, "and not").plain()].concat();
    cases.extend(Case::broken("§5.1 an unmasked continuation", &half, PROTOCOL));
    let zeros = [&[FIN | TEXT, 0x84, 0, 0, 0, 0][..], b"zero"].concat();
    cases.push(Case::new("§5.3 a mask of zeros", zeros).answered(1, 0));
    cases
}

fn fragments() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, pieces) in [
        ("two pieces", &["two ", "pieces"][..]),
        ("an empty first piece", &["", "rest"]),
        ("an empty piece in the middle", &["first", "", "last"]),
        ("an empty last piece", &["first", ""]),
        ("nothing but empty pieces", &["", "", "", ""]),
        ("ten pieces", &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
    ] {
        for opcode in [TEXT, BINARY] {
            cases.push(Case::echoed(format!("§5.4 {name}, opcode {opcode}"), &in_pieces(opcode, pieces), 1));
        }
    }
    for length in [125, 126, 65_535, 65_536] {
        let long = "f".repeat(length);
        cases.push(Case::echoed(format!("§5.4 pieces of {length}"), &in_pieces(BINARY, &[&long, &long]), 1));
    }
    let bytes = vec!["b"; 125];
    cases.push(Case::echoed("§5.4 pieces of one byte", &in_pieces(TEXT, &bytes), 1));
    let two = [in_pieces(TEXT, &["a", "b"]), in_pieces(BINARY, &["c", "d"])].concat();
    cases.push(Case::echoed("§5.4 two messages in pieces", &two, 2));
    let later = Case::new("§5.4 a message begun while held and ended later", Frame::new(TEXT, "begun, ").masked());
    cases.push(later.answered(0, 0).then(Frame::new(FIN, "ended").masked()).answered(1, 0));
    for (name, control, pongs) in [("ping", Frame::ping("?"), 1), ("pong", Frame::pong("!"), 0)] {
        let [first, last] = [Frame::new(TEXT, "around "), Frame::new(FIN, "it")];
        let frames = [first.clone(), control.clone(), last.clone()];
        cases.push(Case::echoed(format!("§5.4 a {name} between two pieces"), &frames, 1));
        let frames = [first, control.clone(), Frame::new(0, ""), control.clone(), control, last];
        let case = Case::echoed(format!("§5.4 three {name}s between three pieces"), &frames, 1);
        cases.push(case.answered(1, 3 * pongs));
    }
    cases
}

fn broken_fragments() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, frames) in [
        ("a continuation of nothing", &[Frame::new(FIN, "of nothing")][..]),
        ("an empty continuation of nothing", &[Frame::new(FIN, "")]),
        ("an unfinished continuation of nothing", &[Frame::new(0, "of nothing")]),
        ("a text inside a text", &[Frame::new(TEXT, "a"), Frame::text("b")]),
        ("a binary inside a text", &[Frame::new(TEXT, "a"), Frame::binary(b"b")]),
        ("an unfinished text inside a binary", &[Frame::new(BINARY, "a"), Frame::new(TEXT, "b")]),
        ("an unfinished binary inside itself", &[Frame::new(BINARY, "a"), Frame::new(BINARY, "b")]),
        ("a text inside a text behind a ping", &[Frame::new(TEXT, "a"), Frame::pong("p"), Frame::text("b")]),
    ] {
        cases.extend(Case::broken(&format!("§5.4 {name}"), &wire(frames), PROTOCOL));
    }
    let whole = Case::echoed("§5.4 a continuation behind a message in pieces", &in_pieces(TEXT, &["a", "b"]), 1);
    cases.push(whole.then(Frame::new(FIN, "c").masked()));
    cases
}

fn controls() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0, 1, 125] {
        let ping = Frame::new(FIN | PING, (0..length).map(|at| 255 - at as u8).collect::<Vec<_>>());
        cases.push(Case::echoed(format!("§5.5.2 a ping of {length}"), &[ping], 0));
        let pong = Frame::new(FIN | PONG, vec![0xff; length]);
        cases.push(Case::echoed(format!("§5.5.3 a pong of {length} that nobody asked for"), &[pong], 0));
    }
    let pings: Vec<Frame> = (0..10).map(|seq| Frame::ping(&seq.to_string())).collect();
    cases.push(Case::echoed("§5.5.2 ten pings", &pings, 0));
    let around = [Frame::ping("before"), Frame::text("between"), Frame::ping("after")];
    cases.push(Case::echoed("§5.5.2 pings around a text", &around, 1));
    let amid = Case::echoed(
        "§5.5.2 a ping inside a message that waits for its pong",
        &[Frame::new(TEXT, "a"), Frame::ping("p")],
        0,
    );
    cases.push(amid.then(Frame::new(FIN, "b").masked()).answered(1, 1));
    let later = Case::echoed("§5.5.2 a ping, and one later", &[Frame::ping("held"), Frame::text("held")], 1);
    cases.push(later.then(Frame::ping("open").masked()).answered(1, 2));
    cases
}

fn broken_controls() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [CLOSE, PING, PONG] {
        for length in [126, 65_536] {
            let frame = Frame::new(FIN | opcode, vec![b'l'; length]);
            cases.extend(Case::broken(&format!("§5.5 opcode {opcode} of {length}"), &frame.masked(), PROTOCOL));
        }
        let frame = Frame::new(opcode, NORMAL);
        cases.extend(Case::broken(&format!("§5.5 opcode {opcode} in pieces"), &frame.masked(), PROTOCOL));
    }
    cases
}

fn in_pieces(opcode: u8, pieces: &[&str]) -> Vec<Frame> {
    let last = pieces.len() - 1;
    let first = |at: usize| if at == 0 { opcode } else { 0 } | if at == last { FIN } else { 0 };
    pieces.iter().enumerate().map(|(at, piece)| Frame::new(first(at), *piece)).collect()
}
