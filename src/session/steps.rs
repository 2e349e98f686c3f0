//! What the machine's actions do: hold, dial, join, dismiss; `confirming` what they do while the upstream has to confirm.

mod confirming;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Instant, sleep};

use super::{
    ClientStream, Reply,
    client::Client,
    drive::{Arrived, Boxed, Drive, Leg, blockers},
    event::{Action, Input, Patience},
    outcome::Outcome,
    passage::Passage,
    registry::Waits,
    standing::Standing,
    state::State,
};
use crate::{
    fields::{Fields, Lines},
    gate::{Lane, Permit},
    hold::{Hold, head},
    splice::Splice,
    telemetry::metrics::Side,
    upstream::{Answer, Fault, Going, Joined, Upstream},
    wire::{boundary::Boundary, close, scan::ClientClose},
};

/// Why a session is refused that should wait.
const NO_PLACE: &str = "hold.sessions are held already, or hold.total_bytes are used up";

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// Whether there is the place in the budget that `action` takes, if it takes one.
    pub(super) fn finds_place(&mut self, action: &Action) -> bool {
        let needs_place = match action {
            Action::Hold | Action::HoldAgain(_) => !self.machine.is_accepted(),
            // A client that was not held so far waits from here on.
            Action::Listen => !matches!(self.client, Leg::Here(_)),
            Action::Wait
            | Action::Dial
            | Action::DialAfter(_)
            | Action::Relay
            | Action::Waive
            | Action::Part
            | Action::Join
            | Action::Cut
            | Action::Dismiss(_)
            | Action::Echo(_)
            | Action::End => false,
        };
        if needs_place && self.lease.is_none() {
            self.lease = head::place(&self.books.house.budget, self.arrived.handshake.weight());
            if self.lease.is_none() {
                NO_PLACE.clone_into(&mut self.books.reason);
                return false;
            }
        }
        true
    }

    /// Accepts early where that may be, and queues for a turn after `refusals` refused dials.
    pub(super) fn hold(&mut self, refusals: u32) {
        self.permit = None;
        if !std::mem::replace(&mut self.was_held, true) {
            self.accept_early();
        }
        let (lane, seq, pause) = (self.lane.clone(), self.books.seq, self.pause(refusals));
        self.turn = Some(after(pause, turn(lane, seq)));
    }

    /// The gate was wrong: nothing listens, and it has been told so.
    pub(super) fn hold_again(&mut self, refusals: u32) {
        self.books.house.metrics.dial_retried();
        self.hold(refusals);
    }

    fn accept_early(&mut self) {
        let subprotocol = match &self.arrived.early {
            Ok(subprotocol) => subprotocol.clone(),
            Err(why) => {
                self.books.waits(Waits::Deferred(*why));
                self.books.house.metrics.session_deferred(why.label());
                return self.books.house.deferrals.count(*why, Instant::now().into_std());
            }
        };
        self.machine.accept();
        self.books.waits(Waits::Early);
        self.arrived.handshake.offer_none();
        let standing = Standing::held(&self.lane.verdict());
        self.reply(Reply::Early { accept: self.arrived.accept.clone(), subprotocol, standing });
    }

    pub(super) fn turned(&mut self, permit: Permit) -> Input {
        (self.turn, self.permit) = (None, Some(permit));
        "gate open".clone_into(&mut self.books.reason);
        Input::Turn
    }

    /// Dials, after the pause that `failures` failed dials ask for.
    pub(super) fn dial(&mut self, failures: u32) {
        if failures > 0 {
            self.books.house.metrics.dial_retried();
        }
        let (handshake, accept) = (self.arrived.handshake.bytes(), self.arrived.accept.clone());
        let (house, pause) = (Arc::clone(&self.books.house), self.pause(failures));
        self.dials_at = Instant::now() + pause;
        self.turn = None;
        let going = if self.was_held { Going::Behind } else { Going::Along };
        let dial = async move { house.upstream.dial(handshake, &accept, going).await };
        self.dial = Some(after(pause, dial));
    }

    fn pause(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            failures => self.books.house.config.upstream.backoff.pause(failures, fastrand::f64()),
        }
    }

    pub(super) fn dialed(&mut self, result: Result<Answer<U::Stream>, Fault>) -> Input {
        self.dial = None;
        match result {
            Err(fault) => {
                self.books.reason = fault.to_string();
                if !matches!(fault, Fault::Dial(_)) {
                    self.books.house.gate.upstream_doubted();
                }
                self.missed(&fault);
                Input::Faulted(fault)
            }
            Ok(Answer::Declined(response)) => {
                let status = response.status();
                self.books.reason = format!("upstream answered {status}");
                if !self.machine.is_accepted() {
                    self.reply(Reply::Decline(response));
                }
                Input::Declined(status)
            }
            Ok(Answer::Joined(joined)) => self.connected(joined),
        }
    }

    fn connected(&mut self, joined: Joined<U::Stream>) -> Input {
        self.permit = None;
        if self.machine.is_accepted()
            && let Err(reason) = agrees(&joined, &self.arrived)
        {
            reason.clone_into(&mut self.books.reason);
            return Input::Mismatched;
        }
        self.books.house.metrics.connected_after(self.dials_at.into_std().saturating_duration_since(self.arrived.at));
        self.joined = Some(joined);
        self.pass();
        match &self.route().gate.confirm {
            Some(rule) if self.books.gating.holds() => {
                Input::Unconfirmed(Patience { timeout: rule.timeout, on_timeout: rule.on_timeout })
            }
            Some(_) | None => Input::Connected,
        }
    }

    /// Notes under which verdict a gated session passes.
    fn pass(&mut self) {
        let verdict = self.lane.verdict();
        self.passing = self.passing_under(&verdict);
        self.degraded = self.books.gating.holds() && Standing::passing(&verdict).is_some();
        if self.degraded {
            self.books.house.metrics.session_degraded(self.route().path.as_str());
            self.books.reason = format!("degraded: {}", blockers(&verdict));
        }
    }

    /// The client gets the upstream's 101, as `lines` gives it, if it has none.
    pub(super) fn relay_101(&mut self, lines: impl FnOnce(&mut Joined<U::Stream>) -> Lines) {
        if !self.machine.is_accepted()
            && let Some(joined) = &mut self.joined
        {
            let (lines, standing) = (lines(joined), self.degraded.then_some(Standing::Degraded));
            self.machine.accept();
            self.reply(Reply::Switch { lines, standing });
        }
    }

    /// The upstream is there: the client gets its 101 if it has none, and the streams are joined once it is there too.
    pub(super) fn join(&mut self) {
        self.relay_101(|joined| std::mem::take(&mut joined.lines));
        match std::mem::replace(&mut self.client, Leg::Gone) {
            Leg::Here(client) => self.replay(*client),
            Leg::Listening(listening) => {
                self.passing = self.passing.filter(|_| listening.is_between_messages());
                let (client, joined) = listening.hand_over();
                self.joined = Some(joined);
                self.replay(client);
            }
            Leg::Pending(upgrade) => self.client = Leg::Pending(upgrade),
            Leg::Gone => {}
        }
    }

    fn replay(&mut self, client: Client<C>) {
        let handover = client.hand_over();
        self.books.ledger.received = handover.released.frames as u64;
        self.lease = Some(handover.lease);
        self.splice(handover.stream, handover.released.bytes, handover.unsent);
    }

    /// The client's stream is there, with bytes that came glued to its request.
    pub(super) fn upgraded(&mut self, leg: Option<(C, Bytes)>) -> Option<Input> {
        self.client = Leg::Gone;
        let Some((stream, early)) = leg else { return Some(Input::ClientLost) };
        let is_listening = self.machine.state() == State::Confirming;
        if self.joined.is_some() && !is_listening {
            let mut frames = Boundary::default();
            frames.advance(&early);
            self.books.ledger.received = frames.data_frames();
            self.splice(stream, early.to_vec(), Vec::new());
            return None;
        }
        let limits = self.route().hold;
        let Some(lease) = self.lease.take() else { return Some(Input::ClientLost) };
        self.client = Leg::Here(Box::new(Client::new(stream, Hold::new(&limits), lease, &limits)));
        if is_listening {
            self.listen();
        }
        let client = self.client.accepted_mut()?;
        let input = client.take(&early);
        if let Some(entry) = &self.books.entry {
            entry.held(client.hold().bytes(), client.hold().frames());
        }
        if let State::Closing(outcome) = self.machine.state() {
            self.say_farewell(outcome);
            return None;
        }
        if !is_listening {
            self.say(self.held_notice());
        }
        input
    }

    fn splice(&mut self, stream: C, held: Vec<u8>, mut unsent: Vec<u8>) {
        let Some(joined) = self.joined.take() else { return };
        unsent.extend(self.passing_notice());
        self.splice = Some(Box::new(Splice::new(stream, joined.stream, held, unsent, &joined.early)));
    }

    /// What is left of it once its streams are joined.
    pub(super) fn into_passage(self, splice: Splice<C, U::Stream>) -> Box<Passage<C, U>> {
        let opened = self.lane.opened_at().filter(|_| self.was_held);
        let released = opened.map(|opened| opened.into_std().max(self.arrived.at));
        let Self { books, machine, lease, arrived, .. } = self;
        Box::new(Passage { books, machine, splice, lease, released, cut_seen: false, _place: arrived.place })
    }

    /// Refuses the request, or tells the accepted client by a Close.
    pub(super) fn dismiss(&mut self, outcome: Outcome) {
        self.stop_dialing();
        if !self.machine.is_accepted()
            && let Some(farewell) = outcome.farewell(&self.route().gate.close_codes)
        {
            self.reply(Reply::Refuse(farewell));
        }
        // A client whose stream is still on its way is told when it is there.
        self.say_farewell(outcome);
    }

    fn say_farewell(&mut self, outcome: Outcome) {
        let farewell = outcome.farewell(&self.route().gate.close_codes);
        if let Some(farewell) = farewell {
            self.say(self.closing_notice(&farewell));
        }
        if let (Some(client), Some(farewell)) = (self.client.accepted_mut(), farewell) {
            client.close(farewell.code, farewell.reason);
            self.books.house.metrics.close_sent(Side::Client, farewell.code);
        }
        self.part_upstream(Some(outcome.upstream_code()), &[]);
    }

    /// Puts a notice, or nothing, to the accepted client; inside a message of the upstream there is no place for one.
    fn say(&mut self, notice: Vec<u8>) {
        match &mut self.client {
            Leg::Here(client) => client.say(&notice),
            Leg::Listening(listening) if listening.is_between_messages() => listening.client_mut().say(&notice),
            Leg::Listening(_) | Leg::Pending(_) | Leg::Gone => {}
        }
    }

    /// Both ends get the client's own Close: the client as the answer, the upstream because it would have.
    pub(super) fn echo(&mut self, closed: ClientClose) {
        self.stop_dialing();
        let Some(client) = self.client.accepted_mut() else { return };
        client.echo();
        let reason = client.hold().farewell().get(close::CODE_BYTES..).unwrap_or_default().to_vec();
        self.part_upstream(closed.code, &reason);
    }

    pub(super) fn stop_dialing(&mut self) {
        (self.turn, self.permit, self.dial, self.joined) = (None, None, None, None);
    }

    fn reply(&mut self, reply: Reply) {
        if let Some(sender) = self.reply.take() {
            // A client that has gone is noticed where its stream would come.
            let _ = sender.send(reply);
        }
    }
}

