//! What may happen between the upstream's 101 and its confirmation. PURE.

use std::time::Instant;

use super::{CLOSING_TIME, Machine, State, violated};
use crate::{
    config::OnTimeout,
    session::{
        event::{Action, Input, Patience},
        outcome::Outcome,
    },
};

impl Machine {
    pub(super) fn confirming(&mut self, input: Input, now: Instant) -> Action {
        match input {
            Input::Confirmed => self.enter(State::Replaying, Action::Join),
            Input::UpstreamClosed => self.part(now),
            Input::UpstreamLost { between_frames: true } => self.dismiss(Outcome::UpstreamLost, now),
            Input::UpstreamLost { between_frames: false } => self.end(Outcome::UpstreamLost),
            Input::Deadline => self.unconfirmed(now),
            Input::Draining | Input::CutDue => self.dismiss(Outcome::Drained, now),
            Input::NoRoom => self.dismiss(Outcome::TooMany, now),
            Input::Violated(violation) => self.dismiss(violated(violation), now),
            Input::Stalled => self.dismiss(Outcome::FrameTimeout, now),
            Input::Full => self.dismiss(Outcome::HoldFull, now),
            Input::ClientEnded { left_frames: true } => Action::Wait,
            Input::ClientClosed(closed) => self.echo(closed, now),
            Input::ClientSilent => self.dismiss(Outcome::ClientSilent, now),
            Input::ClientEnded { left_frames: false } | Input::ClientLost => self.end(Outcome::ClientGone),
            Input::GateOpen
            | Input::GateShut
            | Input::Turn
            | Input::Faulted(_)
            | Input::Declined(_)
            | Input::Mismatched
            | Input::Connected
            | Input::Unconfirmed(_)
            | Input::Replayed
            | Input::Parting(_)
            | Input::Spliced(_) => Action::Wait,
        }
    }

    pub(super) fn listen(&mut self, patience: Patience, now: Instant) -> Action {
        (self.hold_until, self.on_timeout, self.overdue) = (now + patience.timeout, patience.on_timeout, false);
        self.enter(State::Confirming, Action::Listen)
    }

    fn unconfirmed(&mut self, now: Instant) -> Action {
        match self.on_timeout {
            OnTimeout::Close => self.dismiss(Outcome::ConfirmTimeout, now),
            OnTimeout::Pass => {
                self.overdue = true;
                Action::Waive
            }
        }
    }

    fn part(&mut self, now: Instant) -> Action {
        self.closing_until = Some(now + CLOSING_TIME);
        self.enter(State::Closing(Outcome::Unconfirmed), Action::Part)
    }
}
