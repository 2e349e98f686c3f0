//! What hyper's server has no way to write: interim answers (1xx, RFC 9110 §15.2), which a proxy must pass on, and names of
//! headers as the upstream spelt them. Interim answers are put into the stream beside it, and only where it has nothing of
//! its own half written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::{handshake::write_line, spelling::Spelling};

/// Interim answers that wait for a client who does not read. They are hints: what goes beyond this is dropped.
const MOST_WAITING: usize = 16 << 10;

/// Interim answers on their way to one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Interim(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Of the head that is written next.
    spelling: Option<Spelling>,
    waker: Option<Waker>,
}

/// A stream that lets interim answers in between.
#[derive(Debug)]
pub(super) struct Aside<S> {
    stream: S,
    interim: Interim,
    sending: Vec<u8>,
    /// All that was written has been flushed, so the stream stands between two answers' heads.
    between: bool,
}

impl Interim {
    /// Sends an interim answer. 100 is left out: whether the client waits for it is decided on this side.
    pub(super) fn send(&self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::CONTINUE || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let head = head(status, headers);
        let mut queue = self.lock();
        if queue.bytes.len() + head.len() > MOST_WAITING {
            return;
        }
        queue.bytes.extend(head);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }

    /// Has the next head's names written as `spelling` has them.
    pub(super) fn spell(&self, spelling: Spelling) {
        self.lock().spelling = Some(spelling);
    }

    /// What is written, if it is to be spelt anew: once, for what the stream does not take of a head at once goes as it is, and
    /// means the same.
    fn respelt(&self, pieces: &[IoSlice<'_>]) -> Option<Vec<u8>> {
        let spelling = self.lock().spelling.take()?;
        let mut head = pieces.iter().flat_map(|piece| piece.iter()).copied().collect::<Vec<u8>>();
        spelling.apply(&mut head);
        Some(head)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    headers.iter().for_each(|(name, value)| write_line(&mut out, name.as_str().as_bytes(), value.as_bytes()));
    out.extend_from_slice(b"\r\n");
    out
}

impl<S> Aside<S> {
    /// Lets what is sent to the returned handle into `stream`.
    pub(super) fn new(stream: S) -> (Self, Interim) {
        let interim = Interim::default();
        (Self { stream, interim: interim.clone(), sending: Vec::new(), between: true }, interim)
    }

    /// The stream itself.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncWrite + Unpin> Aside<S> {
    /// Writes what is queued, if this is the place for it. What comes too late is dropped: the final answer has begun.
    fn poll_aside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.sending.is_empty() {
            let mut queue = self.interim.lock();
            queue.waker.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
            let bytes = std::mem::take(&mut queue.bytes);
            if self.between {
                self.sending = bytes;
            }
        }
        while !self.sending.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.sending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sending.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Aside<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // An error of the write is met again by whoever writes next; reading goes on meanwhile.
        let _ = self.poll_aside(cx);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Aside<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_aside(cx))?;
        self.between = false;
        match self.interim.respelt(&[IoSlice::new(buf)]) {
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
            Some(head) => Pin::new(&mut self.stream).poll_write(cx, &head),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_aside(cx))?;
        self.between = false;
        match self.interim.respelt(bufs) {
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
            Some(head) => Pin::new(&mut self.stream).poll_write(cx, &head),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // hyper flushes the stream only after all of its own bytes are in it.
        self.between = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    async fn passed(act: impl AsyncFnOnce(&mut Aside<tokio::io::DuplexStream>, &Interim)) -> String {
        let (mut client, server) = duplex(1 << 16);
        let (mut aside, interim) = Aside::new(server);
        act(&mut aside, &interim).await;
        drop(aside);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    fn hint(interim: &Interim) {
        let headers = HeaderMap::from_iter([(http::header::LINK, http::HeaderValue::from_static("</a.css>"))]);
        interim.send(StatusCode::EARLY_HINTS, &headers);
    }

    #[tokio::test]
    async fn an_interim_answer_goes_before_the_final_one() {
        let text = passed(async |aside, interim| {
            hint(interim);
            aside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        });
        assert_eq!(text.await, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    }

    #[tokio::test]
    async fn inside_an_answer_there_is_no_place_for_one() {
        let text = passed(async |aside, interim| {
            aside.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            hint(interim);
            aside.write_all(b"\r\n").await.unwrap();
            aside.flush().await.unwrap();
            aside.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        });
        assert_eq!(text.await, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn a_flood_of_them_is_bounded() {
        let (_aside, interim) = Aside::new(());
        (0..10_000).for_each(|_| hint(&interim));
        assert!(interim.lock().bytes.len() <= MOST_WAITING);
    }

    #[tokio::test]
    async fn an_upstreams_100_is_not_passed_on() {
        let text = passed(async |aside, interim| {
            interim.send(StatusCode::CONTINUE, &HeaderMap::new());
            aside.write_all(b"x").await.unwrap();
        });
        assert_eq!(text.await, "x");
    }
}