/// For the turn of session `seq`.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep room for its arguments twice")]
pub(super) fn turn(lane: Lane, seq: u64) -> impl Future<Output = Permit> {
    async move { lane.turn(seq).await }
}

/// `act`, begun after a pause. A sleep of no length would still end only with the timer's next tick, a millisecond that every
/// connect would pay, and its memory that everybody who waits for a turn would.
fn after<T>(pause: Duration, act: impl Future<Output = T> + Send + 'static) -> Boxed<T> {
    if pause.is_zero() {
        return Box::pin(act);
    }
    Box::pin(async move {
        sleep(pause).await;
        act.await
    })
}

/// After an early accept the upstream's 101 must be what the client was told.
fn agrees<S>(joined: &Joined<S>, arrived: &Arrived) -> Result<(), &'static str> {
    let told = arrived.early.as_ref().ok().and_then(Option::as_ref);
    if joined.lines.values("sec-websocket-protocol").next() != told.map(HeaderValue::as_bytes) {
        return Err("upstream selected another subprotocol than the client was told");
    }
    if joined.lines.has("sec-websocket-extensions") {
        return Err("upstream selected an extension that was not offered");
    }
    Ok(())
}
#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_pause_takes_no_time_not_even_a_tick() {
        // The timer's ticks are whole milliseconds: between two of them, a sleep of no length is not over.
        tokio::time::advance(Duration::from_micros(100)).await;
        assert_eq!(after(Duration::ZERO, async {}).now_or_never(), Some(()));
        assert_eq!(after(Duration::from_nanos(1), async {}).now_or_never(), None);
    }
}
