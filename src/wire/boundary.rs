//! Where the frames of a passing stream begin and end. PURE.
//!
//! An open session's bytes are the two ends' own business, so nothing is judged here: any opcode, any reserved bit,
//! any order. All that is kept is whether the stream stands between two frames, since only there may a Close of
//! readygate's be placed, whether a Close has passed, and how many data frames have passed whole.

use super::header::{Header, MAX_HEADER, Opcode};

/// Follows one direction.
#[derive(Clone, Debug, Default)]
pub struct Boundary {
    /// The first bytes of a header that is not all there yet.
    partial: [u8; MAX_HEADER],
    partial_len: u8,
    /// Payload bytes of the present frame still to come.
    payload_left: u64,
    kind: Kind,
    data_frames: u64,
    closed: bool,
    lost: bool,
}

/// What the present frame counts as when its last byte has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Data,
    Close,
    OtherControl,
}

impl Boundary {
    /// Takes the next bytes of the stream.
    pub fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            bytes = if self.payload_left > 0 { self.skip_payload(bytes) } else { self.take_header(bytes) };
        }
    }

    /// Takes bytes up to the end of the frame under way, or all of them, and says how many. None between two frames.
    #[must_use]
    pub fn finish_frame(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while !left.is_empty() && !self.lost && !self.is_between_frames() {
            left = if self.payload_left > 0 { self.skip_payload(left) } else { self.take_header(left) };
        }
        if self.lost { bytes.len() } else { bytes.len() - left.len() }
    }

    /// What came is no stream of frames.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The stream stands between two frames, so a frame may be put here.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        !self.lost && self.partial_len == 0 && self.payload_left == 0
    }

    /// A whole Close frame has passed.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// Data frames (RFC 6455 §5.6, and reserved non-control opcodes) that have passed whole.
    #[must_use]
    pub fn data_frames(&self) -> u64 {
        self.data_frames
    }

    fn skip_payload<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let skipped = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
        self.payload_left -= skipped as u64;
        self.note_end();
        &bytes[skipped..]
    }

    fn take_header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.partial_len == 0
            && let Ok(Some((header, length))) = Header::parse(bytes)
        {
            self.begin(&header);
            return &bytes[length..];
        }
        self.take_partial(bytes)
    }

    /// A header in pieces: one byte at a time until it is whole, at most `MAX_HEADER` of them.
    fn take_partial<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        self.partial[usize::from(self.partial_len)] = byte;
        self.partial_len += 1;
        match Header::parse(&self.partial[..usize::from(self.partial_len)]) {
            Ok(None) => {}
            Ok(Some((header, _))) => {
                self.partial_len = 0;
                self.begin(&header);
            }
            Err(_) => self.lost = true,
        }
        rest
    }

    fn begin(&mut self, header: &Header) {
        self.payload_left = header.payload;
        self.kind = match header.opcode {
            Opcode::Close => Kind::Close,
            opcode if opcode.is_control() => Kind::OtherControl,
            _ => Kind::Data,
        };
        self.note_end();
    }

    fn note_end(&mut self) {
        if self.payload_left > 0 {
            return;
        }
        match self.kind {
            Kind::Data => self.data_frames += 1,
            Kind::Close => self.closed = true,
            Kind::OtherControl => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::wire::close;

    fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Header { fin: true, rsv: 0, opcode, mask: None, payload: payload.len() as u64 }.write(&mut bytes);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn every_split_of_a_stream_finds_the_same_boundaries() {
        let frames = [frame(Opcode::Text, b"hi"), frame(Opcode::Reserved(11), b""), frame(Opcode::Binary, &[7; 300])];
        let ends: Vec<usize> = frames
            .iter()
            .scan(0, |end, f| {
                Some({
                    *end += f.len();
                    *end
                })
            })
            .collect();
        let stream = frames.concat();
        for split in 0..=stream.len() {
            let mut boundary = Boundary::default();
            boundary.advance(&stream[..split]);
            assert_eq!(boundary.is_between_frames(), split == 0 || ends.contains(&split), "split at {split}");
            boundary.advance(&stream[split..]);
            assert!(boundary.is_between_frames() && !boundary.has_closed());
            assert_eq!(boundary.data_frames(), 2);
        }
    }

    #[test]
    fn a_close_has_passed_only_when_its_last_byte_has() {
        let close = close::frame(1000, "bye");
        for split in 0..close.len() {
            let mut boundary = Boundary::default();
            boundary.advance(&close[..split]);
            assert!(!boundary.has_closed(), "split at {split}");
            boundary.advance(&close[split..]);
            assert!(boundary.has_closed());
        }
    }

    #[test]
    fn a_stream_that_is_no_websocket_is_never_between_frames_again() {
        let mut boundary = Boundary::default();
        boundary.advance(&[0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        boundary.advance(&frame(Opcode::Text, b"hi"));
        assert!(!boundary.is_between_frames());
    }
}
