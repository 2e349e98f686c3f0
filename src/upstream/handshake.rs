//! The opening handshake as it crosses the wire to the upstream and back: a request's bytes, made once, and the 101 that
//! answers them (RFC 6455 §4). PURE.

use bytes::{Buf, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header, response};
use httparse::{EMPTY_HEADER, Header, Status};

use super::spelling::{self, Speller, Spelling};

/// A head longer than this is no answer to a handshake. Servers and clients set the bound for heads at 8 to 64 KiB.
const LONGEST: usize = 64 << 10;

/// Most headers of a request, and of its answer: hyper's own default, named because a limit of size alone would let 10,000
/// short ones by.
pub const MOST_HEADERS: usize = 100;

/// Room to write a head in: of a request some 300 bytes, and cookies.
const USUAL_HEAD: usize = 512;

/// A header's name and value.
pub type Line<'l> = (&'l HeaderName, &'l HeaderValue);

/// A client's request, in memory of its own size: what hyper parsed is slices of a read buffer, 8 KiB that a single header
/// keeps alive, and ten thousand waiting clients would keep ten thousand of them.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// All but the offer and the empty line at the end.
    head: Box<[u8]>,
    /// The lines that offer extensions.
    offer: Box<[u8]>,
}

impl Handshake {
    /// A handshake for `target` with these `lines` and those that ask for the upgrade, their names spelt as `spelling` has
    /// them.
    #[must_use]
    pub fn of<'l>(target: &str, lines: impl Iterator<Item = Line<'l>>, spelling: &Spelling) -> Self {
        let (mut head, mut offer) = (Vec::with_capacity(USUAL_HEAD), Vec::new());
        for piece in ["GET ", target, " HTTP/1.1\r\n"] {
            head.extend_from_slice(piece.as_bytes());
        }
        let mut speller = spelling.speller();
        for (name, value) in lines {
            let to = if name == header::SEC_WEBSOCKET_EXTENSIONS { &mut offer } else { &mut head };
            write_line(to, speller.spell(name), value.as_bytes());
        }
        write_asking(&mut head, &mut speller);
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

/// The head of a 101 with these `lines` and those that name the upgrade, their names spelt as `spelling` has them.
#[must_use]
pub fn switching<'l>(lines: impl Iterator<Item = Line<'l>>, spelling: &Spelling) -> Vec<u8> {
    let mut head = Vec::with_capacity(USUAL_HEAD);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    let mut speller = spelling.speller();
    lines.for_each(|(name, value)| write_line(&mut head, speller.spell(name), value.as_bytes()));
    write_asking(&mut head, &mut speller);
    head.extend_from_slice(b"\r\n");
    head
}

fn write_asking(head: &mut Vec<u8>, speller: &mut Speller) {
    write_line(head, speller.spell(&header::CONNECTION), b"Upgrade");
    write_line(head, speller.spell(&header::UPGRADE), b"websocket");
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
    /// A 101 of HTTP/1.1, taken out of the bytes, with its [`Spelling`].
    Switch(Box<response::Parts>),
    /// Anything else.
    Other,
}

/// Looks at the bytes that came from the upstream, and takes interim answers out of them (RFC 9110 §15.2): nobody told the
/// upstream of a client who would hear them.
pub fn hear(bytes: &mut BytesMut) -> Heard {
    hear_most::<MOST_HEADERS>(bytes)
}

/// The same of a head that [`switching`] wrote: the upstream's may have one line more by then, that says how things stand.
pub fn hear_own(bytes: &mut BytesMut) -> Heard {
    hear_most::<{ MOST_HEADERS + 1 }>(bytes)
}

