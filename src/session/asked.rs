//! What a client asked for: its handshake request, until the upstream has it.
//!
//! What hyper parsed is slices of its read buffer, 8 KiB that a single header keeps alive, under an index made for looking
//! things up. Ten thousand waiting clients would keep ten thousand of them, so a request that waits for long is put to rest.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, request};

use crate::hold::head;

/// Between the lines of a request at rest. Neither a target nor a header can hold one (RFC 9110 §5.5).
const LINE_END: u8 = b'\n';

/// Between a header's name and its value.
const COLON: u8 = b':';

/// A handshake request, which is a GET of HTTP/1.1 without a body.
#[derive(Debug)]
pub(super) enum Asked {
    /// As it was read.
    AsRead(Box<request::Parts>),
    /// Text of its own size: a line for the target and one for each header.
    AtRest(Bytes),
}

impl Asked {
    /// Moves it into memory of its own size. The original case of header names, an extension of hyper's that cannot be
    /// moved, is given up: the names go out in lower case, which means the same (RFC 9110 §5.1).
    pub(super) fn rest(&mut self) {
        let text = match self {
            Self::AsRead(request) => text(request),
            Self::AtRest(_) => return,
        };
        *self = Self::AtRest(text);
    }

    /// Bytes of its head.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::AsRead(request) => head::weight(request),
            Self::AtRest(text) => text.len(),
        }
    }

    /// It is not asked again.
    pub(super) fn forget(&mut self) {
        *self = Self::AtRest(Bytes::new());
    }

    /// The request, to be sent.
    pub(super) fn request(&self) -> request::Parts {
        match self {
            Self::AsRead(request) => (**request).clone(),
            Self::AtRest(text) => request_of(text),
        }
    }
}

fn text(request: &request::Parts) -> Bytes {
    let uri = request.uri.to_string();
    let lines = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 2);
    let mut text = Vec::with_capacity(uri.len() + lines.sum::<usize>());
    text.extend(uri.as_bytes());
    for (name, value) in &request.headers {
        text.push(LINE_END);
        text.extend(name.as_str().as_bytes());
        text.push(COLON);
        text.extend(value.as_bytes());
    }
    text.into()
}

/// All of it shares the memory of `text`.
fn request_of(text: &Bytes) -> request::Parts {
    let mut lines = text.split(|byte| *byte == LINE_END);
    let uri = lines.next().map(|line| Uri::from_maybe_shared(text.slice_ref(line)));
    let mut headers = HeaderMap::with_capacity(lines.clone().count());
    headers.extend(lines.filter_map(|line| header(text, line)));
    let (mut request, ()) = Request::new(()).into_parts();
    // It was one before it was text.
    request.uri = uri.and_then(Result::ok).unwrap_or_default();
    request.headers = headers;
    request
}

fn header(text: &Bytes, line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == COLON)?;
    let value = HeaderValue::from_maybe_shared(text.slice_ref(&line[colon + 1..]));
    Some((HeaderName::from_bytes(&line[..colon]).ok()?, value.ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn said(request: &request::Parts) -> String {
        format!("{} {} {:?} {:?}", request.method, request.uri, request.version, request.headers)
    }

    #[test]
    fn a_request_at_rest_says_the_same_and_keeps_nothing_else_alive() {
        let read = Bytes::from(b"/ws?id=%20 example.org caf\xe9\t:,\" ".to_vec());
        let value = |range| HeaderValue::from_maybe_shared(read.slice(range)).unwrap();
        let request = Request::get(Uri::from_maybe_shared(read.slice(..10)).unwrap())
            .header("host", value(11..22))
            .header("x-name", value(23..31))
            .header("cookie", value(11..22))
            .header("x-name", value(0..0))
            .header("cookie", value(25..31));
        let request = request.extension(read.slice(1..2)).body(()).unwrap().into_parts().0;
        let before = said(&request);
        let mut asked = Asked::AsRead(Box::new(request));
        assert_eq!(said(&asked.request()), before);
        asked.rest();
        asked.rest();
        assert!(matches!(asked, Asked::AtRest(_)));
        assert_eq!(said(&asked.request()), before);
        assert!(read.is_unique(), "the buffer is still referred to");
    }

    #[test]
    fn a_request_at_rest_is_asked_as_often_as_need_be() {
        let request = Request::get("/").header("a", "1").body(()).unwrap().into_parts().0;
        let mut asked = Asked::AsRead(Box::new(request));
        asked.rest();
        assert_eq!(said(&asked.request()), said(&asked.request()));
        asked.forget();
        assert!(asked.request().headers.is_empty());
    }
}
