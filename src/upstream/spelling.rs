//! How the names in a head were written. PURE.
//!
//! Names of headers have no case (RFC 9110 §5.1), and parsed ones have lost it; yet some old or small peers look for theirs
//! letter by letter, so a name passes as it came.

use std::{iter, ops::Range};

use bytes::Bytes;
use http::HeaderMap;
use memchr::{memchr, memchr2};

use crate::fields::{Fields, Lines};

/// The names of a head as they came.
#[derive(Clone, Debug, Default)]
pub struct Spelling {
    head: Bytes,
    names: Vec<Range<usize>>,
}

/// Spells one name after the other.
#[derive(Debug)]
struct Speller<'s> {
    spelling: &'s Spelling,
    /// Both heads mostly have the same order, so the search goes on behind the name that was found last.
    next: usize,
}

impl Spelling {
    /// As in `head`. Part of one will do, and what is no head spells nothing.
    #[must_use]
    pub fn of(head: Bytes) -> Self {
        let mut start = 0;
        let names = iter::from_fn(|| name_from(&head, &mut start)).collect();
        Self { head, names }
    }

    /// `headers`, spelt as here.
    #[must_use]
    pub fn lines(&self, headers: &HeaderMap) -> Lines {
        let mut speller = self.speller();
        Lines::copied(headers.lines().map(|(name, value)| (speller.find(name).unwrap_or(name), value)))
    }

    /// To spell the names of another head.
    fn speller(&self) -> Speller<'_> {
        Speller { spelling: self, next: 0 }
    }

    /// Writes the names in `head` as they are written here; those that are not keep theirs. Nothing becomes longer or
    /// shorter.
    pub fn apply(&self, head: &mut [u8]) {
        let (mut speller, mut start) = (self.speller(), 0);
        while let Some(name) = name_from(head, &mut start) {
            let name = &mut head[name];
            if let Some(spelt) = speller.find(name) {
                name.copy_from_slice(spelt);
            }
        }
    }
}

impl<'s> Speller<'s> {
    fn find(&mut self, name: &[u8]) -> Option<&'s [u8]> {
        let Spelling { head, names } = self.spelling;
        let spelt = |place: usize| &head[names[place].clone()];
        let mut places = (self.next..names.len()).chain(0..self.next);
        let place = places.find(|place| spelt(*place).eq_ignore_ascii_case(name))?;
        self.next = place + 1;
        Some(spelt(place))
    }
}

/// The name in the next line from `start` that has one, as the first line of a head has none. What begins behind it is
/// left in `start`.
fn name_from(head: &[u8], start: &mut usize) -> Option<Range<usize>> {
    while *start < head.len() {
        let line = *start;
        let end = memchr2(b':', b'\n', &head[line..]).map(|length| line + length)?;
        *start = memchr(b'\n', &head[end..]).map_or(head.len(), |length| end + length + 1);
        if head[end] == b':' && !head[line..end].contains(&b' ') {
            return Some(line..end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const HEAD: &[u8] = b"GET /A:B HTTP/1.1\r\nHOST: X\r\nx-One: 1\r\nX-two:2\r\nx-ONE: 3\r\nx-thr";

    #[test]
    fn names_are_spelt_as_they_came_and_nothing_else_changes() {
        let mut head = *b"GET /a:b HTTP/1.1\r\nhost: x\r\nx-one: 1\r\nx-two: x-one: host:\r\nx-three: 1\r\n\r\n";
        Spelling::of(Bytes::from_static(HEAD)).apply(&mut head);
        let spelt = "GET /a:b HTTP/1.1\r\nHOST: x\r\nx-One: 1\r\nX-two: x-one: host:\r\nx-three: 1\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&head), spelt);
    }

    #[test]
    fn names_in_another_order_are_found_and_a_repeated_one_goes_through_its_spellings() {
        let headers: HeaderMap = ["x-two", "x-one", "host", "date"]
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("a")))
            .into_iter()
            .collect();
        let mut headers = headers;
        headers.append("x-one", HeaderValue::from_static("b"));
        let lines = Spelling::of(Bytes::from_static(HEAD)).lines(&headers);
        let spelt: Vec<_> =
            lines.lines().map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii())).collect();
        assert_eq!(spelt, ["X-two: a", "x-ONE: a", "x-One: b", "HOST: a", "date: a"]);
    }
}
