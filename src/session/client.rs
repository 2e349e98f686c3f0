//! The client's side of a session that readygate has accepted and not yet joined: it fills the hold, answers pings,
//! sends its own, and takes the Close.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{event::Input, outbox::Outbox};
use crate::{
    config::{self, WhenFull},
    hold::{Hold, Released, budget::Lease},
    stall::{MOMENT, was_stopped},
    wire::{close, header::Opcode},
};

/// Bytes read at a time, into a buffer that all sessions of a worker share.
const SCRATCH: usize = 16 << 10;

/// Pongs that wait for a client who does not read. A client that lets more pile up is not read from meanwhile.
const MOST_UNSENT: usize = 4 << 10;

/// How often a session that waits for the common budget asks again. Far below any hold time, and 10,000 sessions asking
/// cost well under a percent of a CPU.
const BUDGET_RETRY: Duration = Duration::from_millis(250);

/// Pings of ours that may go unanswered.
const MOST_UNANSWERED: u32 = 2;

thread_local! {
    pub(super) static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// An accepted client.
#[derive(Debug)]
pub(super) struct Client<C> {
    stream: C,
    hold: Hold,
    lease: Lease,
    when_full: WhenFull,
    frame_timeout: Duration,
    ping_interval: Duration,
    outbox: Outbox,
    reading: Reading,
    ping_at: Instant,
    unanswered: u32,
    frame_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Bytes go into the hold.
    Holding,
    /// The client's Close or the end of its stream has been read.
    Ended,
    /// A Close of ours is on its way; bytes are dropped.
    Closing {
        /// Our end of the stream is shut.
        shut: bool,
    },
}

/// All that a join needs.
#[derive(Debug)]
pub(super) struct Handover<C> {
    /// The client's stream.
    pub(super) stream: C,
    /// What was held.
    pub(super) released: Released,
    /// Frames of ours that the client has not taken yet; the first may be half taken.
    pub(super) unsent: Vec<u8>,
    /// Its place in the budget: the bytes stay in memory until the upstream has taken them.
    pub(super) lease: Lease,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Client<C> {
    /// A client that was accepted this moment.
    pub(super) fn new(stream: C, hold: Hold, lease: Lease, limits: &config::Hold) -> Self {
        let ping_at = Instant::now() + limits.ping_interval;
        Self {
            stream,
            hold,
            lease,
            when_full: limits.when_full,
            frame_timeout: limits.frame_timeout,
            ping_interval: limits.ping_interval,
            outbox: Outbox::default(),
            reading: Reading::Holding,
            ping_at,
            unanswered: 0,
            frame_until: None,
            timer: Box::pin(sleep_until(ping_at)),
        }
    }

    /// What is held.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// What it has to take.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// It hears the upstream from here on, under extensions or not.
    pub(super) fn hear_upstream(&mut self, has_extensions: bool) {
        self.outbox.open_relay();
        self.hold.hear_upstream(has_extensions);
    }

    /// Passes bytes of the upstream on.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.outbox.pass(bytes);
    }

    /// Takes bytes that came with the handshake request.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Input> {
        let taken = self.lease.grow(bytes.len());
        if taken < bytes.len() {
            self.lease.settle(self.hold.memory());
            return Some(Input::Full);
        }
        self.keep(bytes, taken)
    }

    /// Puts a frame of ours to the client.
    pub(super) fn say(&mut self, frame: &[u8]) {
        self.outbox.say(frame);
    }

    /// Puts a Close to the client; from here on its bytes are dropped.
    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.outbox.end(&close::frame(code, reason));
        self.reading = Reading::Closing { shut: false };
    }

    /// Answers the client's Close with its own code and reason, as servers do (RFC 6455 §5.5.1).
    pub(super) fn echo(&mut self) {
        self.outbox.end(&close::control(Opcode::Close, self.hold.farewell(), None));
        self.reading = Reading::Closing { shut: false };
    }

    /// The upstream's Close has been passed on; from here on the client's bytes are dropped.
    pub(super) fn part(&mut self) {
        self.outbox.end(&[]);
        self.reading = Reading::Closing { shut: false };
    }

    /// Gives everything away.
    pub(super) fn hand_over(self) -> Handover<C> {
        Handover {
            stream: self.stream,
            released: self.hold.release(),
            unsent: self.outbox.into_unsent(),
            lease: self.lease,
        }
    }

    /// The next thing the session must know of. Progress that changes nothing is not reported, but `progress` is
    /// called with the bytes and frames held.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, progress: &impl Fn(usize, usize)) -> Poll<Input> {
        loop {
            let sent = self.poll_send(cx);
            if matches!(sent, Poll::Ready(false)) && !self.survives_unsent() {
                return Poll::Ready(Input::ClientLost);
            }
            let read = match self.reading {
                Reading::Holding => self.poll_hold(cx, progress),
                Reading::Closing { .. } => self.poll_close(cx, sent.is_ready() && !self.outbox.is_waiting()),
                Reading::Ended => Poll::Pending,
            };
            match read {
                Poll::Ready(Some(input)) => return Poll::Ready(input),
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            match ready!(self.poll_timer(cx)) {
                Some(input) => return Poll::Ready(input),
                None => continue,
            }
        }
    }

    /// Sends what is unsent; false if the client is gone.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut sent = 0;
        let result = loop {
            if sent == self.outbox.unsent().len() {
                break Pin::new(&mut self.stream).poll_flush(cx).map(|flushed| flushed.is_ok());
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.outbox.unsent()[sent..]) {
                Poll::Ready(Ok(count)) if count > 0 => sent += count,
                Poll::Ready(_) => break Poll::Ready(false),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.outbox.took(sent);
        result
    }

    /// What a client sent before it ended is delivered, even if it no longer takes our pongs.
    fn survives_unsent(&mut self) -> bool {
        self.outbox.discard();
        self.reading == Reading::Ended
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>, progress: &impl Fn(usize, usize)) -> Poll<Option<Input>> {
        if self.outbox.own() > MOST_UNSENT {
            return Poll::Pending;
        }
        let room = self.hold.room();
        let granted = self.lease.grow(room.min(SCRATCH));
        if granted == 0 {
            return self.full(cx, room > 0);
        }
        let read = BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..granted]);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(_)) => Poll::Ready(Some(Input::ClientLost)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => Poll::Ready(Some(self.end())),
                Poll::Ready(Ok(())) => {
                    let input = self.keep(read.filled(), granted);
                    progress(self.hold.bytes(), self.hold.frames());
                    Poll::Ready(input)
                }
            }
        });
        if !matches!(read, Poll::Ready(None)) {
            self.lease.settle(self.hold.memory());
        }
        read
    }

    /// Keeps `bytes` and gives back what is not used of the `granted` room.
    fn keep(&mut self, bytes: &[u8], granted: usize) -> Option<Input> {
        debug_assert!(bytes.len() <= granted, "more was read than the budget granted");
        self.unanswered = 0;
        let mut pongs = Vec::new();
        let taken = self.hold.take(bytes, &mut pongs);
        self.outbox.say(&pongs);
        self.lease.settle(self.hold.memory());
        self.watch_frame();
        let closed = match taken {
            Err(violation) => return Some(Input::Violated(violation)),
            Ok(closed) => closed?,
        };
        self.reading = Reading::Ended;
        (self.hold.frames() == 0).then_some(Input::ClientClosed(closed))
    }

    fn end(&mut self) -> Input {
        self.reading = Reading::Ended;
        Input::ClientEnded { left_frames: self.hold.bytes() > 0 }
    }

    /// The hold is full (or, with `of_all`, the budget of all holds): close once the client sends more, or read no more
    /// until there is room.
    fn full(&mut self, cx: &mut Context<'_>, of_all: bool) -> Poll<Option<Input>> {
        match self.when_full {
            WhenFull::Close => self.poll_overflow(cx),
            WhenFull::Pause => {
                self.frame_until = None;
                self.unanswered = 0;
                if of_all {
                    self.timer.as_mut().reset(Instant::now() + BUDGET_RETRY);
                }
                Poll::Pending
            }
        }
    }

    /// A client that has room no more and sends no more has done nothing to be closed for: its neighbours may have filled
    /// the budget. The bytes that show the contrary are refused.
    fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let read = BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            Pin::new(&mut self.stream).poll_read(cx, &mut read).map_ok(|()| read.filled().len())
        });
        Poll::Ready(Some(match ready!(read) {
            Ok(0) => self.end(),
            Ok(_) => Input::Full,
            Err(_) => Input::ClientLost,
        }))
    }

    /// A frame that began has a deadline, which its own bytes do not move.
    fn watch_frame(&mut self) {
        let mid_frame = self.hold.is_mid_frame();
        self.frame_until = match self.frame_until {
            Some(until) if mid_frame => Some(until),
            None if mid_frame => Some(Instant::now() + self.frame_timeout),
            Some(_) | None => None,
        };
    }

    /// After our Close: the end of our stream, then whatever the client still sends, until it ends too. A socket that is
    /// closed with unread bytes resets the connection and can take the Close with it.
    fn poll_close(&mut self, cx: &mut Context<'_>, is_sent: bool) -> Poll<Option<Input>> {
        if is_sent && self.reading == (Reading::Closing { shut: false }) {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(Some(Input::ClientLost));
            }
            self.reading = Reading::Closing { shut: true };
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => Poll::Ready(None),
                // A client that has ended its side can still read: our Close goes out first.
                Ok(()) if !is_sent => Poll::Pending,
                Ok(()) => Poll::Ready(Some(Input::ClientEnded { left_frames: false })),
                Err(_) => Poll::Ready(Some(Input::ClientLost)),
            }
        })
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        if self.reading != Reading::Holding {
            return Poll::Pending;
        }
        let due = self.frame_until.map_or(self.ping_at, |frame| frame.min(self.ping_at));
        if self.timer.deadline() > due || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(cx));
        let now = Instant::now();
        if was_stopped(due, now) {
            let moment = now + MOMENT;
            self.frame_until = self.frame_until.map(|until| until.max(moment));
            self.ping_at = self.ping_at.max(moment);
            return Poll::Ready(None);
        }
        if self.frame_until.is_some_and(|until| now >= until) {
            return Poll::Ready(Some(Input::Stalled));
        }
        if now < self.ping_at {
            return Poll::Ready(None);
        }
        self.ping_at = now + self.ping_interval;
        if !self.outbox.is_between_frames() {
            // A client cannot answer what it cannot be asked.
            return Poll::Ready(None);
        }
        if self.unanswered >= MOST_UNANSWERED {
            return Poll::Ready(Some(Input::ClientSilent));
        }
        self.unanswered += 1;
        self.outbox.say(&close::control(Opcode::Ping, &[], None));
        Poll::Ready(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "client_tests.rs"]
mod tests;
