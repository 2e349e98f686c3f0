//! Leads one session to the join of its streams, or to its end: names what happens, asks the machine, obeys. The arms of
//! the select name inputs and nothing else.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderValue;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until},
};

use super::{
    Arrival, ClientStream, House, ReplySender,
    books::Books,
    client::Client,
    deferral::Deferral,
    event::{Action, Input},
    gating::Would,
    ledger::Ledger,
    listening::Listening,
    outcome::Outcome,
    passage::Passage,
    state::{Machine, State},
    telling::Passing,
};
use crate::{
    config::Route,
    descriptors::Place,
    gate::{Lane, Permit, Verdict, Visit},
    hold::budget::Lease,
    splice::Splice,
    stall::{MOMENT, was_stopped},
    upstream::{Answer, Fault, Joined, Upstream, handshake::Handshake},
};

/// Why a session went on from Confirming.
const CONFIRMED: &str = "confirmed by the upstream";

/// Why it did not, or went on all the same.
const UNCONFIRMED: &str = "no confirmation from the upstream in time";

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Leads a session from arrival to outcome, which it returns. `upgrade` gives the client's stream, and bytes that came
/// with the request, once a 101 has been sent; none if the client went before.
///
/// No `async fn`: that would keep room for its arguments beside the session made of them, for as long as it lives.
pub fn run<C, U, F>(
    house: Arc<House<U>>,
    arrival: Arrival,
    reply: ReplySender,
    upgrade: F,
) -> impl Future<Output = Outcome> + Send
where
    C: ClientStream,
    U: Upstream,
    F: Future<Output = Option<(C, Bytes)>> + Send + 'static,
{
    house.gate.arrived();
    let mut drive = Drive::new(house, arrival, reply, Box::pin(upgrade));
    let input = drive.first_input();
    // Boxed, for an open session should not pay for its beginnings.
    let lead = Box::pin(lead(drive, Some(input)));
    async move {
        match lead.await {
            Led::ToEnd(outcome) => outcome,
            Led::ToJoin(passage) => passage.run().await,
        }
    }
}

/// Leads it from its first `input` to where it needs less.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep room for its arguments twice")]
pub(super) fn lead<C: ClientStream, U: Upstream>(
    mut drive: Drive<C, U>,
    mut input: Option<Input>,
) -> impl Future<Output = Led<C, U>> + Send {
    async move {
        loop {
            input.take().into_iter().for_each(|input| drive.handle(input));
            if let State::Done(outcome) = drive.machine.state() {
                return Led::ToEnd(outcome);
            }
            if let Some(splice) = drive.splice.take() {
                return Led::ToJoin(drive.into_passage(*splice));
            }
            input = drive.next_input().await;
        }
    }
}

/// How far a session was led.
pub(super) enum Led<C, U: Upstream> {
    ToEnd(Outcome),
    ToJoin(Box<Passage<C, U>>),
}

/// What stays of an arrival while its session is led.
pub(super) struct Arrived {
    pub(super) handshake: Handshake,
    pub(super) accept: String,
    pub(super) early: Result<Option<HeaderValue>, Deferral>,
    pub(super) place: Place,
    pub(super) at: std::time::Instant,
}

/// A session that is not joined.
pub(super) struct Drive<C, U: Upstream> {
    pub(super) books: Books<U>,
    /// Its route's gate.
    pub(super) lane: Lane,
    /// Keeps that gate alive until the session is past it.
    _visit: Option<Visit>,
    pub(super) machine: Machine,
    pub(super) arrived: Arrived,
    pub(super) reply: Option<ReplySender>,
    /// When it hears of the drain, once that has begun.
    pub(super) told_at: Option<Instant>,
    pub(super) cut_seen: bool,
    /// Nothing is due before it, for the process stood still.
    moment: Option<Instant>,
    pub(super) client: Leg<C, U::Stream>,
    /// A place in the hold budget, until the client's hold takes it, and again from there to the end of the replay.
    pub(super) lease: Option<Lease>,
    pub(super) turn: Option<Boxed<Permit>>,
    pub(super) permit: Option<Permit>,
    pub(super) dial: Option<Boxed<Result<Answer<U::Stream>, Fault>>>,
    /// When the present dial begins, or the last one began.
    pub(super) dials_at: Instant,
    pub(super) joined: Option<Joined<U::Stream>>,
    /// Made by the join, which is the end of this.
    pub(super) splice: Option<Box<Splice<C, U::Stream>>>,
    pub(super) was_held: bool,
    /// It passes while something optional is missing.
    pub(super) degraded: bool,
    /// What the client is told on passing.
    pub(super) passing: Option<Passing>,
}

