//! A WebSocket handshake succeeds and a ping comes back.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Request, header, uri::PathAndQuery};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        handshake::client::generate_key,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    Checking, Probe, ProbeError,
    http::{closed, garbage, path, refusal, request_headers},
};
use crate::{
    config::HttpCheck,
    dial::Dialer,
    gate::{Class, Failure},
};

/// What the pong must bring back.
const PING: &[u8] = b"readygate";

/// Read buffer of one check; the library's own default is 128 KiB.
const READ_BUFFER: usize = 4 * 1024;

/// Largest message a backend may greet us with before its pong.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// How long the backend may take to answer our Close; the verdict does not wait for it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Ws {
    dialer: Dialer,
    uri: ::http::Uri,
    headers: HeaderMap,
}

impl Ws {
    pub(super) fn new(asked: &HttpCheck, limit: Duration) -> Result<Self, ProbeError> {
        let mut headers = request_headers(asked)?;
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        Ok(Self { dialer: Dialer::new(&asked.target, limit)?, uri: uri(path(asked)?)?, headers })
    }

    async fn ask(&self) -> Result<(), Failure> {
        self.converse(self.dialer.connect().await?).await
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<(), Failure> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let handshake = client_async_with_config(self.request()?, stream, Some(config)).await;
        let (mut socket, _) = handshake.map_err(|error| fault(&error))?;
        let outcome = ping(&mut socket).await;
        part(socket).await;
        outcome
    }

    fn request(&self) -> Result<Request<()>, Failure> {
        let key = HeaderValue::try_from(generate_key()).map_err(|error| garbage(&error))?;
        let mut request = Request::new(());
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, key);
        Ok(request)
    }
}

impl Probe for Ws {
    fn kind(&self) -> &'static str {
        "ws"
    }

    fn check(&self) -> Checking<'_> {
        Box::pin(self.ask())
    }
}

/// The handshake asks for an absolute URI, of which only the path is sent; the Host is in the headers.
fn uri(path: PathAndQuery) -> Result<::http::Uri, ProbeError> {
    let shown = path.to_string();
    let built = ::http::Uri::builder().scheme("ws").authority("upstream").path_and_query(path).build();
    built.map_err(|_| ProbeError::Path(shown))
}

async fn ping(socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) -> Result<(), Failure> {
    socket.send(Message::Ping(PING.into())).await.map_err(|error| fault(&error))?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Pong(payload))) if payload == PING => return Ok(()),
            Some(Ok(Message::Close(frame))) => return Err(goodbye(frame.as_ref())),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(fault(&error)),
            None => return Err(closed()),
        }
    }
}

/// Sends the Close, and leaves the wait for its answer to a task of its own.
async fn part(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Send + Unpin + 'static>) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if socket.close(Some(frame)).await.is_err() {
        return;
    }
    tokio::spawn(timeout(CLOSE_PATIENCE, async move { while let Some(Ok(_)) = socket.next().await {} }));
}

fn goodbye(frame: Option<&CloseFrame>) -> Failure {
    let Some(frame) = frame else {
        return Failure { class: Class::NotReady, reason: "closed without a code".to_owned(), hint: None };
    };
    let reason = format!("closed with code {}", u16::from(frame.code));
    match u16::from(frame.code) {
        // Going away, internal error, service restart, try again later, bad gateway: states that pass.
        1000 | 1001 | 1011..=1014 => Failure { class: Class::NotReady, reason, hint: None },
        // IANA: Unauthorized, Forbidden.
        1008 | 3000 | 3003 => {
            Failure { class: Class::Auth, reason, hint: Some("put credentials into the check's headers") }
        }
        _ => Failure { class: Class::Unexpected, reason, hint: None },
    }
}

fn fault(error: &tungstenite::Error) -> Failure {
    use tungstenite::Error;
    match error {
        Error::Http(answer) if answer.status().is_success() => {
            let reason = format!("answered {} to a WebSocket handshake", answer.status());
            Failure { class: Class::Unexpected, reason, hint: Some("does this path take WebSockets?") }
        }
        Error::Http(answer) => refusal(answer.status()),
        Error::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete)
        | Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_) => closed(),
        other => garbage(other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tokio::{net::TcpListener, sync::oneshot};
    use tokio_tungstenite::accept_async;

    use super::*;
    use crate::{
        config::CheckKind,
        probe::fixture::{answer, get, hear, run_once, say},
    };

    async fn ask(port: u16) -> Result<(), Failure> {
        run_once(CheckKind::Ws(get(port, "/ws"))).await
    }

    /// Takes one client, greets it, and tells every message it sends.
    async fn server(greeting: Message) -> (u16, oneshot::Receiver<Vec<Message>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
            socket.send(greeting).await.unwrap();
            let mut seen = Vec::new();
            while let Some(Ok(message)) = socket.next().await {
                seen.push(message);
            }
            tell.send(seen).unwrap();
        });
        (port, told)
    }

    #[tokio::test]
    async fn a_pong_passes_and_the_connection_ends_with_a_close() {
        let (port, seen) = server(Message::text("welcome")).await;
        assert_eq!(ask(port).await, Ok(()));
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        assert_eq!(seen.await.unwrap(), [Message::Ping(PING.into()), Message::Close(Some(goodbye))]);
    }

    #[tokio::test]
    async fn a_close_in_place_of_the_pong_is_told_by_its_code() {
        for (code, class) in [(1013, Class::NotReady), (3000, Class::Auth), (1003, Class::Unexpected)] {
            let frame = CloseFrame { code: code.into(), reason: "".into() };
            let (port, _seen) = server(Message::Close(Some(frame))).await;
            assert_eq!(ask(port).await.unwrap_err().class, class, "{code}");
        }
    }

    #[tokio::test]
    async fn a_refused_handshake_is_told_by_its_status() {
        for (status, class) in
            [(401, Class::Auth), (503, Class::NotReady), (404, Class::Unexpected), (200, Class::Unexpected)]
        {
            let port = say(answer(status, "").leak()).await;
            assert_eq!(ask(port).await.unwrap_err().class, class, "{status}");
        }
    }

    #[tokio::test]
    async fn garbage_and_a_wrong_accept_key_are_protocol_failures() {
        let liar = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
            sec-websocket-accept: bm90IHRoZSByaWdodCBrZXk=\r\n\r\n";
        for bytes in [&b"-ERR unknown command\r\n"[..], liar] {
            assert_eq!(ask(say(bytes).await).await.unwrap_err().class, Class::Protocol);
        }
    }

    #[tokio::test]
    async fn a_connection_closed_during_the_handshake_counts_as_refused() {
        assert_eq!(ask(say(b"").await).await.unwrap_err().class, Class::Refused);
    }

    #[tokio::test]
    async fn the_handshake_goes_to_the_path_and_carries_the_headers_of_the_check() {
        let (port, request) = hear(b"HTTP/1.1 503 Busy\r\n\r\n").await;
        let mut asked = get(port, "/ws?probe=1");
        asked.headers.push((header::ORIGIN, "https://a.example".into()));
        run_once(CheckKind::Ws(asked)).await.unwrap_err();
        let request = request.await.unwrap().to_lowercase();
        assert!(request.starts_with("get /ws?probe=1 http/1.1\r\n"), "{request}");
        for line in [&format!("host: 127.0.0.1:{port}"), "origin: https://a.example", "sec-websocket-version: 13"] {
            assert!(request.contains(line), "{line:?} is missing in {request}");
        }
    }
}
