//! A session whose streams are joined: what was held goes first, then whatever either end sends.
//!
//! Sessions spend most of their time here, so it keeps only what the end of one takes.

use std::time::Instant;

use super::{
    ClientStream,
    books::Books,
    event::{Action, Input},
    outcome::Outcome,
    state::{Machine, State},
};
use crate::{
    descriptors::Place,
    hold::budget::Lease,
    splice::{Event, Splice, flow::End},
    telemetry::metrics::Side,
    upstream::Upstream,
    wire::close,
};

/// A session from its join to its outcome.
pub(super) struct Passage<C, U: Upstream> {
    pub(super) books: Books<U>,
    pub(super) machine: Machine,
    pub(super) splice: Splice<C, U::Stream>,
    /// Its place in the hold budget, until the upstream has what was held.
    pub(super) lease: Option<Lease>,
    /// The moment from which its release is counted, if it was held.
    pub(super) released: Option<Instant>,
    /// The drain's cut has come.
    pub(super) cut_seen: bool,
    /// Its descriptors, given back at the end.
    pub(super) _place: Place,
}

impl<C: ClientStream, U: Upstream> Passage<C, U> {
    /// Leads it to its outcome.
    #[expect(clippy::manual_async_fn, reason = "an async fn would keep room for its argument twice")]
    pub(super) fn run(mut self: Box<Self>) -> impl Future<Output = Outcome> + Send {
        async move {
            loop {
                let input = tokio::select! {
                    biased;
                    event = self.splice.next() => self.spliced(event),
                    () = self.books.house.drain.cut_turn(self.books.seq), if !self.cut_seen => Input::CutDue,
                };
                self.cut_seen |= input == Input::CutDue;
                self.handle(input);
                if let State::Done(outcome) = self.machine.state() {
                    return outcome;
                }
            }
        }
    }

    fn spliced(&mut self, event: Event) -> Input {
        match event {
            Event::Replayed => {
                self.replayed();
                Input::Replayed
            }
            Event::Parting(end) => {
                if end == End::UpstreamLost {
                    self.books.house.gate.upstream_doubted();
                }
                Input::Parting(end.into())
            }
            Event::Ended(end) => Input::Spliced(end),
        }
    }

    fn replayed(&mut self) {
        self.lease = None;
        if let Some(entry) = &self.books.entry {
            entry.held(0, 0);
        }
        if let Some(since) = self.released {
            let now = tokio::time::Instant::now().into_std();
            self.books.house.metrics.released(now.saturating_duration_since(since));
        }
    }

    fn handle(&mut self, input: Input) {
        let (before, now) = (self.machine.state(), tokio::time::Instant::now().into_std());
        let action = self.machine.handle(input, now);
        if matches!(self.machine.state(), State::Done(_)) {
            self.settle();
        }
        self.books.note(before, &self.machine, now);
        // Nothing else is asked of joined streams: they part by their own rules.
        if action == Action::Cut {
            self.splice.cut();
        }
    }

    fn settle(&mut self) {
        (self.books.ledger.delivered, self.books.ledger.refused) = self.splice.delivered();
        let placed = self.splice.placed();
        self.count_close(placed.client, Side::Client);
        self.count_close(placed.upstream, Side::Upstream);
    }

    fn count_close(&self, placed: bool, side: Side) {
        if placed {
            self.books.house.metrics.close_sent(side, close::RESTART);
        }
    }
}
