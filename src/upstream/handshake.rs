//! The opening handshake as it crosses the wire to the upstream and back: a request's bytes, made once, and the 101 that
//! answers them (RFC 6455 §4). PURE.

use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};
use httparse::{ParserConfig, Response, Status};

use crate::fields::{self, Line, Lines, Places};

/// A head longer than this is no answer to a handshake. Servers and clients set the bound for heads at 8 to 64 KiB.
const LONGEST: usize = 64 << 10;

/// Most headers of a request, and of its answer: hyper's own default, named because a limit of size alone would let 10,000
/// short ones by.
pub const MOST_HEADERS: usize = 100;

/// Room to write a head in: of a request some 300 bytes, and cookies.
const USUAL_HEAD: usize = 512;

/// What asks for the upgrade, and what says that it takes place.
const UPGRADING: [(&str, &[u8]); 2] = [("connection", b"Upgrade"), ("upgrade", b"websocket")];

/// A client's request, in memory of its own size: what was parsed is slices of a read buffer, and ten thousand waiting clients
/// would keep ten thousand of them.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// All but the offer and the empty line at the end.
    head: Box<[u8]>,
    /// The lines that offer extensions.
    offer: Box<[u8]>,
}

impl Handshake {
    /// A handshake for `target` with these `lines`.
    #[must_use]
    pub fn of<'l>(target: &str, lines: impl Iterator<Item = Line<'l>>) -> Self {
        let (mut head, mut offer) = (Vec::with_capacity(USUAL_HEAD), Vec::new());
        for piece in ["GET ", target, " HTTP/1.1\r\n"] {
            head.extend_from_slice(piece.as_bytes());
        }
        for (name, value) in lines {
            let is_offer = fields::is(name, "sec-websocket-extensions");
            write_line(if is_offer { &mut offer } else { &mut head }, name, value);
        }
        Self { head: head.into(), offer: offer.into() }
    }

    /// Offers no extensions: the client has been told that there are none.
    pub fn offer_none(&mut self) {
        self.offer = Box::default();
    }

    /// Keeps nothing: it has been answered.
    pub fn forget(&mut self) {
        *self = Self { head: Box::default(), offer: Box::default() };
    }

    /// Bytes of memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.head.len() + self.offer.len()
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [&*self.head, &self.offer, b"\r\n"].concat()
    }
}

/// The lines that ask for the upgrade, or say that it takes place, their names spelt as in `lines`.
pub fn upgrading(lines: &Lines) -> impl Iterator<Item = Line<'_>> {
    UPGRADING.iter().map(|(name, value)| (lines.spell(name), *value))
}

