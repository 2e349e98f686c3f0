//! What hyper leaves out of a connection: a deadline for each request head that is answered (408, where hyper would only
//! hang up), how its names were spelt, and an eye on a client whose handshake waits for its answer.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::{stall, upstream::spelling::Spelling};

const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The connection was just taken: the first head is due.
const FIRST: u8 = 0;
/// Between two requests: an idle client is hung up on without a word.
const IDLE: u8 = 1;
/// A later head has begun.
const BEGUN: u8 = 2;
/// A request is being answered; its body and its answer have no deadline here.
const BUSY: u8 = 3;

/// Where a connection stands, told by whoever answers its requests.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<Standing>);

#[derive(Debug)]
struct Standing {
    phase: AtomicU8,
    /// Whoever reads, to be told that a deadline has begun: the read was asked for while there was none.
    reader: Mutex<Option<Waker>>,
}

/// Bytes read from a client that sends before its handshake is answered. RFC 6455 §4.1 forbids it to; one that sends
/// more than this is no longer watched.
const MOST_AHEAD: usize = 4 << 10;

/// A stream whose reads fail once a request head is overdue.
#[derive(Debug)]
pub(super) struct Timed<S> {
    line: Line<S>,
    phase: Phase,
    time: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    answered: usize,
    /// Somebody will ask how names were spelt.
    remembers: bool,
}

/// The stream, shared by hyper and whoever watches for its end. Both run in the connection's task, so the lock is free.
#[derive(Debug)]
pub(super) struct Line<S>(Arc<Mutex<Shared<S>>>);

#[derive(Debug)]
struct Shared<S> {
    /// None once it was handed over.
    stream: Option<S>,
    /// Read while watching, and not yet by hyper.
    ahead: Vec<u8>,
    /// The present head, as it came.
    head: BytesMut,
}

impl Phase {
    /// The head is read, the request is being answered.
    pub(super) fn begin(&self) {
        self.set(BUSY);
    }

    /// The answer is written, the next head may come.
    pub(super) fn end(&self) {
        self.set(IDLE);
        if let Some(reader) = self.reader().take() {
            reader.wake();
        }
    }

    fn get(&self) -> u8 {
        self.0.phase.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.0.phase.store(phase, Ordering::Relaxed);
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Timed<S> {
    /// Gives each request head of `stream` so much `time`.
    pub(super) fn new(stream: S, time: Duration) -> (Self, Phase) {
        let phase = Phase(Arc::new(Standing { phase: AtomicU8::new(FIRST), reader: Mutex::default() }));
        let line =
            Line(Arc::new(Mutex::new(Shared { stream: Some(stream), ahead: Vec::new(), head: BytesMut::new() })));
        (Self { line, phase: phase.clone(), time, timer: None, answered: 0, remembers: false }, phase)
    }

    /// The stream, to be watched.
    pub(super) fn line(&self) -> Line<S> {
        self.line.clone()
    }

    /// Has `bytes`, which were read, read again.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.line.lock().ahead.splice(..0, bytes.iter().copied());
    }

    /// Keeps each head from here on, for whoever asks how its names were spelt.
    pub(super) fn remember(&mut self) {
        self.remembers = true;
    }

    /// The stream itself, and what was read of it while it was watched. None if it was handed over before.
    pub(super) fn hand_over(&mut self) -> Option<(S, Vec<u8>)> {
        let mut shared = self.line.lock();
        let stream = shared.stream.take()?;
        Some((stream, std::mem::take(&mut shared.ahead)))
    }
}

impl<S> Line<S> {
    fn lock(&self) -> MutexGuard<'_, Shared<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the names of the present head were spelt, to be taken once it has been read.
    pub(super) fn spelling(&self) -> Spelling {
        Spelling::of(std::mem::take(&mut self.lock().head).freeze())
    }

    /// Nobody will ask how the names of the present head were spelt. The next one would be put behind it.
    pub(super) fn forget(&self) {
        self.lock().head = BytesMut::new();
    }

    /// Does `act` on the stream.
    fn with<T>(&self, act: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        match &mut self.lock().stream {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> Line<S> {
    /// Returns once the client's stream has ended. hyper looks too, but not once the client has sent a byte ahead.
    pub(super) async fn ended(&self) {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await;
    }

    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.lock();
        let Shared { stream: Some(stream), ahead, .. } = &mut *shared else { return Poll::Pending };
        let mut piece = [0; 512];
        while ahead.len() < MOST_AHEAD {
            let mut read = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => ahead.extend(read.filled()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// What was read ahead comes first.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if shared.ahead.is_empty() {
            drop(shared);
            return self.with(|stream| stream.poll_read(cx, buf));
        }
        let count = shared.ahead.len().min(buf.remaining());
        buf.put_slice(&shared.ahead[..count]);
        shared.ahead.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S> Clone for Line<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    /// Ready once the head is overdue and the client has been told.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.time)));
        if self.answered == 0 {
            ready!(stall::poll_expired(timer.as_mut(), cx));
        }
        while self.phase.get() != IDLE && self.answered < TOO_LATE.len() {
            match self.line.with(|stream| stream.poll_write(cx, &TOO_LATE[self.answered..])) {
                Poll::Ready(Ok(count)) if count > 0 => self.answered += count,
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Once it is being told, it is no longer heard, whoever asks.
        if self.answered > 0 {
            return self.poll_overdue(cx).map(Ok);
        }
        let before = buf.filled().len();
        let read = self.line.poll_read(cx, buf);
        if self.phase.get() == BUSY {
            self.timer = None;
            *self.phase.reader() = Some(cx.waker().clone());
            return read;
        }
        if read.is_pending() {
            return self.poll_overdue(cx).map(Ok);
        }
        if self.remembers {
            self.line.lock().head.extend_from_slice(&buf.filled()[before..]);
        }
        if buf.filled().len() > before && self.phase.get() == IDLE {
            self.phase.set(BEGUN);
            let deadline = Instant::now() + self.time;
            if let Some(timer) = &mut self.timer {
                timer.as_mut().reset(deadline);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.line.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.with(|stream| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.line.lock().stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}
