//! What one client sent before its session was open: raw, in order, bounded. PURE.
//!
//! `budget` bounds all holds together, `head` weighs the requests that wait with them.

pub mod budget;
pub mod head;

use crate::{
    config,
    wire::{
        boundary::Boundary,
        scan::{ClientClose, Scanner, Violation},
    },
};

/// A hold has so little memory that it does not use, a quarter: the budget counts what is kept, and what a vector by itself
/// takes may be twice that.
const SPARE_PART: usize = 4;

/// The bounded queue of one session. It has no way to drop a byte: it takes until it is full, and is then handed
/// over whole by [`Hold::release`].
#[derive(Debug)]
pub struct Hold {
    most_bytes: usize,
    most_frames: usize,
    scanner: Scanner,
    kept: Vec<u8>,
    closed: bool,
}

/// What a hold had taken, ready to be replayed.
#[derive(Debug, PartialEq, Eq)]
pub struct Released {
    /// Client bytes in order. The last frame may be unfinished: its rest is still to come from the client.
    pub bytes: Vec<u8>,
    /// Whole data frames among them.
    pub frames: usize,
}

impl Hold {
    /// An empty hold.
    #[must_use]
    pub fn new(limits: &config::Hold) -> Self {
        let (most_bytes, most_frames) = (limits.connection_bytes, limits.connection_frames);
        Self { most_bytes, most_frames, scanner: Scanner::new(most_bytes), kept: Vec::new(), closed: false }
    }