/// The client's side before the join.
pub(super) enum Leg<C, S> {
    /// No 101 has been sent, or it is on its way.
    Pending(Boxed<Option<(C, Bytes)>>),
    /// Accepted. Boxed, for an open session has none and should not pay for it.
    Here(Box<Client<C>>),
    /// Accepted, and its upstream has to confirm.
    Listening(Box<Listening<C, S>>),
    /// With the splice, or gone.
    Gone,
}

/// What an arm of the select saw.
enum Seen<C, S> {
    Input(Input),
    /// The drain's next word: that it has begun, and then that the cut is due.
    Drain,
    /// What is due.
    Due,
    Turn(Permit),
    Dialed(Result<Answer<S>, Fault>),
    Upgraded(Option<(C, Bytes)>),
}

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    fn new(house: Arc<House<U>>, arrival: Arrival, reply: ReplySender, upgrade: Boxed<Option<(C, Bytes)>>) -> Self {
        let Arrival { path, handshake, accept, gating, trace, early, route, peer, place, at } = arrival;
        let machine = Machine::new(&house.config.routes[route].gate, at);
        let machine = if gating.holds() { machine } else { machine.unheld() };
        let lane = house.gate.lane(route);
        let entry = house.registry.enter(path, peer, at, machine.state().label());
        let visit = house.gate.visit();
        let books = Books {
            seq: entry.id(),
            entry: Some(entry),
            ledger: Ledger::default(),
            gating,
            would: Would::Pass,
            reason: String::new(),
            route,
            trace,
            house,
        };
        Self {
            books,
            machine,
            reply: Some(reply),
            told_at: None,
            cut_seen: false,
            moment: None,
            client: Leg::Pending(upgrade),
            lease: None,
            turn: None,
            permit: None,
            dial: None,
            dials_at: Instant::now(),
            joined: None,
            splice: None,
            was_held: false,
            degraded: false,
            passing: None,
            _visit: visit,
            lane,
            arrived: Arrived { handshake, accept, early, place, at },
        }
    }

    fn first_input(&mut self) -> Input {
        let verdict = self.lane.verdict();
        self.arrive(&verdict)
    }

    /// What the configuration says of its path.
    pub(super) fn route(&self) -> &Route {
        self.books.route()
    }

    /// Waits for the next thing to happen, which the machine need not know of.
    async fn next_input(&mut self) -> Option<Input> {
        match self.see().await {
            Seen::Input(input) => Some(self.explain(input)),
            Seen::Drain if self.told_at.is_some() => Some(self.explain(Input::CutDue)),
            Seen::Drain => {
                self.told_at = Some(Instant::now() + self.books.house.drain.turn());
                None
            }
            Seen::Due => self.fallen_due(),
            Seen::Turn(permit) => Some(self.turned(permit)),
            Seen::Dialed(result) => Some(self.dialed(result)),
            Seen::Upgraded(leg) => self.upgraded(leg),
        }
    }

    /// Where the process stood still at that time, whoever was waited for has a moment more.
    fn fallen_due(&mut self) -> Option<Input> {
        let ((at, input), now) = (self.due()?, Instant::now());
        if was_stopped(at, now) {
            self.moment = Some(now + MOMENT);
            return None;
        }
        Some(self.explain(input))
    }

    async fn see(&mut self) -> Seen<C, U::Stream> {
        let (drain, due) = (&self.books.house.drain, self.due().map(|(at, _)| at));
        let word = if self.told_at.is_none() { drain.begun() } else { drain.cut_due() };
        let entry = self.books.entry.as_ref();
        let progress = |bytes, frames| entry.into_iter().for_each(|entry| entry.held(bytes, frames));
        tokio::select! {
            biased;
            () = closed(self.reply.as_mut()) => Seen::Input(Input::ClientLost),
            seen = poll_fn(|cx| self.client.poll_next(cx, &progress)) => seen,
            permit = maybe(self.turn.as_mut()) => Seen::Turn(permit),
            result = maybe(self.dial.as_mut()) => Seen::Dialed(result),
            // Behind what mostly happens, for to wait for it takes a place in a list.
            () = word, if !self.cut_seen => Seen::Drain,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Seen::Due,
        }
    }

    /// The next thing that only time brings.
    fn due(&self) -> Option<(Instant, Input)> {
        let may_be_told =
            matches!(self.machine.state(), State::Arrived | State::Held | State::Dialing | State::Confirming);
        let told = self.told_at.filter(|_| may_be_told).map(|at| (at, Input::Draining));
        let deadline = self.machine.deadline().map(|at| (at.into(), Input::Deadline));
        let (at, input) = [told, deadline].into_iter().flatten().min_by_key(|(at, _)| *at)?;
        Some((self.moment.map_or(at, |moment| at.max(moment)), input))
    }

    /// Notes why an input came, where that is known.
    fn explain(&mut self, input: Input) -> Input {
        self.cut_seen |= input == Input::CutDue;
        match &input {
            Input::Deadline if self.machine.state() == State::Confirming => {
                UNCONFIRMED.clone_into(&mut self.books.reason)
            }
            Input::Confirmed if self.books.reason.is_empty() => CONFIRMED.clone_into(&mut self.books.reason),
            Input::Deadline => self.books.reason = blockers(&self.lane.verdict()),
            Input::Violated(violation) => violation.what.clone_into(&mut self.books.reason),
            _ => {}
        }
        input
    }

    pub(super) fn handle(&mut self, input: Input) {
        let (before, now) = (self.machine.state(), Instant::now().into_std());
        let action = self.machine.handle(input, now);
        // Who finds no place was never in the state that asks for one, and nothing says so.
        let action = if self.finds_place(&action) { action } else { self.machine.handle(Input::NoRoom, now) };
        if matches!(self.machine.state(), State::Done(_)) {
            self.settle();
        }
        self.books.note(before, &self.machine, now);
        self.obey(action);
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Wait | Action::Relay => {}
            Action::Hold => self.hold(0),
            Action::HoldAgain(refusals) => self.hold_again(refusals),
            Action::Dial => self.dial(0),
            Action::DialAfter(failures) => self.dial(failures),
            Action::Listen => self.listen(),
            Action::Waive => self.waive(),
            Action::Part => self.part(),
            Action::Join => self.join(),
            // Neither end is told: there is no join yet in which they could part.
            Action::Cut => self.handle(Input::ClientLost),
            Action::Dismiss(outcome) => self.dismiss(outcome),
            Action::Echo(closed) => self.echo(closed),
            Action::End => self.stop_dialing(),
        }
    }

    /// What became of the frames of a session that was never joined.
    fn settle(&mut self) {
        if let Some(client) = self.client.accepted() {
            self.books.ledger.received = client.hold().frames() as u64;
            self.books.ledger.refused = client.hold().left_frames();
        }
    }
}

