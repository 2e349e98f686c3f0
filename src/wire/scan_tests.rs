#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

const ROOMY: usize = 1 << 20;
const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Header { fin, rsv: 0, opcode, mask: Some(KEY), payload: payload.len() as u64 }.write(&mut bytes);
    let start = bytes.len();
    bytes.extend(payload);
    apply_mask(&mut bytes[start..], KEY, 0);
    bytes
}

/// Whole frames, the Close, what is kept, what is answered.
type Outcome = (usize, Option<ClientClose>, Vec<u8>, Vec<u8>);

fn scan(bytes: &[u8]) -> Result<Outcome, Violation> {
    let (mut keep, mut answers) = (Vec::new(), Vec::new());
    let mut scanner = Scanner::new(ROOMY);
    let closed = scanner.scan(bytes, &mut keep, &mut answers)?;
    Ok((scanner.frames(), closed, keep, answers))
}

fn violation(bytes: &[u8]) -> u16 {
    scan(bytes).unwrap_err().code
}

#[test]
fn data_frames_are_kept_as_they_came() {
    let stream = [frame(false, Opcode::Text, b"a"), frame(true, Opcode::Continuation, b"b")].concat();
    assert_eq!(scan(&stream), Ok((2, None, stream, vec![])));
}

#[test]
fn a_ping_is_answered_and_a_pong_dropped_even_between_fragments() {
    let [head, tail] = [frame(false, Opcode::Text, b"a"), frame(true, Opcode::Continuation, b"b")];
    let stream = [&head[..], &frame(true, Opcode::Ping, b"hey"), &frame(true, Opcode::Pong, b""), &tail[..]].concat();
    let (frames, _, keep, answers) = scan(&stream).unwrap();
    assert_eq!((frames, keep), (2, [head, tail].concat()));
    assert_eq!(answers, [&[0x8a, 3], b"hey".as_slice()].concat());
}

#[test]
fn a_pong_of_a_client_that_hears_the_upstream_is_kept_in_its_place_and_a_ping_is_not() {
    let [head, tail] = [frame(false, Opcode::Text, b"a"), frame(true, Opcode::Continuation, b"b")];
    let pong = frame(true, Opcode::Pong, b"yes");
    let (mut keep, mut answers) = (Vec::new(), Vec::new());
    let mut scanner = Scanner::new(ROOMY);
    scanner.hear_upstream(false);
    let stream = [&head[..], &frame(true, Opcode::Ping, b"hey"), &pong, &tail].concat();
    assert_eq!(scanner.scan(&stream, &mut keep, &mut answers), Ok(None));
    assert_eq!((scanner.frames(), keep), (2, [head, pong, tail].concat()));
    assert_eq!(answers, [&[0x8a, 3], b"hey".as_slice()].concat());
}

#[test]
fn what_an_extension_has_marked_is_not_taken_for_text() {
    let mut compressed = frame(true, Opcode::Text, b"\xff\xfe");
    compressed[0] |= 0x40;
    let scan = |has_extensions, bytes: &[u8]| {
        let mut scanner = Scanner::new(ROOMY);
        scanner.hear_upstream(has_extensions);
        scanner.scan(bytes, &mut Vec::new(), &mut Vec::new()).map_err(|violation| violation.code)
    };
    assert_eq!((scan(true, &compressed), scan(false, &compressed)), (Ok(None), Err(close::PROTOCOL_ERROR)));
    assert_eq!(scan(true, &frame(true, Opcode::Text, b"\xff\xfe")), Err(close::INVALID_PAYLOAD));
}

#[test]
fn a_close_is_kept_and_nothing_counts_after_it() {
    let close = close::masked_frame(1000, "bye", KEY);
    let stream = [&close[..], &frame(true, Opcode::Text, b"late")].concat();
    assert_eq!(scan(&stream), Ok((0, Some(ClientClose { code: Some(1000) }), close, vec![])));
}

#[test]
fn every_way_to_break_the_framing_is_1002() {
    let mut unmasked = Vec::new();
    Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: None, payload: 0 }.write(&mut unmasked);
    let mut reserved_bit = frame(true, Opcode::Text, b"");
    reserved_bit[0] |= 0x40;
    let cases = [
        ("unmasked", unmasked),
        ("rsv", reserved_bit),
        ("opcode 3", frame(true, Opcode::Reserved(3), b"")),
        ("opcode 11", frame(true, Opcode::Reserved(11), b"")),
        ("fragmented ping", frame(false, Opcode::Ping, b"")),
        ("long ping", frame(true, Opcode::Ping, &[0; 126])),
        ("continuation first", frame(true, Opcode::Continuation, b"")),
        ("text in text", [frame(false, Opcode::Text, b""), frame(true, Opcode::Text, b"")].concat()),
        ("wasteful length", vec![0x81, 0xfe, 0, 5]),
        ("huge length", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("close of one byte", frame(true, Opcode::Close, &[3])),
        ("close 1005", frame(true, Opcode::Close, &1005u16.to_be_bytes())),
    ];
    for (name, bytes) in cases {
        assert_eq!(violation(&bytes), close::PROTOCOL_ERROR, "{name}");
    }
}

