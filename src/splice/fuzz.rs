//! What slow, stubborn and broken ends must not do to one direction of a splice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pipe::{Moved, Pipe};
use crate::wire::{close, fuzz::passed};

/// In a sink's script: it fails.
const FAILS: u8 = 255;

/// What each poll gives or takes: so many bytes, none of them for the time being, and all once the script is over.
struct Script<'s>(&'s [u8]);

struct Source<'s> {
    script: Script<'s>,
    says: &'s [u8],
}

struct Sink<'s> {
    script: Script<'s>,
    taken: Vec<u8>,
    has_failed: bool,
    has_ended: bool,
}

/// What the sink takes is what was held and what was read, in order and whole unless it fails; every frame that was held is
/// delivered or left; and a Close of ours stands between two frames.
pub(crate) fn pipe(data: &[u8]) {
    let Some((&[own, first, reads, writes], mut rest)) = data.split_first_chunk() else { return };
    let mut share = |length: u8| rest.split_off(..usize::from(length).min(rest.len())).unwrap();
    let (own, first, reads, writes) = (share(own), share(first), share(reads), share(writes));
    let mut source = Source { script: Script(reads), says: rest };
    let mut sink = Sink { script: Script(writes), taken: Vec::new(), has_failed: false, has_ended: false };
    let mut pipe = if own.is_empty() { Pipe::new(first.to_vec()) } else { Pipe::behind(own.to_vec(), first) };
    let mut all = [own, first, rest].concat();
    let of_peers = [first, rest].concat();
    // A poll that does not end the pipe takes a byte of a script, or says one of the two things there are to say.
    for _ in 0..reads.len() + writes.len() + 4 {
        let polled = pipe.poll(Pin::new(&mut source), Pin::new(&mut sink), &mut Context::from_waker(Waker::noop()));
        let read = &of_peers[..of_peers.len() - source.says.len()];
        if polled == Poll::Ready(Moved::SourceEnded) {
            assert_eq!(read.len(), of_peers.len());
            all.extend(end(&mut pipe));
        }
        check(&pipe, &sink.taken, own, first);
        assert_eq!(pipe.queued().is_between_frames(), passed(read).is_between_frames);
        assert!(all.starts_with(&sink.taken));
    }
    assert!(pipe.is_stopped());
    assert_eq!(sink.taken == all && sink.has_ended, !sink.has_failed);
}

/// As the splice does it to a client whose upstream is lost; what the sink will take of it.
fn end(pipe: &mut Pipe) -> Vec<u8> {
    let may_close = pipe.queued().is_between_frames() && !pipe.queued().has_closed();
    let last = if may_close { close::frame(close::RESTART, "lost") } else { Vec::new() };
    if pipe.end(&last) { last } else { Vec::new() }
}

fn check(pipe: &Pipe, taken: &[u8], own: &[u8], first: &[u8]) {
    assert_eq!(pipe.moved(), taken.len() as u64);
    if own.is_empty() {
        let delivered = passed(&taken[..taken.len().min(first.len())]).data_frames;
        assert_eq!(pipe.first_delivered(), delivered);
        assert_eq!(delivered + pipe.first_left(), passed(first).data_frames);
    }
}

impl Script<'_> {
    fn next(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(FAILS - 1)
    }
}

impl AsyncRead for Source<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = self.script.next();
        if most == 0 {
            return Poll::Pending;
        }
        let length = usize::from(most).min(self.says.len());
        buf.put_slice(self.says.split_off(..length).unwrap());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sink<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.script.next() {
            0 => Poll::Pending,
            FAILS => {
                self.has_failed = true;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            most => {
                assert!(!self.has_failed && !self.has_ended, "written to after its end");
                let length = usize::from(most).min(buf.len());
                self.taken.extend(&buf[..length]);
                Poll::Ready(Ok(length))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_ended = true;
        Poll::Ready(Ok(()))
    }
}
