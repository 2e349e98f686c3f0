//! The backend's side of a session: one dial, one handshake, verified before a byte passes.
//!
//! `handshake` is what is sent and what comes back, `retold` hands an answer that is no 101 to hyper, `retry` says whether a
//! failed dial may be tried again, `spelling` keeps the names of headers as they came.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod handshake;
mod retold;
pub mod retry;
pub mod spelling;

use std::{future::Future, io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::{handshake::Heard, retold::Retold};
use crate::{
    dial::{DialError, Dialer, Hangup, Stream},
    fields::{self, Fields, Lines},
    stall,
};

/// Room for the answer of a server that has little to say. FastAPI's has some 200 bytes.
const USUAL_ANSWER: usize = 512;

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
    /// The fields of the 101.
    pub lines: Lines,
}

impl<S> Joined<S> {
    /// The items of the 101's Sec-WebSocket-Extensions.
    pub fn extensions(&self) -> impl Iterator<Item = &str> {
        self.lines.items("sec-websocket-extensions").filter_map(fields::text)
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

/// When a handshake is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// Along with the dial: soonest and cheapest for one client.
    Along,
    /// Once the connection stands. Of a released crowd the first are then served before the last are asked for.
    Behind,
}

/// Whoever can open a connection to the backend: the network, or a simulation of it.
pub trait Upstream: Send + Sync + 'static {
    /// The connection, joined.
    type Stream: AsyncRead + AsyncWrite + Hangup + Unpin + Send;

    /// Dials once and sends the bytes of a handshake, `going` with the dial or behind it, whose answer must carry `accept` (RFC 6455 §4.2.2).
    fn dial(
        &self,
        handshake: Vec<u8>,
        accept: &str,
        going: Going,
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

    async fn dial(&self, handshake: Vec<u8>, accept: &str, going: Going) -> Result<Answer<Stream>, Fault> {
        let words = match going {
            Going::Along => handshake.as_slice(),
            Going::Behind => &[],
        };
        let (stream, sent) = self.dialer.connect_saying(words).await.map_err(Fault::Dial)?;
        let answer = stall::timeout(self.handshake_timeout, shake_hands(stream, &handshake[sent..], accept)).await;
        answer.unwrap_or(Err(Fault::Silent(self.handshake_timeout)))
    }
}

/// Sends what is left of the handshake and hears the answer.
async fn shake_hands<S>(mut stream: S, rest: &[u8], accept: &str) -> Result<Answer<S>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    stream.write_all(rest).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut bytes = BytesMut::with_capacity(USUAL_ANSWER);
    loop {
        let count = stream.read_buf(&mut bytes).await.map_err(lost)?;
        match handshake::hear(&mut bytes) {
            Heard::Part if count > 0 => {}
            Heard::Switch(lines) => {
                check_101(&lines, accept).map_err(Fault::Handshake)?;
                return Ok(Answer::Joined(Joined { stream, early: bytes.freeze(), lines }));
            }
            Heard::Part | Heard::Other => return decline(stream, bytes.freeze()).await,
        }
    }
}

/// What is no 101 is read, and judged, by a library: it has a body, or breaks the rules, or ended too soon.
async fn decline<S>(stream: S, heard: Bytes) -> Result<Answer<S>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(Retold::new(stream, heard))).await.map_err(unusable)?;
    tokio::spawn(connection);
    let response = sender.send_request(Request::new(Empty::<Bytes>::new())).await.map_err(unusable)?;
    if response.status().is_informational() {
        return Err(Fault::Handshake(format!("{} in {:?}", response.status().as_u16(), response.version())));
    }
    Ok(Answer::Declined(Box::new(response.map(BodyExt::boxed))))
}

fn lost(error: io::Error) -> Fault {
    Fault::Handshake(format!("connection error: {error}"))
}

fn unusable(error: hyper::Error) -> Fault {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Fault::Handshake(format!("{error}{source}"))
}

/// RFC 6455 §4.1: what a 101 must carry. Anything less never opens a tunnel.
fn check_101(fields: &impl Fields, accept: &str) -> Result<(), String> {
    if !fields.has_item("upgrade", "websocket") {
        return Err("101 without Upgrade: websocket".to_owned());
    }
    if !fields.has_item("connection", "upgrade") {
        return Err("101 without Connection: Upgrade".to_owned());
    }
    let mut answers = fields.values("sec-websocket-accept");
    match (answers.next(), answers.next()) {
        (Some(answer), None) if answer == accept.as_bytes() => Ok(()),
        (Some(_), None) => Err("101 with a wrong Sec-WebSocket-Accept".to_owned()),
        (Some(_), Some(_)) => Err("101 with more than one Sec-WebSocket-Accept".to_owned()),
        (None, _) => Err("101 without Sec-WebSocket-Accept".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn headers(lines: &[(&'static str, &'static str)]) -> Lines {
        Lines::copied(lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
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
