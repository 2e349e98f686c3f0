//! How the names in a head were written. PURE.
//!
//! Names of headers have no case (RFC 9110 §5.1), and parsed ones have lost it; yet some old or small peers look for theirs
//! letter by letter, so a name passes as it came.

use bytes::Bytes;

/// A head as it came, for the names in it. Part of one will do, and what is no head spells nothing.
#[derive(Clone, Debug, Default)]
pub struct Spelling(pub Bytes);

impl Spelling {
    /// Writes the names in `head` as they are written here; those that are not keep theirs. Nothing becomes longer or
    /// shorter.
    pub fn apply(&self, head: &mut [u8]) {
        for line in head.split_mut(|byte| *byte == b'\n') {
            let Some(length) = name_length(line) else { continue };
            let name = &mut line[..length];
            if let Some(spelt) = self.names().find(|spelt| spelt.eq_ignore_ascii_case(name)) {
                name.copy_from_slice(spelt);
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'\n').filter_map(|line| Some(&line[..name_length(line)?]))
    }
}

/// None in a line that has no name, as the first has none.
fn name_length(line: &[u8]) -> Option<usize> {
    line.iter().position(|byte| b": ".contains(byte)).filter(|end| line[*end] == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_they_came_and_nothing_else_changes() {
        let spelling =
            Spelling(Bytes::from_static(b"GET /A:B HTTP/1.1\r\nHOST: X\r\nx-One: 1\r\nX-two:2\r\nx-ONE: 3\r\nx-thr"));
        let mut head = *b"GET /a:b HTTP/1.1\r\nhost: x\r\nx-one: 1\r\nx-two: x-one: host:\r\nx-three: 1\r\n\r\n";
        spelling.apply(&mut head);
        let spelt = "GET /a:b HTTP/1.1\r\nHOST: x\r\nx-One: 1\r\nX-two: x-one: host:\r\nx-three: 1\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&head), spelt);
    }
}
