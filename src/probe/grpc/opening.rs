//! What a server says first.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a frame's header (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;

/// Where a frame's header holds its type (RFC 9113 §4.1).
const TYPE_AT: usize = 3;

/// The type of the frame that a server must send first (RFC 9113 §3.4).
const SETTINGS: u8 = 4;

const SILENT: usize = 0;
const HTTP_2: usize = TYPE_AT + 1;
const OTHER: usize = TYPE_AT + 2;

/// What the server behind a [`Watched`] stream has said so far: the number of bytes, until they tell what they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening(Arc<AtomicUsize>);

/// A stream whose first bytes are looked at on their way.
pub(super) struct Watched<S> {
    stream: S,
    opening: Opening,
    /// A write has failed, and with what.
    broken: Option<io::ErrorKind>,
}

impl Opening {
    pub(super) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SILENT
    }

    pub(super) fn is_http_2(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HTTP_2
    }

    /// The first frame's type decides, in whatever pieces it comes.
    fn see(&self, bytes: &[u8]) {
        let seen = self.0.load(Ordering::Relaxed);
        let Some(ahead) = TYPE_AT.checked_sub(seen) else { return };
        let seen = match bytes.get(ahead) {
            Some(&SETTINGS) => HTTP_2,
            Some(_) => OTHER,
            None => seen + bytes.len(),
        };
        self.0.store(seen, Ordering::Relaxed);
    }
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Opening) {
        let opening = Opening::default();
        (Self { stream, opening: opening.clone(), broken: None }, opening)
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// After a write that failed nobody reads any more, and yet the server may have spoken before it hung up. A peer
    /// that is gone keeps no read waiting.
    fn hear_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut last_words = [0; FRAME_HEADER];
        let mut buf = ReadBuf::new(&mut last_words);
        // Bytes, the end, or an error: only the first says anything, and all of them end the wait.
        let _ = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
        self.opening.see(buf.filled());
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.opening.see(&buf.filled()[before..]);
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken.is_none() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, buf)) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) => self.broken = Some(error.kind()),
            }
        }
        ready!(self.hear_out(cx));
        Poll::Ready(Err(self.broken.unwrap_or(io::ErrorKind::BrokenPipe).into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
