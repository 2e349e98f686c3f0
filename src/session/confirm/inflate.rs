//! permessage-deflate (RFC 7692), the reading half. PURE.

use flate2::{Decompress, FlushDecompress, Status};

/// What a sender leaves out at the end of each message (RFC 7692 §7.2.2).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bytes inflated at a time. On the stack, so small.
const CHUNK: usize = 4 << 10;

/// What the upstream's 101 agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Agreed {
    /// A message may refer to the text of those before it.
    takeover: bool,
}

/// Inflates the messages of one sender.
#[derive(Debug)]
pub(super) struct Inflate {
    stream: Decompress,
    takeover: bool,
}

/// What `extensions`, the items of a 101's Sec-WebSocket-Extensions, agree to. None where that is anything but
/// permessage-deflate alone: beside another extension its messages could mean something else.
pub(in crate::session) fn agreed<'h>(mut extensions: impl Iterator<Item = &'h str>) -> Option<Agreed> {
    let (Some(only), None) = (extensions.next(), extensions.next()) else { return None };
    let mut parts = only.split(';').map(str::trim);
    let is_deflate = parts.next()?.eq_ignore_ascii_case("permessage-deflate");
    is_deflate.then(|| Agreed { takeover: !parts.any(|part| part.eq_ignore_ascii_case("server_no_context_takeover")) })
}

impl Inflate {
    pub(super) fn new(agreed: Agreed) -> Self {
        Self { stream: Decompress::new(false), takeover: agreed.takeover }
    }

    /// Inflates a piece of a message into `take`, chunk by chunk. False if it cannot be inflated; nothing after it can be.
    #[must_use]
    pub(super) fn feed(&mut self, mut piece: &[u8], mut take: impl FnMut(&[u8])) -> bool {
        let mut chunk = [0; CHUNK];
        loop {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let Ok(status) = self.stream.decompress(piece, &mut chunk, FlushDecompress::Sync) else { return false };
            let (read, written) = (self.stream.total_in() - read, self.stream.total_out() - written);
            let (Ok(read), Ok(written)) = (usize::try_from(read), usize::try_from(written)) else { return false };
            take(&chunk[..written]);
            piece = &piece[read..];
            match status {
                // A last block before the end: the next begins a stream of its own (RFC 7692 §7.2.3.4).
                Status::StreamEnd => self.stream.reset(false),
                // A full chunk may have left something behind.
                Status::Ok if written == CHUNK || (!piece.is_empty() && read + written > 0) => continue,
                Status::Ok | Status::BufError => {}
            }
            if piece.is_empty() || read + written == 0 {
                return piece.is_empty();
            }
        }
    }

    /// Inflates what is left of a message.
    #[must_use]
    pub(super) fn end(&mut self, take: impl FnMut(&[u8])) -> bool {
        let is_sound = self.feed(&TAIL, take);
        if !self.takeover {
            self.stream.reset(false);
        }
        is_sound
    }
}