impl<C: ClientStream, S: AsyncRead + AsyncWrite + Unpin> Leg<C, S> {
    /// The client while it is accepted and not joined.
    pub(super) fn accepted(&self) -> Option<&Client<C>> {
        match self {
            Self::Here(client) => Some(client),
            Self::Listening(listening) => Some(listening.client()),
            Self::Pending(_) | Self::Gone => None,
        }
    }

    /// The same, to be told something.
    pub(super) fn accepted_mut(&mut self) -> Option<&mut Client<C>> {
        match self {
            Self::Here(client) => Some(client),
            Self::Listening(listening) => Some(listening.client_mut()),
            Self::Pending(_) | Self::Gone => None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, progress: &impl Fn(usize, usize)) -> Poll<Seen<C, S>> {
        match self {
            Self::Pending(upgrade) => upgrade.as_mut().poll(cx).map(Seen::Upgraded),
            Self::Here(client) => client.poll_next(cx, progress).map(Seen::Input),
            Self::Listening(listening) => listening.poll_next(cx, progress).map(Seen::Input),
            Self::Gone => Poll::Pending,
        }
    }
}

/// What is wrong, in the operator's words.
pub(super) fn blockers(verdict: &Verdict) -> String {
    verdict.blockers().iter().chain(verdict.missing()).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn maybe<T>(mut future: Option<&mut Boxed<T>>) -> impl Future<Output = T> {
    poll_fn(move |cx| match &mut future {
        Some(future) => future.as_mut().poll(cx),
        None => Poll::Pending,
    })
}

fn closed(mut reply: Option<&mut ReplySender>) -> impl Future<Output = ()> {
    poll_fn(move |cx| match &mut reply {
        Some(reply) => reply.poll_closed(cx),
        None => Poll::Pending,
    })
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