/// The head of a 101 with these `lines`.
#[must_use]
pub fn switching<'l>(lines: impl Iterator<Item = Line<'l>>) -> Vec<u8> {
    let mut head = Vec::with_capacity(USUAL_HEAD);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    lines.for_each(|(name, value)| write_line(&mut head, name, value));
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes one header into a head.
pub fn write_line(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for piece in [name, b": ", value, b"\r\n"] {
        head.extend_from_slice(piece);
    }
}

/// What the bytes heard so far begin with.
#[derive(Debug)]
pub enum Heard {
    /// Part of a head.
    Part,
    /// A 101 of HTTP/1.1, taken out of the bytes.
    Switch(Lines),
    /// Anything else.
    Other,
}

/// Looks at the bytes that came from the upstream, and takes interim answers out of them (RFC 9110 §15.2): nobody told the
/// upstream of a client who would hear them.
pub fn hear(bytes: &mut BytesMut) -> Heard {
    loop {
        let mut room = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut answer = Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut room);
        match (parsed, answer.version, answer.code) {
            (Ok(Status::Partial), ..) if bytes.len() < LONGEST => return Heard::Part,
            (Ok(Status::Complete(length)), Some(1), Some(101)) => {
                let places = Places::of(bytes, answer.headers);
                return Heard::Switch(Lines::new(bytes.split_to(length).freeze(), places));
            }
            (Ok(Status::Complete(length)), Some(1), Some(100 | 102..=199)) => bytes.advance(length),
            (Ok(Status::Partial | Status::Complete(_)) | Err(_), ..) => return Heard::Other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-Name: caf\u{e9}\r\nx-name: 2\r\n\r\n";

    fn heard(text: &str) -> (Heard, BytesMut) {
        let mut bytes = BytesMut::from(text);
        (hear(&mut bytes), bytes)
    }

    const ASKED: [Line; 4] = [
        (b"Host", b"a"),
        (b"Sec-WebSocket-EXTENSIONS", b"one"),
        (b"X-NAME", b"caf\xe9"),
        (b"sec-websocket-extensions", b"two"),
    ];

    #[test]
    fn a_request_goes_out_as_it_came_and_offers_nothing_once_told_so() {
        let mut handshake = Handshake::of("/ws?id=%20", ASKED.into_iter());
        let told = b"GET /ws?id=%20 HTTP/1.1\r\nHost: a\r\nX-NAME: caf\xe9\r\n";
        let offer = b"Sec-WebSocket-EXTENSIONS: one\r\nsec-websocket-extensions: two\r\n";
        assert_eq!(handshake.bytes(), [&told[..], offer, b"\r\n"].concat());
        assert_eq!(handshake.weight(), told.len() + offer.len());
        handshake.offer_none();
        assert_eq!((handshake.bytes(), handshake.weight()), ([&told[..], b"\r\n"].concat(), told.len()));
    }

    #[test]
    fn what_asks_for_the_upgrade_is_spelt_as_the_other_end_spells_it() {
        let lines = Lines::copied([(b"UPGRADE".as_slice(), b"h2c".as_slice()), (b"a", b"b")].into_iter());
        let asking: Vec<Line> = upgrading(&lines).collect();
        assert_eq!(asking, [(b"connection".as_slice(), b"Upgrade".as_slice()), (b"UPGRADE", b"websocket")]);
    }

    #[test]
    fn a_101_is_heard_once_it_is_whole_and_what_follows_is_left() {
        for length in 0..SWITCH.len() {
            let mut bytes = BytesMut::from(&SWITCH.as_bytes()[..length]);
            assert!(matches!(hear(&mut bytes), Heard::Part), "{length}");
            assert_eq!(bytes.len(), length);
        }
        let (Heard::Switch(lines), rest) = heard(&format!("{SWITCH}\u{1}HTTP")) else { panic!("no 101") };
        assert_eq!(&rest[..], b"\x01HTTP");
        let lines: Vec<Line> = lines.lines().collect();
        let expected: [Line; 3] = [(b"Upgrade", b"websocket"), (b"X-Name", "caf\u{e9}".as_bytes()), (b"x-name", b"2")];
        assert_eq!(lines, expected);
    }

    #[test]
    fn interim_answers_before_a_101_are_passed_over() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let (Heard::Switch(lines), rest) = heard(&format!("{interim}{SWITCH}")) else { panic!("no 101") };
        assert_eq!((lines.lines().count(), rest.len()), (3, 0));
    }

    #[test]
    fn whatever_is_no_101_of_http_1_1_is_left_to_be_read_as_an_answer() {
        let many = format!("HTTP/1.1 101 A\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        let long = format!("HTTP/1.1 101 A\r\na: {}", "b".repeat(LONGEST));
        for text in [
            "HTTP/1.1 403 No\r\n\r\n",
            "HTTP/1.0 101 A\r\n\r\n",
            "HTTP/1.1 101 A\r\n folded\r\n\r\n",
            "hello\r\n",
            &many,
            &long,
        ] {
            let (heard, rest) = heard(text);
            assert!(matches!(heard, Heard::Other), "{heard:?}");
            assert_eq!(rest, text.as_bytes());
        }
    }
}
