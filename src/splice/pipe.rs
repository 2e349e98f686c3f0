//! One direction of a splice.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::boundary::Boundary;

/// Bytes read at a time. One buffer per worker thread serves every session, for a read and the write that follows it
/// happen in one poll; a session owns memory only while its reader is slower than its writer.
pub(super) const SCRATCH: usize = 64 << 10;

/// A pending buffer larger than this is given back once it is empty, and that of the first bytes anyway.
const KEEP_PENDING: usize = 4 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// What a pipe has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Nothing more comes from the source.
    SourceEnded,
    /// All that was pending at the start, be it nothing, is written.
    Drained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Reads and writes.
    Flowing,
    /// The source has ended; the owner decides what follows.
    Waiting,
    /// Writes what is pending, then ends the sink's stream.
    Ending,
    /// The sink takes no more; the source is read to its end so that it can end in order.
    Discarding,
    /// Nothing left to do.
    Stopped,
}

/// Moves bytes one way and follows their frame boundaries.
#[derive(Debug)]
pub(super) struct Pipe {
    stage: Stage,
    pending: Vec<u8>,
    written: usize,
    /// Until the sink has taken them. Boxed, for they are soon gone, or never were.
    first: Option<Box<First>>,
    /// Whole data frames of the first bytes, once the sink has taken them all.
    first_frames: u64,
    /// It has been said that there are none left.
    said: bool,
    unflushed: bool,
    /// The sink has failed.
    failed: bool,
    moved: u64,
    /// Follows what was read; at the sink it is true once nothing is pending.
    queued: Boundary,
}

/// Bytes of the stream that were pending at the start.
#[derive(Debug)]
struct First {
    /// So many of them are not written.
    left: usize,
    /// Follows what the sink has taken of them.
    taken: Boundary,
}

impl Pipe {
    /// A pipe that writes `first` before it reads.
    pub(super) fn new(first: Vec<u8>) -> Self {
        let mut queued = Boundary::default();
        queued.advance(&first);
        Self {
            stage: Stage::Flowing,
            first: First::of(&first),
            first_frames: 0,
            said: false,
            pending: first,
            written: 0,
            unflushed: false,
            failed: false,
            moved: 0,
            queued,
        }
    }

    /// A pipe that writes `own` and then `first` before it reads. `own` is what is left of frames of readygate's own, which
    /// are no part of the stream.
    pub(super) fn behind(own: Vec<u8>, first: &[u8]) -> Self {
        let mut queued = Boundary::default();
        queued.advance(first);
        let mut pipe = Self { queued, first: None, ..Self::new(own) };
        pipe.pending.extend(first);
        pipe
    }

    /// Frames read so far.
    pub(super) fn queued(&self) -> &Boundary {
        &self.queued
    }

    /// Whole data frames of the first bytes that the sink has taken.
    pub(super) fn first_delivered(&self) -> u64 {
        self.first.as_ref().map_or(self.first_frames, |first| first.taken.data_frames())
    }

    /// Whole data frames of the first bytes that the sink has not taken.
    pub(super) fn first_left(&self) -> u64 {
        let Some(First { left, taken }) = self.first.as_deref() else { return 0 };
        let mut rest = taken.clone();
        rest.advance(&self.pending[self.written..self.written + left]);
        rest.data_frames() - taken.data_frames()
    }

