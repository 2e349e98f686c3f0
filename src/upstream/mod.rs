//! The backend's side of a session: one dial, one handshake, verified before a byte passes.
//!
//! `retry` says whether a failed dial may be tried again.

pub mod retry;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header, request, response};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    dial::{DialError, Dialer, Stream},
    stall,
};

/// A body on its way to a client.
pub type Body = BoxBody<Bytes, hyper::Error>;

/// What the backend said to a handshake.
pub enum Answer<S> {
    /// 101, verified: the two ends may be joined.
    Joined(Joined<S>),
    /// Any other answer, to be relayed.
    Declined(Box<Response<Body>>),
}

/// An open WebSocket connection to the backend, as raw bytes.
pub struct Joined<S> {
    /// What the backend sends and takes.
    pub stream: S,
    /// Bytes that came with the 101.
    pub early: Bytes,
    /// The 101 itself.
    pub head: Box<response::Parts>,
}

impl<S> Joined<S> {
    /// The 101 itself, for the client; a bare answer takes its place.
    pub fn take_head(&mut self) -> Box<response::Parts> {
        let (bare, ()) = Response::new(()).into_parts();
        std::mem::replace(&mut self.head, Box::new(bare))
    }

    /// The items of the 101's Sec-WebSocket-Extensions.
    pub fn extensions(&self) -> impl Iterator<Item = &str> {
        tokens(&self.head.headers, header::SEC_WEBSOCKET_EXTENSIONS)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection; nothing was sent.
    Dial(DialError),
    /// Connected, but the answer did not come in time.
    Silent(Duration),
    /// Connected, but the answer cannot be used.
    Handshake(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dial(error) => f.write_str(&error.reason),
            Self::Silent(time) => write!(f, "no answer to the handshake within {time:?}"),
            Self::Handshake(what) => f.write_str(what),
        }
    }
}

/// Whoever can open a connection to the backend: the network, or a simulation of it.
pub trait Upstream: Send + Sync + 'static {
    /// The connection, joined.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    /// Dials once and sends the handshake `request`, whose answer must carry `accept` (RFC 6455 §4.2.2).
    fn dial(
        &self,
        request: request::Parts,
        accept: &str,
    ) -> impl Future<Output = Result<Answer<Self::Stream>, Fault>> + Send;
}

/// The configured backend.
#[derive(Clone, Debug)]
pub struct Backend {
    dialer: Dialer,
    handshake_timeout: Duration,
}

impl Backend {
    /// A backend behind `dialer` that has `handshake_timeout` for its answer.
    #[must_use]
    pub fn new(dialer: Dialer, handshake_timeout: Duration) -> Self {
        Self { dialer, handshake_timeout }
    }
}

impl Upstream for Backend {
    type Stream = Stream;

    async fn dial(&self, request: request::Parts, accept: &str) -> Result<Answer<Stream>, Fault> {
        let stream = self.dialer.connect().await.map_err(Fault::Dial)?;
        let answer = stall::timeout(self.handshake_timeout, shake_hands(stream, request, accept)).await;
        answer.unwrap_or(Err(Fault::Silent(self.handshake_timeout)))
    }
}

async fn shake_hands(stream: Stream, request: request::Parts, accept: &str) -> Result<Answer<Stream>, Fault> {
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(unusable)?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::from_parts(request, Empty::<Bytes>::new());
    let response = sender.send_request(request).await.map_err(unusable)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Answer::Declined(Box::new(response.map(BodyExt::boxed))));
    }
    check_101(response.headers(), accept).map_err(Fault::Handshake)?;
    join(response).await
}

async fn join(mut response: Response<Incoming>) -> Result<Answer<Stream>, Fault> {
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(unusable)?;
    let (head, _) = response.into_parts();
    let (stream, early) = into_raw(upgraded)?;
    Ok(Answer::Joined(Joined { stream, early, head: Box::new(head) }))
}

fn into_raw(upgraded: Upgraded) -> Result<(Stream, Bytes), Fault> {
    match upgraded.downcast::<TokioIo<Stream>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(_) => Err(Fault::Handshake("the upgraded connection has another type than was given".to_owned())),
    }
}

fn unusable(error: hyper::Error) -> Fault {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Fault::Handshake(format!("{error}{source}"))
}

/// RFC 6455 §4.1: what a 101 must carry. Anything less never opens a tunnel.
fn check_101(headers: &HeaderMap, accept: &str) -> Result<(), String> {
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err("101 without Upgrade: websocket".to_owned());
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err("101 without Connection: Upgrade".to_owned());
    }
    let mut answers = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    match (answers.next(), answers.next()) {
        (Some(answer), None) if answer.as_bytes() == accept.as_bytes() => Ok(()),
        (Some(_), None) => Err("101 with a wrong Sec-WebSocket-Accept".to_owned()),
        (Some(_), Some(_)) => Err("101 with more than one Sec-WebSocket-Accept".to_owned()),
        (None, _) => Err("101 without Sec-WebSocket-Accept".to_owned()),
    }
}

/// Whether the list-valued header `name` holds `token`, in any of its lines and in any case (RFC 9110 §5.6.1).
#[must_use]
pub fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// The items of a list-valued header, trimmed, over all of its lines.
pub fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    const UPGRADE: (&str, &str) = ("upgrade", "WebSocket");
    const CONNECTION: (&str, &str) = ("connection", "keep-alive, Upgrade");

    #[test]
    fn a_verified_101_opens_the_tunnel() {
        assert_eq!(check_101(&headers(&[UPGRADE, CONNECTION, ("sec-websocket-accept", ACCEPT)]), ACCEPT), Ok(()));
    }

    #[test]
    fn a_101_that_lacks_any_part_never_does() {
        let accept = ("sec-websocket-accept", ACCEPT);
        for lines in [
            &[CONNECTION, accept][..],
            &[UPGRADE, accept],
            &[UPGRADE, CONNECTION],
            &[UPGRADE, CONNECTION, ("sec-websocket-accept", "dGhlIHNhbXBsZSBub25jZQ==")],
            &[UPGRADE, CONNECTION, accept, accept],
        ] {
            assert!(check_101(&headers(lines), ACCEPT).is_err(), "{lines:?}");
        }
    }
}
