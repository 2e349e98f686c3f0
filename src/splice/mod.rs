//! Two streams joined: first what was held, then whatever either end sends, until both have ended.
//!
//! Bytes pass untouched. `pipe` is one direction, `flow` decides how the two part. A Close of readygate's own is only
//! ever put between two frames.

pub mod flow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod pipe;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};

use self::{
    flow::{End, Input, Phase, Step},
    pipe::{Moved, Pipe},
};
use crate::{dial::Hangup, wire::close};

/// How long one direction may stay silent after the other has ended. Servers wait 10 to 20 s for the answer to their
/// Close (Python's websockets: 10 s), so this outlasts them.
const LINGER: Duration = Duration::from_secs(30);

/// How long both ends have to take a Close of a drain. Part of `drain.timeout`, so short.
pub const CUT_GRACE: Duration = Duration::from_millis(300);

/// Reason sent with the 1012 of a lost upstream.
const LOST_REASON: &str = "upstream lost";

/// Reason sent with the 1012 of a drain.
const CUT_REASON: &str = "restarting";

/// What a splice reports while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything that was held is with the upstream.
    Replayed,
    /// One of the two streams has ended; so it will be called unless a cut comes first.
    Parting(End),
    /// Both have.
    Ended(End),
}

/// Closes of readygate's own that were put into the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// 1012 to the client.
    pub client: bool,
    /// 1012 to the upstream.
    pub upstream: bool,
}

/// The two streams and where they stand.
#[derive(Debug)]
pub struct Splice<C, U> {
    client: C,
    upstream: U,
    to_upstream: Pipe,
    to_client: Pipe,
    phase: Phase,
    placed: Placed,
    /// Armed once one direction has ended, or both Closes have passed, or the client does not take what there is for it; with
    /// the bytes moved until then.
    linger: Option<(Pin<Box<Sleep>>, u64)>,
    aborted: bool,
}

impl<C, U> Splice<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Hangup + Unpin,
{
    /// Joins `client` and `upstream`. `held` goes to the upstream before anything is read from the client; `early`
    /// (what the upstream sent with its 101) goes to the client before anything is read from the upstream.
    /// `unsent` is written to the client before that; it is readygate's own, may begin inside a frame and ends between two.
    #[must_use]
    pub fn new(client: C, upstream: U, held: Vec<u8>, unsent: Vec<u8>, early: &[u8]) -> Self {
        Self {
            client,
            upstream,
            to_upstream: Pipe::new(held),
            to_client: Pipe::behind(unsent, early),
            phase: Phase::Flowing,
            placed: Placed::default(),
            linger: None,
            aborted: false,
        }
    }

    /// The next event. Cancel-safe. After [`Event::Ended`] there is none.
    #[expect(clippy::should_implement_trait, reason = "what it gives has to be awaited")]
    pub fn next(&mut self) -> impl Future<Output = Event> {
        poll_fn(move |cx| self.poll_next(cx))
    }

    /// Ends both streams: 1012 to each end that stands between frames.
    pub fn cut(&mut self) {
        let step = self.turn(Input::CutDue);
        self.obey(step);
    }

    /// Whole data frames that were held: how many the upstream has taken, and how many it has not.
    #[must_use]
    pub fn delivered(&self) -> (u64, u64) {
        (self.to_upstream.first_delivered(), self.to_upstream.first_left())
    }

