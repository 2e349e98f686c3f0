//! One session's decisions. PURE.
//!
//! `Arrived → Held → Dialing → (Confirming) → Replaying → Open → Closing → Done`
//!
//! - **Arrived**: the verdict decides, if the process has descriptors for one more. With the gate open the dial begins at once and the backend answers the handshake
//!   itself; with the gate shut the session is held. One that never waits always finds it open.
//! - **Held**: either readygate has answered 101 (the client is *accepted*, and what it sends is kept) or the request
//!   itself waits. It ends with this session's turn to dial, with the deadline, with a full hold, with a client
//!   that breaks the protocol or goes, or with a drain.
//! - **Dialing**: the one dial of this turn. A refused connection leads back to Held, for the gate's view was wrong
//!   and the dial is the truth. A fault that sent nothing is tried again; any other is final, and so is every one of a
//!   session that never waits.
//! - **Confirming**: the upstream's 101 is verified, and it has to say that it is ready for this very connection. What it
//!   says passes to the client, what the client says is held. It ends with the confirmation, with its deadline, with the
//!   upstream's Close or end, or as Held does; what the gate does has no meaning any more.
//! - **Replaying**: the upstream is ready, held bytes are on their way. Nothing is tried again from here.
//! - **Open**: the streams are joined and part by their own rules.
//! - **Closing**: the client has been told, and has a moment to take it.
//! - **Done**: the outcome is known.

mod confirming;

use std::time::{Duration, Instant};

use super::{
    event::{Action, Input},
    outcome::Outcome,
};
use crate::{
    config::{self, OnTimeout},
    dial::DialFault,
    upstream::{Fault, retry},
    wire::{
        close,
        scan::{ClientClose, Violation},
    },
};

/// How long a client has to answer our Close before its connection is dropped. Long enough for a slow mobile round trip,
/// short enough not to pile up.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// A session whose time is over after so many refused turns was not waiting for a restart: the gate was open while nothing
/// listened, so the checks and `upstream.url` disagree.
const TELLING_REFUSALS: u32 = 3;

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The handshake request is there, nothing is decided.
    Arrived,
    /// Waits for its turn.
    Held,
    /// Connects and shakes hands with the upstream.
    Dialing,
    /// Waits for the upstream's word.
    Confirming,
    /// Writes what was held.
    Replaying,
    /// Passes bytes.
    Open,
    /// Has been told; ends as this outcome.
    Closing(Outcome),
    /// Has ended.
    Done(Outcome),
}

/// One session: where it is and what it remembers.
#[derive(Debug)]
pub struct Machine {
    state: State,
    accepted: bool,
    on_timeout: OnTimeout,
    /// The end of the hold, and after the 101 that of the wait for a confirmation.
    hold_until: Instant,
    closing_until: Option<Instant>,
    /// Dials of the present turn.
    attempts: u32,
    /// Turns that ended with a refused connection.
    refusals: u32,
    /// The hold, or after the 101 the wait, is over and the session passes all the same.
    overdue: bool,
    /// The gate counts for it.
    holds: bool,
}

impl Machine {
    /// A session that arrived at `now`.
    #[must_use]
    pub fn new(policy: &config::Gate, now: Instant) -> Self {
        Self {
            state: State::Arrived,
            accepted: false,
            on_timeout: policy.on_timeout,
            hold_until: now + policy.hold_timeout,
            closing_until: None,
            attempts: 0,
            refusals: 0,
            overdue: false,
            holds: true,
        }
    }

    /// The same for a session that never waits.
    #[must_use]
    pub fn unheld(self) -> Self {
        Self { holds: false, ..self }
    }

    /// Where the session is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The client has its 101.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// readygate answers 101 itself.
    pub fn accept(&mut self) {
        self.accepted = true;
    }

