//! The other end of a connection: once it has heard enough, it says what a target was given, in pieces, and then goes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::dial::Hangup;

/// A stream to be read from and written to.
#[derive(Debug)]
pub(crate) struct Peer {
    says: Vec<u8>,
    taken: usize,
    /// Most bytes that one read gives.
    piece: usize,
    heard: Vec<u8>,
    /// Whoever reads before that.
    reader: Option<Waker>,
    /// Whether that is enough to speak.
    is_due: fn(&[u8]) -> bool,
    reply: fn(&[u8], &mut [u8]),
}

impl Peer {
    pub(crate) fn new(says: &[u8], piece: usize) -> Self {
        let (says, piece) = (says.to_vec(), piece.max(1));
        Self {
            says,
            taken: 0,
            piece,
            heard: Vec::new(),
            reader: None,
            is_due: |heard| !heard.is_empty(),
            reply: |_, _| (),
        }
    }

    /// Lets it speak where `is_due` of what it has heard; otherwise the first word is enough.
    pub(crate) fn once(self, is_due: fn(&[u8]) -> bool) -> Self {
        Self { is_due, ..self }
    }

    /// Lets `reply` change what is still to be said, in the light of what was written.
    pub(crate) fn replying(self, reply: fn(&[u8], &mut [u8])) -> Self {
        Self { reply, ..self }
    }

    /// Everything that was written.
    pub(crate) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// How many bytes were read.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// What was not read.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.says[self.taken..]
    }
}

impl Hangup for Peer {}

impl AsyncRead for Peer {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !(self.is_due)(&self.heard) {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = self.rest().len().min(self.piece).min(buf.remaining());
        buf.put_slice(&self.rest()[..length]);
        self.taken += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { says, taken, reply, .. } = &mut *self;
        reply(buf, &mut says[*taken..]);
        self.heard.extend(buf);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
