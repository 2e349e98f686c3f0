//! RFC 6455 §8.1: text is UTF-8 as a whole message, wherever its frames are cut.

use super::case::{Case, FIN, Held, wire};
use crate::harness::frame::{BINARY, Frame, TEXT};

/// Characters of two, three, four bytes and one.
const MIXED: &str = "é門😀x";

const NOT_UTF8: Held = Held::Judged(1007);

pub(super) fn cases() -> Vec<Case> {
    [good(), cuts(), broken(), broken_at_cuts()].concat()
}

fn good() -> Vec<Case> {
    let edges = "\0 \u{7f} \u{80} \u{7ff} \u{800} \u{d7ff} \u{e000} \u{fffd} \u{ffff} \u{10000} \u{10ffff}";
    let all: Vec<u8> = (0..=255).collect();
    vec![
        Case::echoed("§8.1 characters of every length", &[Frame::text(MIXED)], 1),
        Case::echoed("§8.1 the first and last of every length", &[Frame::text(edges)], 1),
        Case::echoed("§8.1 a byte order mark", &[Frame::text("\u{feff}mark")], 1),
        Case::echoed("§8.1 bytes that are no text, as a binary", &[Frame::binary(&all)], 1),
        Case::echoed("§8.1 half a character, as a binary", &[Frame::new(BINARY, [0xe9]), Frame::new(FIN, [0xff])], 1),
        Case::echoed("§8.1 a long text", &[Frame::text(&MIXED.repeat(2000))], 1),
    ]
}

/// Good text, cut at every byte, in two frames and in as many as there are bytes.
fn cuts() -> Vec<Case> {
    let mut cases: Vec<Case> = (0..=MIXED.len())
        .map(|cut| Case::echoed(format!("§8.1 cut at byte {cut}"), &cut_at(MIXED.as_bytes(), cut), 1))
        .collect();
    let bytes = MIXED.as_bytes();
    let each = |at: usize| if at == 0 { TEXT } else { 0 } | if at + 1 == bytes.len() { FIN } else { 0 };
    let frames: Vec<Frame> = bytes.iter().enumerate().map(|(at, byte)| Frame::new(each(at), [*byte])).collect();
    cases.push(Case::echoed("§8.1 cut at every byte", &frames, 1));
    let around: Vec<Frame> = frames.into_iter().flat_map(|frame| [frame, Frame::ping("p")]).collect();
    let pings = bytes.len() - 1;
    let around = &around[..around.len() - 1];
    cases.push(Case::echoed("§8.1 cut at every byte, pings between", around, 1).answered(1, pings));
    cases
}

fn broken() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, bytes) in [
        ("a lone continuation byte", &[0x80][..]),
        ("the last continuation byte", &[0xbf]),
        ("two bytes for one", &[0xc0, 0xaf]),
        ("two bytes for U+7F", &[0xc1, 0xbf]),
        ("three bytes for two", &[0xe0, 0x9f, 0xbf]),
        ("four bytes for three", &[0xf0, 0x8f, 0xbf, 0xbf]),
        ("the first surrogate", &[0xed, 0xa0, 0x80]),
        ("a pair of surrogates", &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
        ("one more than U+10FFFF", &[0xf4, 0x90, 0x80, 0x80]),
        ("a byte that begins nothing", &[0xf5, 0x80, 0x80, 0x80]),
        ("five bytes", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
        ("0xfe", &[0xfe]),
        ("0xff", &[0xff]),
        ("a character without its end", &[b'a', 0xc3]),
        ("three bytes of four", &[0xf0, 0x9f, 0x98]),
        ("a letter in the place of a continuation", &[0xe9, 0x96, b'a']),
    ] {
        cases.extend(Case::broken(&format!("§8.1 {name}"), &Frame::new(FIN | TEXT, bytes).masked(), NOT_UTF8));
    }
    // A server may wait for the end of a message before it judges it; readygate does not.
    let unfinished = Case::new("§8.1 broken, and unfinished", Frame::new(TEXT, [b'a', 0xff]).masked());
    cases.push(unfinished.answered(0, 0).held(Held::Stricter(1007)));
    let halves = [Frame::new(FIN | TEXT, [0xc3]), Frame::new(FIN | TEXT, [0xa9])];
    cases.extend(Case::broken("§8.1 a character over two messages", &wire(&halves), NOT_UTF8));
    cases
}

/// A bad byte at every position, with the frames cut before and behind it.
fn broken_at_cuts() -> Vec<Case> {
    let mut cases = Vec::new();
    for bad in 0..MIXED.len() {
        let mut bytes = MIXED.as_bytes().to_vec();
        bytes[bad] = 0xff;
        for cut in [bad, bad + 1] {
            let name = format!("§8.1 broken at byte {bad}, cut at {cut}");
            cases.push(Case::new(name, wire(&cut_at(&bytes, cut))).held(NOT_UTF8));
        }
    }
    for cut in 1..MIXED.len() {
        // Inside a character a text ends too early, whatever frames it is cut into.
        let bytes = &MIXED.as_bytes()[..cut];
        if std::str::from_utf8(bytes).is_err() {
            let name = format!("§8.1 ended at byte {cut}, by an empty frame");
            cases.push(Case::new(name, wire(&cut_at(bytes, cut))).held(NOT_UTF8));
        }
    }
    cases
}

fn cut_at(bytes: &[u8], cut: usize) -> [Frame; 2] {
    [Frame::new(TEXT, &bytes[..cut]), Frame::new(FIN, &bytes[cut..])]
}
