//! What a stranger's bytes must not do to the wire, held to a second reading of RFC 6455 that knows nothing of pieces. PURE.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    boundary::Boundary,
    close,
    header::{Header, Opcode},
    scan::{ClientClose, Scanner, Violation},
};

/// What a scan leaves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scanned {
    kept: Vec<u8>,
    answers: Vec<u8>,
    frames: usize,
    closed: Option<ClientClose>,
}

/// How the scan goes, by the first byte of an input.
#[derive(Clone, Copy)]
struct Mode {
    most_message: usize,
    keeps_pongs: bool,
    has_extensions: bool,
}

/// The scanner fed whole, in pieces and byte by byte says the same, and that is what the slow reading says.
pub(crate) fn scanner(data: &[u8]) {
    let Some((&[flags, piece], stream)) = data.split_first_chunk() else { return };
    let mode = Mode {
        most_message: [20, 200, 5_000, 1 << 20][usize::from(flags & 3)],
        keeps_pongs: flags & 4 != 0,
        has_extensions: flags & 12 == 12,
    };
    let whole = scan(mode, stream, stream.len().max(1));
    for length in [1, usize::from(piece).max(1)] {
        let in_pieces = scan(mode, stream, length);
        assert_eq!(whole.0, in_pieces.0, "in pieces of {length}");
        assert_eq!(whole.1.is_ok(), in_pieces.1.is_ok());
        if whole.1.is_ok() {
            assert_eq!(whole.1, in_pieces.1, "in pieces of {length}");
        }
    }
    match (slowly(mode, stream), whole.1) {
        (Ok(slow), Ok(scanned)) => assert_eq!(slow, scanned),
        (Err(code), Err(Violation { code: found, .. })) => assert_eq!(code, found),
        // The header that breaks the rule is not all there.
        (Ok(_), Err(_)) if ends_inside_a_header(stream) => {}
        (slow, scanned) => panic!("{slow:?} {scanned:?}"),
    }
}

fn scan(mode: Mode, stream: &[u8], piece: usize) -> (usize, Result<Scanned, Violation>) {
    let mut scanner = Scanner::new(mode.most_message);
    if mode.keeps_pongs {
        scanner.hear_upstream(mode.has_extensions);
    }
    let mut scanned = Scanned::default();
    for piece in stream.chunks(piece) {
        match scanner.scan(piece, &mut scanned.kept, &mut scanned.answers) {
            Ok(closed) => scanned.closed = closed,
            Err(violation) => return (scanner.frames(), Err(violation)),
        }
    }
    scanned.frames = scanner.frames();
    scanned.kept.extend(scanner.finish());
    (scanned.frames, Ok(scanned))
}

/// One frame, looked at as RFC 6455 §5.2 draws it.
struct Drawn<'s> {
    fin: bool,
    reserved: u8,
    opcode: u8,
    is_masked: bool,
    length: u64,
    /// The key and as much of the payload as is there, in the clear.
    payload: Vec<u8>,
    /// As much of it as is there.
    raw: &'s [u8],
    is_whole: bool,
}

/// None where its header is not all there.
fn draw(stream: &[u8]) -> Option<Result<Drawn<'_>, u16>> {
    let (first, second) = (*stream.first()?, *stream.get(1)?);
    let field = usize::from(match second & 0x7f {
        126 => 2_u8,
        127 => 8,
        _ => 0,
    });
    let number = stream.get(2..2 + field)?.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = if field == 0 { u64::from(second & 0x7f) } else { number };
    if field == 2 && length < 126 || field == 8 && !(65_536..1 << 63).contains(&length) {
        return Some(Err(close::PROTOCOL_ERROR));
    }
    let is_masked = second & 0x80 != 0;
    let start = 2 + field + if is_masked { 4 } else { 0 };
    let key = if is_masked { stream.get(2 + field..start)?.to_vec() } else { vec![0; 4] };
    let there = stream.len() - start;
    let taken = usize::try_from(length).unwrap().min(there);
    let payload = stream[start..start + taken].iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    let (fin, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
    let (raw, is_whole) = (&stream[..start + taken], taken as u64 == length);
    Some(Ok(Drawn { fin, reserved, opcode, is_masked, length, payload, raw, is_whole }))
}

fn ends_inside_a_header(mut stream: &[u8]) -> bool {
    loop {
        match draw(stream) {
            None => return !stream.is_empty(),
            Some(Ok(frame)) if frame.is_whole => stream = &stream[frame.raw.len()..],
            Some(_) => return false,
        }
    }
}

/// What a stream of frames comes to, whoever sent them and whether or not they are legal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) data_frames: u64,
    pub(crate) has_closed: bool,
    pub(crate) is_between_frames: bool,
    is_lost: bool,
}

pub(crate) fn passed(mut stream: &[u8]) -> Passed {
    let mut passed = Passed { data_frames: 0, has_closed: false, is_between_frames: true, is_lost: false };
    while !stream.is_empty() {
        let drawn = draw(stream);
        passed.is_lost = matches!(drawn, Some(Err(_)));
        let Some(frame) = drawn.and_then(Result::ok).filter(|frame| frame.is_whole) else {
            passed.is_between_frames = false;
            break;
        };
        passed.data_frames += u64::from(frame.opcode & 8 == 0);
        passed.has_closed |= frame.opcode == 8;
        stream = &stream[frame.raw.len()..];
    }
    passed
}

