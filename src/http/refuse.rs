//! Answers of readygate's own to requests that it does not pass on. PURE.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};

use crate::{
    session::outcome::{Farewell, RETRY_AFTER},
    upstream::Body,
};

/// A status, public words, and headers that go with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The answer's status.
    pub(super) status: StatusCode,
    /// What is wrong, in public words.
    pub(super) reason: &'static str,
    /// Headers beside the usual ones.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal; a 503 also says when to come back.
    #[must_use]
    pub(super) fn new(status: StatusCode, reason: &'static str) -> Self {
        let headers = match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                vec![(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()))]
            }
            _ => vec![],
        };
        Self { status, reason, headers }
    }

    /// There is no room for one more to wait.
    #[must_use]
    pub(super) fn too_many() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many waiting")
    }

    /// The same with one more header.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer: a short JSON object, and the connection ends, for whatever body the request has stays unread.
    #[must_use]
    pub(super) fn into_response(self) -> Response<Body> {
        let text = serde_json::json!({ "error": self.reason, "status": self.status.as_u16() }).to_string();
        let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.extend(self.headers);
        response
    }
}

impl From<Farewell> for Refusal {
    fn from(farewell: Farewell) -> Self {
        Self::new(farewell.status, farewell.reason)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_503_says_when_to_come_back_and_nothing_else_does() {
        let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "hold full").into_response();
        let gateway = Refusal::new(StatusCode::BAD_GATEWAY, "upstream unreachable").into_response();
        assert_eq!(busy.headers()[header::RETRY_AFTER], "5");
        assert!(!gateway.headers().contains_key(header::RETRY_AFTER));
    }
}
