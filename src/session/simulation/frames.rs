//! RFC 6455 frames once more, apart from `wire`: what checks the code must not be the code.

use fastrand::Rng;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// One whole frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
    /// As it stands on the wire.
    pub(super) raw: Vec<u8>,
}

impl Frame {
    pub(super) fn is_data(&self) -> bool {
        self.opcode < CLOSE
    }

    pub(super) fn close_code(&self) -> Option<u16> {
        self.payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code))
    }
}

/// A frame; with a key, masked.
pub(super) fn build(fin: bool, opcode: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut raw = vec![if fin { 0x80 | opcode } else { opcode }];
    match payload.len() {
        short @ 0..126 => raw.push(mask | u8::try_from(short).unwrap()),
        medium @ 126..65536 => {
            raw.push(mask | 126);
            raw.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            raw.push(mask | 127);
            raw.extend((long as u64).to_be_bytes());
        }
    }
    raw.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    raw.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    raw
}

/// A client's frame under a random key.
pub(super) fn masked(rng: &mut Rng, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    build(fin, opcode, payload, Some(rng.u32(..).to_ne_bytes()))
}

/// The whole frames of a stream, and what is left behind the last.
pub(super) fn split(mut bytes: &[u8]) -> (Vec<Frame>, Vec<u8>) {
    let mut frames = Vec::new();
    while let Some(frame) = first(bytes) {
        bytes = &bytes[frame.raw.len()..];
        frames.push(frame);
    }
    (frames, bytes.to_vec())
}

/// The frame at the start of `bytes`, if it is whole.
pub(super) fn first(bytes: &[u8]) -> Option<Frame> {
    let [one, two, ..] = *bytes else { return None };
    let (length, mut at) = match two & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let mut key = [0; 4];
    if two & 0x80 != 0 {
        key = *bytes.get(at..)?.first_chunk()?;
        at += 4;
    }
    let end = usize::try_from(length).ok()?.checked_add(at)?;
    let payload = bytes.get(at..end)?.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    Some(Frame { opcode: one & 0x0f, payload, raw: bytes[..end].to_vec() })
}