/// The boundaries of a passing stream are the same however it was cut, and a frame under way ends where it does.
pub(crate) fn boundaries(data: &[u8]) {
    let Some((&[split, piece], stream)) = data.split_first_chunk() else { return };
    let slow = passed(stream);
    let (before, behind) = stream.split_at(usize::from(split).min(stream.len()));
    for length in [stream.len(), 1, usize::from(piece)] {
        assert_eq!(follow(&mut Boundary::default(), stream, length), slow, "in pieces of {length}");
        let mut boundary = Boundary::default();
        follow(&mut boundary, before, length);
        let taken = boundary.finish_frame(behind);
        let is_at = |end: &usize| passed(&stream[..before.len() + end]).is_between_frames;
        assert_eq!(taken, (0..behind.len()).find(is_at).unwrap_or(behind.len()));
        assert_eq!(follow(&mut boundary, &behind[taken..], length), slow);
    }
}

fn follow(boundary: &mut Boundary, stream: &[u8], piece: usize) -> Passed {
    stream.chunks(piece.max(1)).for_each(|piece| boundary.advance(piece));
    Passed {
        data_frames: boundary.data_frames(),
        has_closed: boundary.has_closed(),
        is_between_frames: boundary.is_between_frames(),
        is_lost: boundary.is_lost(),
    }
}

/// A message under way: its bytes, its text, and whether that is to be UTF-8.
type Message = Option<(u64, Vec<u8>, bool)>;

fn slowly(mode: Mode, mut stream: &[u8]) -> Result<Scanned, u16> {
    let (mut scanned, mut message): (Scanned, Message) = Default::default();
    while let Some(frame) = draw(stream) {
        let frame = frame?;
        stream = &stream[frame.raw.len()..];
        if frame.reserved != 0 && !mode.has_extensions || !frame.is_masked {
            return Err(close::PROTOCOL_ERROR);
        }
        match frame.opcode {
            0..=2 => scanned.frames += data(mode, &frame, &mut message)?,
            8..=10 => control(&frame, &mut scanned)?,
            _ => return Err(close::PROTOCOL_ERROR),
        }
        let is_taken = frame.opcode == 9 || frame.opcode == 10 && !mode.keeps_pongs;
        if !frame.is_whole || !is_taken {
            scanned.kept.extend(frame.raw);
        }
        if !frame.is_whole || scanned.closed.is_some() {
            return Ok(scanned);
        }
    }
    scanned.kept.extend(stream);
    Ok(scanned)
}

fn data(mode: Mode, frame: &Drawn<'_>, message: &mut Message) -> Result<usize, u16> {
    if (frame.opcode == 0) != message.is_some() {
        return Err(close::PROTOCOL_ERROR);
    }
    let is_text = frame.opcode == 1 && frame.reserved == 0;
    let (bytes, text, is_text) = message.get_or_insert((0, Vec::new(), is_text));
    let header = frame.raw.len() as u64 - frame.payload.len() as u64;
    *bytes = bytes.saturating_add(header).saturating_add(frame.length);
    if *bytes > mode.most_message as u64 {
        return Err(close::TOO_BIG);
    }
    text.extend(&frame.payload);
    let ends = frame.is_whole && frame.fin;
    let is_good =
        !*is_text || std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none() && !ends, |_| true);
    if !is_good {
        return Err(close::INVALID_PAYLOAD);
    }
    if ends {
        *message = None;
    }
    Ok(usize::from(frame.is_whole))
}

fn control(frame: &Drawn<'_>, scanned: &mut Scanned) -> Result<(), u16> {
    if !frame.fin || frame.length > 125 {
        return Err(close::PROTOCOL_ERROR);
    }
    if !frame.is_whole {
        return Ok(());
    }
    match (frame.opcode, frame.payload.as_slice()) {
        (9, payload) => {
            scanned.answers.extend([0x8a, u8::try_from(payload.len()).unwrap()]);
            scanned.answers.extend(payload);
        }
        (8, []) => scanned.closed = Some(ClientClose { code: None }),
        (8, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(close::PROTOCOL_ERROR);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(close::INVALID_PAYLOAD);
            }
            scanned.closed = Some(ClientClose { code: Some(code) });
        }
        (8, _) => return Err(close::PROTOCOL_ERROR),
        (_, _) => {}
    }
    Ok(())
}

/// A Close of ours is one whole legal frame that says the code and the longest part of the reason that fits, masked or not.
pub(crate) fn closes(data: &[u8]) {
    let Some((&[high, low, a, b, c, d], reason)) = data.split_first_chunk() else { return };
    let (code, key, reason) = (u16::from_be_bytes([high, low]), [a, b, c, d], String::from_utf8_lossy(reason));
    let (plain, masked) = (close::frame(code, &reason), close::masked_frame(code, &reason, key));
    for (frame, mask) in [(&plain, None), (&masked, Some(key))] {
        let (header, length) = Header::parse(frame).unwrap().unwrap();
        assert_eq!((header.fin, header.rsv, header.opcode, header.mask), (true, 0, Opcode::Close, mask));
        assert_eq!(frame.len() as u64, length as u64 + header.payload);
    }
    let said = std::str::from_utf8(&plain[4..]).expect("a reason is UTF-8");
    assert_eq!(plain[2..4], [high, low]);
    let cut = reason.chars().scan(0, |end, letter| {
        *end += letter.len_utf8();
        (*end <= 123).then_some(*end)
    });
    assert_eq!(said, &reason[..cut.last().unwrap_or(0)]);
    let mut scanner = Scanner::new(1_000);
    let heard = scanner.scan(&masked, &mut Vec::new(), &mut Vec::new());
    match close::is_legal(code) {
        true => assert_eq!(heard.unwrap(), Some(ClientClose { code: Some(code) })),
        false => assert_eq!(heard.unwrap_err().code, close::PROTOCOL_ERROR),
    }
}
