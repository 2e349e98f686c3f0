//! A handshake request at rest. What hyper parsed is slices of its read buffer, 8 KiB that a single header keeps alive;
//! ten thousand waiting clients would keep ten thousand of them.

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, request};

/// Moves `request` into memory of its own size. The original case of header names, an extension of hyper's that cannot
/// be moved, is given up: the names go out in lower case, which means the same (RFC 9110 §5.1).
pub(super) fn compact(request: &mut request::Parts) {
    request.extensions.clear();
    move_values(&mut request.headers);
    if let Ok(uri) = request.uri.to_string().parse() {
        request.uri = uri;
    }
}

/// All into one allocation.
fn move_values(headers: &mut HeaderMap) {
    let mut memory = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    for value in headers.values_mut() {
        memory.extend_from_slice(value.as_bytes());
        if let Ok(mut moved) = HeaderValue::from_maybe_shared(memory.split().freeze()) {
            moved.set_sensitive(value.is_sensitive());
            *value = moved;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Uri};

    use super::*;

    #[test]
    fn a_compact_request_says_the_same_and_keeps_nothing_else_alive() {
        let read = Bytes::from(b"/ws?id=%20 example.org caf\xe9 a=1".to_vec());
        let value = |range| HeaderValue::from_maybe_shared(read.slice(range)).unwrap();
        let mut cookie = value(28..31);
        cookie.set_sensitive(true);
        let request = Request::get(Uri::from_maybe_shared(read.slice(..10)).unwrap());
        let request = request.header("host", value(11..22)).header("x-name", value(23..27)).header("cookie", cookie);
        let (mut compacted, ()) = request.extension(read.slice(1..2)).body(()).unwrap().into_parts();
        let (uri, headers) = (compacted.uri.to_string(), format!("{:?}", compacted.headers));
        compact(&mut compacted);
        assert_eq!((compacted.uri.to_string(), format!("{:?}", compacted.headers)), (uri, headers));
        assert!(read.is_unique(), "the buffer is still referred to");
    }
}
