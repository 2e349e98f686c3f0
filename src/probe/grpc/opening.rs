//! What a server says first.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::dial::Stream;

/// Bytes of a frame's header (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;

/// Where a frame's header holds its type (RFC 9113 §4.1).
const TYPE_AT: usize = 3;

/// The type of the frame that a server must send first (RFC 9113 §3.4).
const SETTINGS: u8 = 4;

const SILENT: u8 = 0;
const HTTP_2: u8 = 1;
const OTHER: u8 = 2;

/// What the server behind a [`Watched`] stream has said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening(Arc<AtomicU8>);

/// A stream whose first bytes are looked at on their way.
pub(super) struct Watched {
    stream: Stream,
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

    /// The first read decides: a frame's header of nine bytes comes in one piece.
    fn see(&self, bytes: &[u8]) {
        if !bytes.is_empty() && self.is_silent() {
            let is_settings = bytes.get(TYPE_AT) == Some(&SETTINGS);
            self.0.store(if is_settings { HTTP_2 } else { OTHER }, Ordering::Relaxed);
        }
    }
}

impl Watched {
    pub(super) fn new(stream: Stream) -> (Self, Opening) {
        let opening = Opening::default();
        (Self { stream, opening: opening.clone(), broken: None }, opening)
    }

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

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.opening.see(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Watched {
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