    /// Bytes that wait for the sink.
    #[cfg(test)]
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len() - self.written
    }

    /// Bytes of memory that are its own.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.pending.capacity()
    }

    /// Bytes the sink has taken.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Nothing left to do.
    pub(super) fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    /// Nothing left to do, or nothing but to read what its sink takes no more of.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self.stage, Stage::Stopped | Stage::Discarding)
    }

    /// The sink has taken all that was read.
    pub(super) fn is_delivered(&self) -> bool {
        !self.failed && self.written == self.pending.len()
    }

    /// Ends the sink's stream after what is pending and `last`, and says whether it does: a pipe that is ending, or whose
    /// sink has failed, stays as it is.
    pub(super) fn end(&mut self, last: &[u8]) -> bool {
        match self.stage {
            Stage::Flowing | Stage::Waiting => {
                self.pending.extend(last);
                self.stage = Stage::Ending;
                true
            }
            Stage::Ending | Stage::Discarding | Stage::Stopped => false,
        }
    }

    fn discard(&mut self) {
        (self.stage, self.failed) = (Stage::Discarding, true);
    }

    /// Goes on until there is something to say or nothing to do.
    pub(super) fn poll<R, W>(&mut self, mut from: Pin<&mut R>, mut to: Pin<&mut W>, cx: &mut Context<'_>) -> Poll<Moved>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        loop {
            match self.stage {
                Stage::Flowing => {
                    if ready!(self.poll_drain(to.as_mut(), cx)).is_err() {
                        self.discard();
                        continue;
                    }
                    if !std::mem::replace(&mut self.said, true) {
                        return Poll::Ready(Moved::Drained);
                    }
                    if let Some(moved) = ready!(self.poll_move(from.as_mut(), to.as_mut(), cx)) {
                        return Poll::Ready(moved);
                    }
                }
                Stage::Ending => {
                    self.failed |= ready!(self.poll_drain(to.as_mut(), cx)).is_err();
                    let _ = ready!(to.as_mut().poll_shutdown(cx));
                    self.stage = Stage::Stopped;
                }
                Stage::Discarding => {
                    if ready!(poll_read(from.as_mut(), cx, |piece| self.queued.advance(piece))).is_none() {
                        self.stage = Stage::Stopped;
                        return Poll::Ready(Moved::SourceEnded);
                    }
                }
                Stage::Waiting | Stage::Stopped => return Poll::Pending,
            }
        }
    }

    /// Writes what is pending.
    fn poll_drain<W: AsyncWrite>(&mut self, mut to: Pin<&mut W>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            match ready!(to.as_mut().poll_write(cx, &self.pending[self.written..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.note_written(count),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.written = 0;
        self.pending.clear();
        if self.pending.capacity() > KEEP_PENDING || !self.said {
            self.pending = Vec::new();
        }
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn note_written(&mut self, count: usize) {
        if let Some(first) = &mut self.first {
            first.take(&self.pending[self.written..self.written + count]);
            if first.left == 0 {
                self.first_frames = first.taken.data_frames();
                self.first = None;
            }
        }
        self.written += count;
        self.moved += count as u64;
        self.unflushed = true;
    }

    /// One read and the writes that follow it; what the sink does not take becomes pending.
    fn poll_move<R, W>(&mut self, from: Pin<&mut R>, mut to: Pin<&mut W>, cx: &mut Context<'_>) -> Poll<Option<Moved>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        let write = |piece: &[u8], cx: &mut Context<'_>| {
            self.queued.advance(piece);
            let mut sent = 0;
            while sent < piece.len() {
                match to.as_mut().poll_write(cx, &piece[sent..]) {
                    Poll::Ready(Ok(count)) if count > 0 => sent += count,
                    Poll::Ready(_) => {
                        self.discard();
                        return;
                    }
                    Poll::Pending => break,
                }
            }
            self.moved += sent as u64;
            self.unflushed |= sent > 0;
            self.pending.extend(&piece[sent..]);
        };
        if ready!(poll_read_then(from, cx, write)).is_some() {
            return Poll::Ready(None);
        }
        if self.stage == Stage::Flowing {
            self.stage = Stage::Waiting;
        }
        Poll::Ready(Some(Moved::SourceEnded))
    }
}

impl First {
    fn of(bytes: &[u8]) -> Option<Box<Self>> {
        (!bytes.is_empty()).then(|| Box::new(Self { left: bytes.len(), taken: Boundary::default() }))
    }

    /// The sink has taken `written`, which may go on beyond them.
    fn take(&mut self, written: &[u8]) {
        let count = written.len().min(self.left);
        self.taken.advance(&written[..count]);
        self.left -= count;
    }
}

/// Reads once into the worker's buffer and shows `take` what came; none at the end of the stream, orderly or not.
fn poll_read_then<R: AsyncRead>(
    from: Pin<&mut R>,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8], &mut Context<'_>),
) -> Poll<Option<()>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        match ready!(from.poll_read(cx, &mut read)) {
            Ok(()) if !read.filled().is_empty() => {
                take(read.filled(), cx);
                Poll::Ready(Some(()))
            }
            Ok(()) | Err(_) => Poll::Ready(None),
        }
    })
}

fn poll_read<R: AsyncRead>(from: Pin<&mut R>, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<Option<()>> {
    poll_read_then(from, cx, |piece, _| take(piece))
}