fn hear_most<const MOST: usize>(bytes: &mut BytesMut) -> Heard {
    loop {
        let mut lines = [EMPTY_HEADER; MOST];
        let mut answer = httparse::Response::new(&mut lines);
        let parsed = answer.parse(bytes);
        match (parsed, answer.version, answer.code) {
            (Ok(Status::Partial), ..) if bytes.len() < LONGEST => return Heard::Part,
            (Ok(Status::Complete(length)), Some(1), Some(101)) => {
                let Some(mut head) = parts(answer.headers) else { return Heard::Other };
                let names = spelling::places(bytes, answer.headers);
                head.extensions.insert(Spelling::at(bytes.split_to(length).freeze(), names));
                return Heard::Switch(Box::new(head));
            }
            (Ok(Status::Complete(length)), Some(1), Some(100 | 102..=199)) => bytes.advance(length),
            (Ok(Status::Partial | Status::Complete(_)) | Err(_), ..) => return Heard::Other,
        }
    }
}

fn parts(lines: &[Header]) -> Option<response::Parts> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    head.headers.reserve(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        head.headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(head)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use http::Request;

    use super::*;

    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-Name: caf\u{e9}\r\nx-name: 2\r\n\r\n";

    fn heard(text: &str) -> (Heard, BytesMut) {
        let mut bytes = BytesMut::from(text);
        (hear(&mut bytes), bytes)
    }

    fn handshake(spelling: &Spelling) -> Handshake {
        let request = Request::get("/").header("Host", "a").header("Sec-WebSocket-Extensions", "one");
        let request = request.header("x-name", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let request = request.header("sec-websocket-extensions", "two").body(()).unwrap();
        Handshake::of("/ws?id=%20", request.headers().iter(), spelling)
    }

    #[test]
    fn a_request_goes_out_as_it_came_and_offers_nothing_once_told_so() {
        let mut handshake = handshake(&Spelling::default());
        let told =
            b"GET /ws?id=%20 HTTP/1.1\r\nhost: a\r\nx-name: caf\xe9\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
        let offer = b"sec-websocket-extensions: one\r\nsec-websocket-extensions: two\r\n";
        assert_eq!(handshake.bytes(), [&told[..], offer, b"\r\n"].concat());
        assert_eq!(handshake.weight(), told.len() + offer.len());
        handshake.offer_none();
        assert_eq!((handshake.bytes(), handshake.weight()), ([&told[..], b"\r\n"].concat(), told.len()));
    }

    #[test]
    fn names_go_out_as_they_are_spelt() {
        let spelling = Spelling::of("Host: a\r\nX-NAME: 1\r\nSec-WebSocket-EXTENSIONS: one\r\n".into());
        let sent = String::from_utf8_lossy(&handshake(&spelling).bytes()).into_owned();
        for line in ["\r\nHost: a\r\n", "\r\nX-NAME: caf", "\r\nSec-WebSocket-EXTENSIONS: two\r\n"] {
            assert!(sent.contains(line), "{sent}");
        }
    }

    #[test]
    fn a_101_is_heard_once_it_is_whole_and_what_follows_is_left() {
        for length in 0..SWITCH.len() {
            let mut bytes = BytesMut::from(&SWITCH.as_bytes()[..length]);
            assert!(matches!(hear(&mut bytes), Heard::Part), "{length}");
            assert_eq!(bytes.len(), length);
        }
        let (Heard::Switch(head), rest) = heard(&format!("{SWITCH}\u{1}HTTP")) else { panic!("no 101") };
        assert_eq!((head.status, &rest[..]), (StatusCode::SWITCHING_PROTOCOLS, &b"\x01HTTP"[..]));
        assert_eq!(head.extensions.get::<Spelling>().unwrap().speller().spell(&header::UPGRADE), b"Upgrade");
        let names: Vec<_> = head.headers.get_all("x-name").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(
            (names, &head.headers["upgrade"]),
            (vec!["caf\u{e9}".as_bytes(), b"2"], &HeaderValue::from_static("websocket"))
        );
    }

    #[test]
    fn interim_answers_before_a_101_are_passed_over() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let (Heard::Switch(head), rest) = heard(&format!("{interim}{SWITCH}")) else { panic!("no 101") };
        assert_eq!((head.headers.len(), rest.len()), (3, 0));
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
