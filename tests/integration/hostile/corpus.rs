//! Requests that two servers could read in two ways: after the published corpora of request smuggling and RFC 9112's own
//! warnings, case by case.

/// A request line, Host, and what is between there and the end of the head.
macro_rules! request {
    ($first:literal, $lines:literal, $body:literal) => {
        concat!($first, " HTTP/1.1\r\nHost: example.org\r\n", $lines, "\r\n", $body).as_bytes()
    };
}

/// Name, bytes, statuses of the answers, and the backend's requests, each with its body in brackets and the trailers
/// behind a bar.
pub(super) type Case = (&'static str, &'static [u8], &'static [u16], &'static [&'static str]);

/// The backend does not hear of it.
const NOTHING: &[&str] = &[];
/// 400, and the connection ends.
const REFUSED: &[u16] = &[400];

/// readygate hangs up without a word: there is no HTTP/1.1 to answer in.
const SILENCE: &[u16] = &[];

pub(super) const LENGTHS: [Case; 17] = [
    ("a right length", request!("POST /a", "Content-Length: 3\r\n", "abc"), &[200], &["POST /a [abc]"]),
    (
        "the same length twice",
        request!("POST /a", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        &[200],
        &["POST /a [abc]"],
    ),
    ("two lengths", request!("POST /a", "Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), REFUSED, NOTHING),
    ("two lengths in one line", request!("POST /a", "Content-Length: 3, 4\r\n", "abcd"), REFUSED, NOTHING),
    ("one length twice in one line", request!("POST /a", "Content-Length: 3, 3\r\n", "abc"), REFUSED, NOTHING),
    ("a plus", request!("POST /a", "Content-Length: +3\r\n", "abc"), REFUSED, NOTHING),
    ("a minus", request!("POST /a", "Content-Length: -3\r\n", "abc"), REFUSED, NOTHING),
    ("a hexadecimal length", request!("POST /a", "Content-Length: 0x3\r\n", "abc"), REFUSED, NOTHING),
    ("a fraction", request!("POST /a", "Content-Length: 3.0\r\n", "abc"), REFUSED, NOTHING),
    ("a space inside", request!("POST /a", "Content-Length: 1 3\r\n", "abc"), REFUSED, NOTHING),
    ("spaces around", request!("POST /a", "Content-Length: \t 3 \t\r\n", "abc"), &[200], &["POST /a [abc]"]),
    ("an empty length", request!("POST /a", "Content-Length:\r\n", ""), REFUSED, NOTHING),
    ("a word", request!("POST /a", "Content-Length: three\r\n", "abc"), REFUSED, NOTHING),
    ("2^64", request!("POST /a", "Content-Length: 18446744073709551616\r\n", "abc"), REFUSED, NOTHING),
    ("2^64 - 1", request!("POST /a", "Content-Length: 18446744073709551615\r\n", "abc"), &[431], NOTHING),
    ("a space before the colon", request!("POST /a", "Content-Length : 3\r\n", "abc"), REFUSED, NOTHING),
    (
        "a body that a GET hides",
        request!("GET /a", "Content-Length: 23\r\n", "GET /hidden HTTP/1.1\r\n\r"),
        &[200],
        &["GET /a [GET /hidden HTTP/1.1\\r\\n\\r]"],
    ),
];

pub(super) const ENCODINGS: [Case; 22] = [
    (
        "chunked",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        &[200],
        &["POST /a [abc]"],
    ),
    // RFC 9112 §6.3: Transfer-Encoding counts, Content-Length is not passed on, and the connection ends.
    (
        "CL.TE",
        request!(
            "POST /a",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
        ),
        &[200],
        &["POST /a"],
    ),
    (
        "TE.CL",
        request!(
            "POST /a",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "5\r\nGET /\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
        ),
        &[200],
        &["POST /a [GET /]"],
    ),
    (
        "TE.CL with a wrong length",
        request!(
            "POST /a",
            "Transfer-Encoding: chunked\r\nContent-Length: +4\r\n",
            "0\r\n\r\nGET /hidden HTTP/1.1\r\n"
        ),
        &[200],
        &["POST /a"],
    ),
    (
        "TE.TE",
        request!("POST /a", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "TE.TE the other way round",
        request!("POST /a", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    ("chunked twice", request!("POST /a", "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    (
        "chunked before another coding",
        request!("POST /a", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "a coding before chunked",
        request!("POST /a", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    ("xchunked", request!("POST /a", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("chunked in quotes", request!("POST /a", "Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    (
        "chunked with a parameter",
        request!("POST /a", "Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "chunked behind a vertical tab",
        request!("POST /a", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    ("chunked before a NUL", request!("POST /a", "Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("a space before the colon", request!("POST /a", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("a tab before the colon", request!("POST /a", "Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("a space before the name", request!("POST /a", " Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("a fold before chunked", request!("POST /a", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("an empty coding", request!("POST /a", "Transfer-Encoding:\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    ("cow, which nobody knows", request!("POST /a", "Transfer-Encoding: cow\r\n", "0\r\n\r\n"), REFUSED, NOTHING),
    (
        "chunked in HTTP/1.0",
        b"POST /a HTTP/1.0\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        REFUSED,
        NOTHING,
    ),
    (
        "another case",
        request!("POST /a", "tRANSFER-eNCODING: CHUNKED\r\n", "1\r\na\r\n0\r\n\r\n"),
        &[200],
        &["POST /a [a]"],
    ),
];

/// The head is good; what is wrong with the body ends the connection, and the backend's request is never completed.
pub(super) const CHUNKS: [Case; 11] = [
    (
        "an extension",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "3;name=\"v;\"\r\nabc\r\n0;last\r\n\r\n"),
        &[200],
        &["POST /a [abc]"],
    ),
    (
        "an extension with a bare LF",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "a bare LF behind a size",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "a bare LF behind a chunk",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "3\r\nabc\n0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "a size with a prefix",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "a size below nothing",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "-3\r\nabc\r\n0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    ("no size", request!("POST /a", "Transfer-Encoding: chunked\r\n", "\r\nabc\r\n0\r\n\r\n"), REFUSED, NOTHING),
    (
        "a size of 2^64",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "10000000000000000\r\nabc"),
        REFUSED,
        NOTHING,
    ),
    (
        "a chunk longer than its size",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "2\r\nabc\r\n0\r\n\r\n"),
        REFUSED,
        NOTHING,
    ),
    (
        "leading zeros",
        request!("POST /a", "Transfer-Encoding: chunked\r\n", "00003\r\nabc\r\n000\r\n\r\n"),
        &[200],
        &["POST /a [abc]"],
    ),
    (
        "trailers that nobody announced",
        request!(
            "POST /a",
            "Transfer-Encoding: chunked\r\n",
            "1\r\na\r\n0\r\nContent-Length: 50\r\nHost: evil\r\n\r\n"
        ),
        &[200],
        &["POST /a [a]"],
    ),
];

pub(super) const LINES: [Case; 19] = [
    ("leading empty lines", b"\r\n\r\nGET /a HTTP/1.1\r\nHost: example.org\r\n\r\n", &[200], &["GET /a"]),
    // RFC 9112 §2.2 allows a recipient to take a bare LF; the backend gets CRLF.
    ("bare LFs", b"GET /a HTTP/1.1\nHost: example.org\nX-A: 1\n\n", &[200], &["GET /a"]),
    (
        "a header behind a bare LF",
        b"POST /a HTTP/1.1\r\nHost: example.org\r\nX-A: 1\nContent-Length: 1\r\n\r\na",
        &[200],
        &["POST /a [a]"],
    ),
    ("a bare CR in a value", request!("GET /a", "X-A: 1\rX-B: 2\r\n", ""), REFUSED, NOTHING),
    ("a bare CR for a line's end", b"GET /a HTTP/1.1\rHost: example.org\r\r", REFUSED, NOTHING),
    ("a fold", request!("GET /a", "X-A: 1\r\n 2\r\n", ""), REFUSED, NOTHING),
    ("a fold in the first header", b"GET /a HTTP/1.1\r\n X: 1\r\nHost: example.org\r\n\r\n", REFUSED, NOTHING),
    ("a NUL in a value", request!("GET /a", "X-A: a\0b\r\n", ""), REFUSED, NOTHING),
    ("a NUL in a name", request!("GET /a", "X\0A: 1\r\n", ""), REFUSED, NOTHING),
    ("a DEL in a value", request!("GET /a", "X-A: a\x7fb\r\n", ""), REFUSED, NOTHING),
    ("a name with a space", request!("GET /a", "X A: 1\r\n", ""), REFUSED, NOTHING),
    ("a line without a colon", request!("GET /a", "X-A\r\n", ""), REFUSED, NOTHING),
    ("an empty name", request!("GET /a", ": 1\r\n", ""), REFUSED, NOTHING),
    ("8 bits in a name", b"GET /a HTTP/1.1\r\nHost: example.org\r\nX-\xe9: 1\r\n\r\n", REFUSED, NOTHING),
    ("8 bits in a value", b"GET /a HTTP/1.1\r\nHost: example.org\r\nX-A: \xe9\r\n\r\n", &[200], &["GET /a"]),
    ("a NUL in the target", request!("GET /a\0b", "", ""), REFUSED, NOTHING),
    ("a space in the target", request!("GET /a b", "", ""), REFUSED, NOTHING),
    ("two spaces before the target", request!("GET  /a", "", ""), REFUSED, NOTHING),
    ("a method with a NUL", request!("GE\0T /a", "", ""), REFUSED, NOTHING),
];

pub(super) const TARGETS: [Case; 22] = [
    ("the absolute form", request!("GET http://example.org/a?b", "", ""), &[200], &["GET /a?b"]),
    ("the absolute form of another host", request!("GET http://evil.example/a", "", ""), REFUSED, NOTHING),
    (
        "the absolute form with somebody's name",
        request!("GET http://example.org@evil.example/a", "", ""),
        REFUSED,
        NOTHING,
    ),
    ("another scheme", request!("GET ftp://example.org/a", "", ""), REFUSED, NOTHING),
    ("an authority", request!("CONNECT example.org:443", "", ""), REFUSED, NOTHING),
    ("a star", request!("GET *", "", ""), REFUSED, NOTHING),
    ("no slash", request!("GET a", "", ""), REFUSED, NOTHING),
    ("an authority without CONNECT", request!("GET example.org", "", ""), REFUSED, NOTHING),
    ("a fragment", request!("GET /a#b", "", ""), &[200], &["GET /a"]),
    ("two Hosts", request!("GET /a", "Host: evil.example\r\n", ""), REFUSED, NOTHING),
    ("the same Host twice", request!("GET /a", "Host: example.org\r\n", ""), REFUSED, NOTHING),
    ("no Host", b"GET /a HTTP/1.1\r\n\r\n", REFUSED, NOTHING),
    ("two hosts in one line", b"GET /a HTTP/1.1\r\nHost: example.org, evil.example\r\n\r\n", REFUSED, NOTHING),
    ("two hosts close together", b"GET /a HTTP/1.1\r\nHost: example.org,evil.example\r\n\r\n", REFUSED, NOTHING),
    ("a Host with a space", b"GET /a HTTP/1.1\r\nHost: example.org evil\r\n\r\n", REFUSED, NOTHING),
    ("a Host with a path", b"GET /a HTTP/1.1\r\nHost: example.org/evil\r\n\r\n", REFUSED, NOTHING),
    ("a Host with a name", b"GET /a HTTP/1.1\r\nHost: example.org@evil.example\r\n\r\n", REFUSED, NOTHING),
    ("a Host with a port that is none", b"GET /a HTTP/1.1\r\nHost: example.org:evil\r\n\r\n", REFUSED, NOTHING),
    ("a Host with a port", b"GET /a HTTP/1.1\r\nHost: example.org:81\r\n\r\n", &[200], &["GET /a"]),
    ("an IPv6 Host", b"GET /a HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", &[200], &["GET /a"]),
    (
        "Connection naming what is end to end",
        request!("GET /a", "Connection: close, Host, X-Forwarded-For\r\n", ""),
        &[200],
        &["GET /a"],
    ),
    (
        "a path that a server could shorten",
        request!("GET //evil.example/..;/%2e%2e/a", "", ""),
        &[200],
        &["GET //evil.example/..;/%2e%2e/a"],
    ),
];

pub(super) const PROTOCOLS: [Case; 12] = [
    ("HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", SILENCE, NOTHING),
    (
        "an upgrade to h2c",
        request!("GET /a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", ""),
        &[200],
        &["GET /a"],
    ),
    (
        "an upgrade to h2c that Connection does not name",
        request!("GET /a", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", ""),
        &[200],
        &["GET /a"],
    ),
    (
        "an upgrade to TLS",
        request!("OPTIONS *", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", ""),
        &[200],
        &["OPTIONS *"],
    ),
    (
        "a WebSocket of version 12",
        request!(
            "GET /a",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
        ),
        &[426],
        NOTHING,
    ),
    (
        "a WebSocket with a body",
        request!(
            "GET /a",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 31\r\n",
            "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
        ),
        REFUSED,
        NOTHING,
    ),
    (
        "a WebSocket without a key",
        request!(
            "GET /a",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
        ),
        REFUSED,
        NOTHING,
    ),
    ("HTTP/0.9", b"GET /a\r\n\r\n", REFUSED, NOTHING),
    ("HTTP/1.2", b"GET /a HTTP/1.2\r\nHost: example.org\r\n\r\n", REFUSED, NOTHING),
    ("HTTP/3.0", b"GET /a HTTP/3.0\r\nHost: example.org\r\n\r\n", REFUSED, NOTHING),
    ("TLS on a port without it", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", REFUSED, NOTHING),
    (
        "two requests at once",
        request!("GET /a", "", "GET /b HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        &[200, 200],
        &["GET /a", "GET /b"],
    ),
];
