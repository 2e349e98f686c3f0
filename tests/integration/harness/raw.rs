//! One end of a connection, byte by byte: a client of readygate, or the upstream's side of one of its dials.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    frame::Frame,
    head::{Head, Response, head},
    within,
};

/// A Sec-WebSocket-Key, and the only right answer to it (RFC 6455 §1.3).
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const PIECE: usize = 64 << 10;

/// A connection and what was read of it beyond what was asked for.
pub(crate) struct Raw<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    is_client: bool,
}

impl Raw {
    /// A client.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("connecting", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::client(stream)
    }

    /// The upstream's side.
    pub(crate) fn server(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), is_client: false }
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Takes in little at a time, so that what it does not read stands with the sender.
    pub(crate) fn read_through(&self, bytes: usize) {
        socket2::SockRef::from(&self.stream).set_recv_buffer_size(bytes).unwrap();
    }

    /// Sends while it reads so many bytes, for answers that would stand in the way of the rest.
    pub(crate) async fn exchange(&mut self, bytes: &[u8], count: usize) -> Vec<u8> {
        assert!(self.buffer.is_empty(), "unread: {:?}", self.seen());
        let (mut from, mut to) = self.stream.split();
        let mut answer = vec![0; count];
        let both = async { tokio::try_join!(to.write_all(bytes), from.read_exact(&mut answer)) };
        within("sending and reading", both).await.unwrap();
        answer
    }

    /// Bytes that could be sent before the socket took no more.
    pub(crate) fn send_until_full(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.try_write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("sending: {error}"),
            }
        }
        sent
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// A client on a stream of its own.
    pub(crate) fn client(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), is_client: true }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("sending", self.stream.write_all(bytes.as_ref())).await.unwrap();
        within("flushing", self.stream.flush()).await.unwrap();
    }

    /// Sends to a connection that may have ended.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("sending", self.stream.write_all(bytes.as_ref())).await
    }

    /// Sends a frame as this side must.
    pub(crate) async fn send_frame(&mut self, frame: &Frame) {
        let bytes = if self.is_client { frame.masked() } else { frame.plain() };
        self.send(bytes).await;
    }

    /// Sends no more.
    pub(crate) async fn finish(&mut self) {
        within("shutting down", self.stream.shutdown()).await.unwrap();
    }

    /// Sends no more on a connection that may have ended.
    pub(crate) async fn hang_up(&mut self) {
        // What has ended needs no end.
        let _ = within("shutting down", self.stream.shutdown()).await;
    }

    /// A client's handshake request.
    pub(crate) async fn ask(&mut self, path: &str, lines: &[(&str, &str)]) {
        self.send(handshake(path, lines)).await;
    }

    /// A client's handshake and its answer, which must be a right 101.
    pub(crate) async fn upgrade(&mut self, path: &str, lines: &[(&str, &str)]) -> Head {
        self.ask(path, lines).await;
        self.upgraded().await
    }

    /// A right 101.
    pub(crate) async fn upgraded(&mut self) -> Head {
        let head = self.head().await;
        assert_eq!((head.status(), head.get("sec-websocket-accept")), (101, Some(ACCEPT)), "{head:?}");
        head
    }

    /// The upstream's answer to a handshake: a right 101 with `lines`.
    pub(crate) async fn accept(&mut self, lines: &[(&str, &str)]) -> Head {
        let request = self.head().await;
        assert_eq!(request.get("sec-websocket-key"), Some(KEY), "{request:?}");
        self.send(switching(ACCEPT, lines)).await;
        request
    }

    pub(crate) async fn head(&mut self) -> Head {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Head::parse(str::from_utf8(&head).unwrap());
            }
            self.more("a head").await;
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            self.more(&format!("{count} bytes")).await;
        }
        self.buffer.drain(..count).collect()
    }

    /// A line without its end.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            self.more("a line").await;
        }
    }

    /// One chunk of a chunked body; empty at its end, whose trailers stay unread.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let line = self.line().await;
        let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
        let mut chunk = self.exactly(if size == 0 { 0 } else { size + 2 }).await;
        chunk.truncate(size);
        chunk
    }

    /// A whole answer to anything but HEAD.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await;
        let body = match (head.get("content-length"), head.get("transfer-encoding")) {
            (Some(length), None) => self.exactly(length.parse().unwrap()).await,
            (None, Some("chunked")) => self.chunks().await,
            (None, None) if matches!(head.status(), 204 | 304) => Vec::new(),
            (None, None) => self.rest().await,
            _ => panic!("a body of unknown length: {head:?}"),
        };
        Response { head, body }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                assert_eq!(self.line().await, "");
                return body;
            }
            body.extend(chunk);
        }
    }

    /// One frame, masked as the other side must.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some((frame, is_masked, wire)) = Frame::parse(&self.buffer) {
                assert_eq!(is_masked, !self.is_client, "a mask on the wrong side: {frame:?}");
                self.buffer.drain(..wire);
                return frame;
            }
            self.more("a frame").await;
        }
    }

    /// The next frame, unmasked or not; none if the stream ends before it is whole, and what came of it is left for
    /// [`Raw::rest`].
    pub(crate) async fn frame_or_end(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, _, wire)) = Frame::parse(&self.buffer) {
                self.buffer.drain(..wire);
                return Some(frame);
            }
            if !self.fill().await.is_ok_and(|count| count > 0) {
                return None;
            }
        }
    }

    /// Code and reason of a Close, and nothing after it.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let closing = self.frame().await.closing();
        self.ended().await;
        closing
    }

    /// What is left until the end of the stream, orderly or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await.is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.buffer)
    }

    /// Nothing has come so far. Meaningful after an event that follows whatever must not come.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let read = std::pin::pin!(self.stream.read(&mut byte));
        self.buffer.is_empty() && futures_util::poll!(read).is_pending()
    }

    /// The stream has ended and nothing came.
    pub(crate) async fn ended(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "before the end came {:?}", String::from_utf8_lossy(&rest));
    }

    async fn more(&mut self, what: &str) {
        let got = within(what, self.fill()).await;
        assert!(got.is_ok_and(|count| count > 0), "the stream ended within {what}: {:?}", self.seen());
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let length = self.buffer.len();
        self.buffer.resize(length + PIECE, 0);
        let read = within("reading", self.stream.read(&mut self.buffer[length..])).await;
        self.buffer.truncate(length + read.as_ref().map_or(0, |count| *count));
        read
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// A right handshake request.
pub(crate) fn handshake(path: &str, lines: &[(&str, &str)]) -> String {
    let usual = [
        ("Host", "example.org"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    head(&format!("GET {path} HTTP/1.1"), &[&usual, lines].concat())
}

/// A 101 with this Sec-WebSocket-Accept.
pub(crate) fn switching(accept: &str, lines: &[(&str, &str)]) -> String {
    let usual = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)];
    head("HTTP/1.1 101 Switching Protocols", &[&usual, lines].concat())
}