    /// Closes of readygate's own so far.
    #[must_use]
    pub fn placed(&self) -> Placed {
        self.placed
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let (client, upstream) = (Pin::new(&mut self.client), Pin::new(&mut self.upstream));
            if let Poll::Ready(moved) = self.to_upstream.poll(client, upstream, cx) {
                match moved {
                    Moved::Drained => return Poll::Ready(Event::Replayed),
                    Moved::SourceEnded => return Poll::Ready(self.part(Input::ClientEnded)),
                }
            }
            let (client, upstream) = (Pin::new(&mut self.client), Pin::new(&mut self.upstream));
            match self.to_client.poll(upstream, client, cx) {
                Poll::Ready(Moved::Drained) => {}
                Poll::Ready(Moved::SourceEnded) => {
                    let input = self.upstream_ended();
                    return Poll::Ready(self.part(input));
                }
                Poll::Pending if self.is_over(cx) => return Poll::Ready(Event::Ended(self.end())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn part(&mut self, input: Input) -> Event {
        // A timer for a client that took nothing is none for a parting, which has the whole time.
        if !self.is_parting() {
            self.linger = None;
        }
        let step = self.turn(input);
        self.obey(step);
        Event::Parting(self.end())
    }

    fn turn(&mut self, input: Input) -> Step {
        let (phase, step) = self.phase.handle(input);
        self.phase = phase;
        step
    }

    fn obey(&mut self, step: Step) {
        match step {
            Step::Wait => {}
            Step::ShutUpstream => {
                self.to_upstream.end(&[]);
            }
            Step::ShutClient => {
                self.to_client.end(&[]);
            }
            Step::CloseClient => self.close_client(LOST_REASON),
            Step::CloseBoth => {
                self.close_client(CUT_REASON);
                self.close_upstream();
                self.linger = None;
            }
            Step::Abort => self.aborted = true,
        }
    }

    fn close_client(&mut self, reason: &str) {
        let may_close = self.to_client.queued().is_between_frames() && !self.to_client.queued().has_closed();
        let frame = if may_close { close::frame(close::RESTART, reason) } else { Vec::new() };
        self.placed.client |= self.to_client.end(&frame) && may_close;
    }

    fn close_upstream(&mut self) {
        let may_close = self.to_upstream.queued().is_between_frames() && !self.to_upstream.queued().has_closed();
        let key = fastrand::u32(..).to_ne_bytes();
        let frame = if may_close { close::masked_frame(close::RESTART, CUT_REASON, key) } else { Vec::new() };
        self.placed.upstream |= self.to_upstream.end(&frame) && may_close;
    }

    fn upstream_ended(&self) -> Input {
        let passed = self.to_client.queued();
        Input::UpstreamEnded {
            closed: passed.has_closed(),
            between_frames: passed.is_between_frames(),
            complete: self.to_upstream.is_delivered(),
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        // A client that takes no more is gone, and what the upstream still says is for nobody. The other way round the client
        // is read to its end: a socket closed with unread bytes resets, and takes a Close of ours with it.
        if self.aborted || (self.to_upstream.is_stopped() && self.to_client.is_spent()) || self.is_parted() {
            return true;
        }
        let is_parting = self.is_parting();
        let is_idle = !is_parting && self.to_client.is_delivered();
        if is_idle && self.linger.is_none() {
            return false;
        }
        let (moved, is_cut) = (self.moved(), self.phase == Phase::Cut);
        let patience = if is_cut { CUT_GRACE } else { LINGER };
        let (sleep, moved_before) =
            self.linger.get_or_insert_with(|| (Box::pin(sleep_until(Instant::now() + patience)), moved));
        while sleep.as_mut().poll(cx).is_ready() {
            if is_idle {
                self.linger = None;
                return false;
            }
            // Of an upstream that is not read, for its client takes nothing, the end is not read either.
            if is_cut || moved == *moved_before && (is_parting || self.upstream.has_hung_up()) {
                return true;
            }
            *moved_before = moved;
            sleep.as_mut().reset(Instant::now() + LINGER);
        }
        false
    }

    /// Both have sent and taken a Close, and the upstream has ended its stream first, as a server should, of which the
    /// client has been told: nothing is left to come (RFC 6455 §7.1.1).
    fn is_parted(&self) -> bool {
        let is_told = self.phase == Phase::UpstreamEnded && self.to_client.is_stopped();
        is_told && self.to_upstream.is_delivered() && self.have_closed()
    }

    /// One direction has ended, or both Closes have passed.
    fn is_parting(&self) -> bool {
        self.phase != Phase::Flowing || self.have_closed()
    }

    fn have_closed(&self) -> bool {
        self.to_client.queued().has_closed() && self.to_upstream.queued().has_closed()
    }

    fn end(&self) -> End {
        self.phase.end(self.to_client.queued().has_closed() || self.to_upstream.queued().has_closed())
    }

    fn moved(&self) -> u64 {
        self.to_client.moved() + self.to_upstream.moved()
    }
}
