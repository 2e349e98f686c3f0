//! UTF-8 that arrives in pieces, cut at any byte. PURE.

/// Longest encoded character.
const LONGEST: usize = 4;

/// Remembers the unfinished character between two pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Utf8 {
    tail: [u8; LONGEST],
    tail_len: usize,
}

impl Utf8 {
    /// Takes the next piece; false if the text cannot be UTF-8, whatever follows (RFC 6455 §8.1).
    #[must_use]
    pub(super) fn accept(&mut self, mut piece: &[u8]) -> bool {
        while self.tail_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return true };
            piece = rest;
            if !self.extend_tail(byte) {
                return false;
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                self.keep(&piece[error.valid_up_to()..]);
                true
            }
        }
    }

    /// No character is left unfinished.
    #[must_use]
    pub(super) fn is_whole(&self) -> bool {
        self.tail_len == 0
    }

    fn extend_tail(&mut self, byte: u8) -> bool {
        self.tail[self.tail_len] = byte;
        self.tail_len += 1;
        match std::str::from_utf8(&self.tail[..self.tail_len]) {
            Ok(_) => self.tail_len = 0,
            Err(error) if error.error_len().is_some() => return false,
            Err(_) => {}
        }
        true
    }

    fn keep(&mut self, unfinished: &[u8]) {
        self.tail[..unfinished.len()].copy_from_slice(unfinished);
        self.tail_len = unfinished.len();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole_is(
            text in prop_oneof![proptest::collection::vec(any::<u8>(), 0..12), any::<String>().prop_map(String::into_bytes)],
            cut in 0usize..12,
        ) {
            let cut = cut.min(text.len());
            let mut utf8 = Utf8::default();
            let valid = utf8.accept(&text[..cut]) && utf8.accept(&text[cut..]) && utf8.is_whole();
            prop_assert_eq!(valid, std::str::from_utf8(&text).is_ok());
        }
    }

    #[test]
    fn a_bad_byte_is_noticed_before_the_character_ends() {
        assert!(!Utf8::default().accept(&[0xf4, 0x90]));
    }
}
