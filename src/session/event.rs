//! What can happen to a session, and what is done about it. PURE.

use std::time::Duration;

use super::outcome::Outcome;
use crate::{
    config::OnTimeout,
    splice::flow::End,
    upstream::Fault,
    wire::scan::{ClientClose, Violation},
};

/// What can happen to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The verdict is open.
    GateOpen,
    /// The verdict is shut.
    GateShut,
    /// The process goes down; held sessions end here.
    Draining,
    /// The process goes down; open sessions end here.
    CutDue,
    /// No place in the hold budget, or no descriptors.
    NoRoom,
    /// It is this session's turn to dial.
    Turn,
    /// The client broke RFC 6455 or sent too large a message.
    Violated(Violation),
    /// A frame began and did not end in time.
    Stalled,
    /// The hold is full and the policy is `close`.
    Full,
    /// The client's stream ended; `left_frames`: something of it is held and worth delivering.
    ClientEnded {
        /// Whole or partial data, or a Close.
        left_frames: bool,
    },
    /// The client closed before it sent anything that the backend should see.
    ClientClosed(ClientClose),
    /// The client answers no ping.
    ClientSilent,
    /// The client's connection broke.
    ClientLost,
    /// The dial ended without an answer.
    Faulted(Fault),
    /// The upstream answered with this status instead of 101.
    Declined(http::StatusCode),
    /// The upstream's 101 differs from what the client was told.
    Mismatched,
    /// The upstream's 101 is verified, and nothing else is asked of it.
    Connected,
    /// The upstream's 101 is verified, and it has to confirm.
    Unconfirmed(Patience),
    /// It has, or need not any more.
    Confirmed,
    /// Its Close came first.
    UpstreamClosed,
    /// The end of its stream came first.
    UpstreamLost {
        /// Where a Close may be put to the client.
        between_frames: bool,
    },
    /// All held bytes are with the upstream.
    Replayed,
    /// One of the two streams has ended.
    Parting(Outcome),
    /// Both streams have ended.
    Spliced(End),
    /// The deadline of the present state.
    Deadline,
}

/// How long a confirmation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `gate.confirm.timeout`
    pub timeout: Duration,
    /// `gate.confirm.on_timeout`
    pub on_timeout: OnTimeout,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Nothing.
    Wait,
    /// Take a place in the hold budget, accept early if the policy says so, queue for a turn. Without a place: [`Input::NoRoom`].
    Hold,
    /// Dial.
    Dial,
    /// Dial after the back-off of so many failures.
    DialAfter(u32),
    /// As [`Action::Hold`], after the back-off of so many failures.
    HoldAgain(u32),
    /// Relay the upstream's own answer, then end.
    Relay,
    /// Take a place in the hold budget if there is none yet, relay the 101 if the client has none yet, pass the upstream's
    /// messages on, and keep the client's. Without a place: [`Input::NoRoom`].
    Listen,
    /// The upstream need not confirm any more.
    Waive,
    /// The upstream's Close has been passed on: answer it, and let the client part.
    Part,
    /// Relay the 101 if the client has none yet, and join the streams.
    Join,
    /// Put a Close to both ends and let them part.
    Cut,
    /// Refuse the request, or close the accepted client, for this reason.
    Dismiss(Outcome),
    /// Answer the client's Close.
    Echo(ClientClose),
    /// Drop whatever is left.
    End,
}