#[test]
fn text_that_is_not_utf8_is_1007_at_once_or_when_it_ends_too_early() {
    assert_eq!(violation(&frame(false, Opcode::Text, &[0xff])), close::INVALID_PAYLOAD);
    assert_eq!(violation(&frame(true, Opcode::Text, &[0xc3])), close::INVALID_PAYLOAD);
    assert_eq!(violation(&frame(true, Opcode::Close, &[0x03, 0xe8, 0xff])), close::INVALID_PAYLOAD);
}

#[test]
fn a_character_may_be_split_over_fragments() {
    let stream = [frame(false, Opcode::Text, &[0xc3]), frame(true, Opcode::Continuation, &[0xa4])].concat();
    assert_eq!(scan(&stream).unwrap().0, 2);
}

#[test]
fn binary_may_hold_anything() {
    assert_eq!(scan(&frame(true, Opcode::Binary, &[0xff, 0xc3])).unwrap().0, 1);
}

#[test]
fn a_message_over_the_limit_is_1009_as_soon_as_its_header_says_so() {
    let (mut keep, mut answers) = (Vec::new(), Vec::new());
    let mut scanner = Scanner::new(100);
    let header = &frame(true, Opcode::Binary, &[0; 95])[..6];
    assert_eq!(scanner.scan(header, &mut keep, &mut answers).unwrap_err().code, close::TOO_BIG);
    let fragments = [frame(false, Opcode::Binary, &[0; 60]), frame(true, Opcode::Continuation, &[0; 60])].concat();
    assert_eq!(Scanner::new(100).scan(&fragments, &mut keep, &mut answers).unwrap_err().code, close::TOO_BIG);
}

#[derive(Clone, Debug)]
enum Sent {
    Message(Vec<Vec<u8>>),
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..140);
    prop_oneof![
        proptest::collection::vec(bytes(), 1..4).prop_map(Sent::Message),
        proptest::collection::vec(any::<u8>(), 0..125).prop_map(Sent::Ping),
    ]
}

/// The frames of one thing sent, data and pings apart.
fn to_frames(sent: &Sent) -> Vec<Vec<u8>> {
    match sent {
        Sent::Ping(payload) => vec![frame(true, Opcode::Ping, payload)],
        Sent::Message(parts) => parts
            .iter()
            .enumerate()
            .map(|(index, part)| {
                let opcode = if index == 0 { Opcode::Binary } else { Opcode::Continuation };
                frame(index + 1 == parts.len(), opcode, part)
            })
            .collect(),
    }
}

proptest! {
    #[test]
    fn wherever_the_stream_is_cut_the_kept_bytes_and_the_finish_lose_nothing(
        all in proptest::collection::vec(sent(), 0..6),
        cuts in proptest::collection::vec(0.0f64..1.0, 0..4),
    ) {
        let frames: Vec<Vec<u8>> = all.iter().flat_map(to_frames).collect();
        let stream = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|at| (at * stream.len() as f64) as usize).collect();
        cuts.sort_unstable();
        let end = cuts.pop().unwrap_or(stream.len());
        let (mut keep, mut answers) = (Vec::new(), Vec::new());
        let mut scanner = Scanner::new(ROOMY);
        let mut start = 0;
        for cut in cuts.into_iter().chain([end]) {
            scanner.scan(&stream[start..cut], &mut keep, &mut answers).unwrap();
            start = cut;
        }
        let whole = scanner.frames();
        keep.extend(scanner.finish());
        keep.extend(&stream[end..]);

        let mut position = 0;
        let mut expected: Vec<u8> = Vec::new();
        let mut expected_whole = 0;
        for bytes in &frames {
            position += bytes.len();
            let is_ping = bytes[0] & 0x0f == 9;
            if !is_ping || position > end {
                expected.extend(bytes);
            }
            expected_whole += usize::from(!is_ping && position <= end);
        }
        prop_assert_eq!(keep, expected);
        prop_assert_eq!(whole, expected_whole);
    }
}

#[test]
fn frames_before_a_violation_are_counted() {
    let stream = [frame(true, Opcode::Text, b"good"), frame(true, Opcode::Reserved(3), b"")].concat();
    let mut scanner = Scanner::new(ROOMY);
    assert!(scanner.scan(&stream, &mut Vec::new(), &mut Vec::new()).is_err());
    assert_eq!(scanner.frames(), 1);
}