    /// Bytes that may be taken before this hold is full; 0 when it is, or when the client has closed. The frame limit
    /// is a backstop: the piece in which it is reached may go over it, bounded by its bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.closed || self.frames() >= self.most_frames {
            return 0;
        }
        self.most_bytes.saturating_sub(self.kept.len())
    }

    /// The client hears the upstream from here on, as [`Scanner::hear_upstream`].
    pub fn hear_upstream(&mut self, has_extensions: bool) {
        self.scanner.hear_upstream(has_extensions);
    }

    /// Takes client bytes; pongs that are due are appended to `answers`. Returns the client's Close once it is there.
    ///
    /// # Errors
    /// The client broke RFC 6455 or sent a message that may never be held.
    pub fn take(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> Result<Option<ClientClose>, Violation> {
        self.make_room(bytes.len());
        let closed = self.scanner.scan(bytes, &mut self.kept, answers)?;
        self.kept.shrink_to(self.kept.len() + self.spare());
        self.closed = closed.is_some();
        Ok(closed)
    }

    fn make_room(&mut self, more: usize) {
        if self.kept.capacity() - self.kept.len() < more {
            self.kept.reserve_exact(more.max(self.spare()));
        }
    }

    /// Memory beyond what is kept: as much as makes a hold that fills byte by byte no slow one.
    fn spare(&self) -> usize {
        self.kept.len() / SPARE_PART
    }

    /// Bytes kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept.len()
    }

    /// Bytes kept, and those of a header or a control frame that is not all there.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.kept.len() + self.scanner.unfinished()
    }

    /// Whole data frames kept.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.scanner.frames()
    }

    /// Whole data frames kept, counted over the bytes themselves: the other half of the ledger.
    #[must_use]
    pub fn left_frames(&self) -> u64 {
        let mut left = Boundary::default();
        left.advance(&self.kept);
        left.data_frames()
    }

    /// The client has sent its Close.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the client's Close carries, code and reason.
    #[must_use]
    pub fn farewell(&self) -> &[u8] {
        self.scanner.farewell()
    }

    /// A frame has begun and is not whole.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.scanner.is_mid_frame()
    }

    /// Hands everything over.
    #[must_use]
    pub fn release(self) -> Released {
        let frames = self.frames();
        let mut bytes = self.kept;
        bytes.extend(self.scanner.finish());
        Released { bytes, frames }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::{
        config::WhenFull,
        wire::{
            close::{control, masked_frame},
            header::Opcode,
        },
    };
    use std::time::Duration;

    fn limits(connection_bytes: usize, connection_frames: usize) -> config::Hold {
        config::Hold {
            connection_bytes,
            connection_frames,
            total_bytes: 1 << 20,
            sessions: 10,
            when_full: WhenFull::Pause,
            frame_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
        }
    }

    fn text(payload: &[u8]) -> Vec<u8> {
        control(Opcode::Text, payload, Some([1, 2, 3, 4]))
    }

    #[test]
    fn what_was_taken_is_released_in_order() {
        let mut hold = Hold::new(&limits(1000, 10));
        for payload in [b"one".as_slice(), b"two"] {
            hold.take(&text(payload), &mut vec![]).unwrap();
        }
        assert_eq!(hold.release(), Released { bytes: [text(b"one"), text(b"two")].concat(), frames: 2 });
    }

    #[test]
    fn a_hold_is_full_when_its_bytes_or_its_frames_are_used_up() {
        let mut by_bytes = Hold::new(&limits(9, 10));
        by_bytes.take(&text(b"one"), &mut vec![]).unwrap();
        let mut by_frames = Hold::new(&limits(1000, 1));
        by_frames.take(&text(b"one"), &mut vec![]).unwrap();
        assert_eq!((by_bytes.room(), by_frames.room()), (0, 0));
    }

    #[test]
    fn memory_grows_with_what_is_kept_and_not_by_doubling() {
        let mut hold = Hold::new(&limits(1 << 20, 100_000));
        let (frame, ping) = (text(&[b'x'; 64]), control(Opcode::Ping, &[b'x'; 100], Some([5; 4])));
        hold.take(&frame.repeat(5), &mut vec![]).unwrap();
        assert_eq!((hold.kept.len(), hold.kept.capacity()), (350, 350));
        let mut moves = 0;
        for piece in frame.repeat(200).chunks(7).chain([ping.repeat(50).as_slice()]) {
            let before = hold.kept.capacity();
            hold.take(piece, &mut vec![]).unwrap();
            let spare = hold.kept.capacity() - hold.kept.len();
            assert!(spare <= hold.kept.len() / SPARE_PART, "{spare} of {}", hold.kept.len());
            moves += u32::from(hold.kept.capacity() != before);
        }
        assert!(moves < 40, "{moves} of 2000");
    }

    #[test]
    fn pings_take_no_room() {
        let mut hold = Hold::new(&limits(100, 10));
        let mut answers = vec![];
        hold.take(&control(Opcode::Ping, b"hey", Some([5; 4])), &mut answers).unwrap();
        assert_eq!((hold.room(), answers), (100, control(Opcode::Pong, b"hey", None)));
    }

    #[test]
    fn after_its_close_a_client_has_no_room_and_the_close_is_released_last() {
        let mut hold = Hold::new(&limits(100, 10));
        let close = masked_frame(1000, "", [7; 4]);
        hold.take(&[text(b"one"), close.clone()].concat(), &mut vec![]).unwrap();
        assert_eq!((hold.room(), hold.is_closed()), (0, true));
        assert!(hold.release().bytes.ends_with(&close));
    }

    #[test]
    fn a_frame_in_pieces_is_released_as_far_as_it_came() {
        let frame = text(b"unfinished");
        for cut in 1..frame.len() {
            let mut hold = Hold::new(&limits(100, 10));
            hold.take(&frame[..cut], &mut vec![]).unwrap();
            assert!(hold.is_mid_frame());
            assert_eq!(hold.release(), Released { bytes: frame[..cut].to_vec(), frames: 0 });
        }
    }

    #[test]
    fn what_is_read_and_not_kept_yet_takes_memory_all_the_same() {
        for frame in [text(b"unfinished"), control(Opcode::Ping, b"unfinished", Some([7; 4]))] {
            for cut in 0..frame.len() {
                let mut hold = Hold::new(&limits(100, 10));
                hold.take(&frame[..cut], &mut vec![]).unwrap();
                assert_eq!(hold.memory(), cut);
                assert_eq!(hold.memory(), hold.release().bytes.len());
            }
        }
    }
}