    /// When [`Input::Deadline`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Held => Some(self.hold_until),
            State::Confirming => (!self.overdue).then_some(self.hold_until),
            State::Closing(_) => self.closing_until,
            State::Arrived | State::Dialing | State::Replaying | State::Open | State::Done(_) => None,
        }
    }

    /// Decides. Inputs that have no meaning in a state (a late timer, an answer nobody waits for) change nothing.
    pub fn handle(&mut self, input: Input, now: Instant) -> Action {
        match self.state {
            State::Arrived => self.arrived(input, now),
            State::Held => self.held(input, now),
            State::Dialing => self.dialing(input, now),
            State::Confirming => self.confirming(input, now),
            State::Replaying | State::Open => self.joined(input),
            State::Closing(outcome) => self.closing(outcome, &input),
            State::Done(_) => Action::Wait,
        }
    }

    fn arrived(&mut self, input: Input, now: Instant) -> Action {
        match input {
            Input::GateOpen => self.dial(),
            Input::GateShut => self.enter(State::Held, Action::Hold),
            Input::Draining | Input::CutDue => self.dismiss(Outcome::Drained, now),
            Input::NoRoom => self.dismiss(Outcome::TooMany, now),
            Input::ClientLost => self.end(Outcome::ClientGone),
            Input::Turn
            | Input::Violated(_)
            | Input::Stalled
            | Input::Full
            | Input::ClientEnded { .. }
            | Input::ClientClosed(_)
            | Input::ClientSilent
            | Input::Faulted(_)
            | Input::Declined(_)
            | Input::Mismatched
            | Input::Connected
            | Input::Unconfirmed(_)
            | Input::Confirmed
            | Input::UpstreamClosed
            | Input::UpstreamLost { .. }
            | Input::Replayed
            | Input::Parting(_)
            | Input::Spliced(_)
            | Input::Deadline => Action::Wait,
        }
    }

    fn held(&mut self, input: Input, now: Instant) -> Action {
        match input {
            Input::Turn => self.dial(),
            Input::Draining | Input::CutDue => self.dismiss(Outcome::Drained, now),
            Input::NoRoom => self.dismiss(Outcome::TooMany, now),
            Input::Violated(violation) => self.dismiss(violated(violation), now),
            Input::Stalled => self.dismiss(Outcome::FrameTimeout, now),
            Input::Full => self.dismiss(Outcome::HoldFull, now),
            Input::ClientEnded { left_frames: true } => Action::Wait,
            Input::ClientClosed(closed) => self.echo(closed, now),
            Input::ClientSilent => self.dismiss(Outcome::ClientSilent, now),
            Input::ClientEnded { left_frames: false } | Input::ClientLost => self.end(Outcome::ClientGone),
            Input::Deadline => self.overdue(now),
            Input::GateOpen
            | Input::GateShut
            | Input::Faulted(_)
            | Input::Declined(_)
            | Input::Mismatched
            | Input::Connected
            | Input::Unconfirmed(_)
            | Input::Confirmed
            | Input::UpstreamClosed
            | Input::UpstreamLost { .. }
            | Input::Replayed
            | Input::Parting(_)
            | Input::Spliced(_) => Action::Wait,
        }
    }

    fn dialing(&mut self, input: Input, now: Instant) -> Action {
        match input {
            Input::Connected => self.enter(State::Replaying, Action::Join),
            Input::Unconfirmed(patience) => self.listen(patience, now),
            Input::Faulted(fault) => self.faulted(&fault, now),
            Input::Declined(status) => self.declined(status, now),
            Input::Mismatched => self.dismiss(Outcome::BadHandshake, now),
            Input::Draining | Input::CutDue => self.dismiss(Outcome::Drained, now),
            Input::Violated(violation) => self.dismiss(violated(violation), now),
            Input::Stalled => self.dismiss(Outcome::FrameTimeout, now),
            Input::Full => self.dismiss(Outcome::HoldFull, now),
            Input::ClientEnded { left_frames: true } => Action::Wait,
            Input::ClientClosed(closed) => self.echo(closed, now),
            Input::ClientSilent => self.dismiss(Outcome::ClientSilent, now),
            Input::ClientEnded { left_frames: false } | Input::ClientLost => self.end(Outcome::ClientGone),
            Input::GateOpen
            | Input::GateShut
            | Input::NoRoom
            | Input::Turn
            | Input::Confirmed
            | Input::UpstreamClosed
            | Input::UpstreamLost { .. }
            | Input::Replayed
            | Input::Parting(_)
            | Input::Spliced(_)
            | Input::Deadline => Action::Wait,
        }
    }

    /// Replaying and Open: the splice has the streams, and what it reports is all that counts.
    fn joined(&mut self, input: Input) -> Action {
        match input {
            Input::Replayed => self.enter(State::Open, Action::Wait),
            Input::CutDue => self.enter(State::Closing(Outcome::Drained), Action::Cut),
            Input::Parting(outcome) => self.enter(State::Closing(outcome), Action::Wait),
            Input::Spliced(end) => self.end(end.into()),
            Input::ClientLost => self.end(Outcome::ClientGone),
            Input::GateOpen
            | Input::GateShut
            | Input::Draining
            | Input::NoRoom
            | Input::Turn
            | Input::Violated(_)
            | Input::Stalled
            | Input::Full
            | Input::ClientEnded { .. }
            | Input::ClientClosed(_)
            | Input::ClientSilent
            | Input::Faulted(_)
            | Input::Declined(_)
            | Input::Mismatched
            | Input::Connected
            | Input::Unconfirmed(_)
            | Input::Confirmed
            | Input::UpstreamClosed
            | Input::UpstreamLost { .. }
            | Input::Deadline => Action::Wait,
        }
    }

    fn closing(&mut self, outcome: Outcome, input: &Input) -> Action {
        match input {
            Input::Spliced(end) => self.end((*end).into()),
            Input::CutDue => Action::Cut,
            Input::ClientEnded { .. } | Input::ClientLost | Input::Deadline => self.end(outcome),
            Input::GateOpen
            | Input::GateShut
            | Input::Draining
            | Input::NoRoom
            | Input::Turn
            | Input::Violated(_)
            | Input::Stalled
            | Input::Full
            | Input::ClientClosed(_)
            | Input::ClientSilent
            | Input::Faulted(_)
            | Input::Declined(_)
            | Input::Mismatched
            | Input::Connected
            | Input::Unconfirmed(_)
            | Input::Confirmed
            | Input::UpstreamClosed
            | Input::UpstreamLost { .. }
            | Input::Replayed
            | Input::Parting(_) => Action::Wait,
        }
    }

    fn dial(&mut self) -> Action {
        self.attempts = 1;
        self.enter(State::Dialing, Action::Dial)
    }

    fn faulted(&mut self, fault: &Fault, now: Instant) -> Action {
        if !self.holds {
            return self.dismiss(faulty(fault), now);
        }
        match retry::judge(fault, self.attempts) {
            retry::Verdict::Hold if self.overdue => self.dismiss(Outcome::UpstreamUnreachable, now),
            retry::Verdict::Hold => {
                self.refusals += 1;
                self.enter(State::Held, Action::HoldAgain(self.refusals))
            }
            retry::Verdict::Again if now < self.hold_until => {
                self.attempts += 1;
                Action::DialAfter(self.attempts - 1)
            }
            retry::Verdict::Again | retry::Verdict::GiveUp => self.dismiss(faulty(fault), now),
        }
    }

    fn declined(&mut self, status: http::StatusCode, now: Instant) -> Action {
        let outcome = Outcome::UpstreamRefused(status);
        if self.accepted {
            return self.dismiss(outcome, now);
        }
        self.enter(State::Done(outcome), Action::Relay)
    }

    fn overdue(&mut self, now: Instant) -> Action {
        match self.on_timeout {
            OnTimeout::Pass if !self.overdue => {
                self.overdue = true;
                self.dial()
            }
            OnTimeout::Close | OnTimeout::Pass if self.refusals >= TELLING_REFUSALS => {
                self.dismiss(Outcome::UpstreamUnreachable, now)
            }
            OnTimeout::Close | OnTimeout::Pass => self.dismiss(Outcome::HoldTimeout, now),
        }
    }

    fn dismiss(&mut self, outcome: Outcome, now: Instant) -> Action {
        self.closing_until = Some(now + CLOSING_TIME);
        let next = if self.accepted { State::Closing(outcome) } else { State::Done(outcome) };
        self.enter(next, Action::Dismiss(outcome))
    }

    fn echo(&mut self, closed: ClientClose, now: Instant) -> Action {
        self.closing_until = Some(now + CLOSING_TIME);
        self.enter(State::Closing(Outcome::ClientGone), Action::Echo(closed))
    }

    fn end(&mut self, outcome: Outcome) -> Action {
        self.enter(State::Done(outcome), Action::End)
    }

    fn enter(&mut self, state: State, action: Action) -> Action {
        self.state = state;
        action
    }
}

impl State {
    /// Metric label and log field; for an ended session that of its outcome.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Held => "held",
            Self::Dialing => "dialing",
            Self::Confirming => "confirming",
            Self::Replaying => "replaying",
            Self::Open => "open",
            Self::Closing(_) => "closing",
            Self::Done(outcome) => outcome.label(),
        }
    }
}

fn violated(violation: Violation) -> Outcome {
    match violation.code {
        close::INVALID_PAYLOAD => Outcome::InvalidPayload,
        close::TOO_BIG => Outcome::TooBig,
        _ => Outcome::ProtocolError,
    }
}

fn faulty(fault: &Fault) -> Outcome {
    match fault {
        Fault::Dial(error) if error.fault == DialFault::Starved => Outcome::Internal,
        Fault::Dial(_) => Outcome::UpstreamUnreachable,
        Fault::Silent(_) => Outcome::UpstreamTimeout,
        Fault::Handshake(_) => Outcome::BadHandshake,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
