//! When a dial may be tried again. PURE.
//!
//! Only while nothing has been sent: a handshake request that went out may have been acted upon, and twice is as
//! wrong as never.

use super::Fault;
use crate::dial::DialFault;

/// Dials of one release before the upstream is called unreachable. With the default back-off (10 ms to 1 s, full
/// jitter) and a name or a route that does not answer, that is at most ten `connect_timeout`s.
pub const ATTEMPTS: u32 = 10;

/// What follows a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing listens: the gate was wrong, so the session waits for it again.
    Hold,
    /// After a pause. While readygate itself is short of descriptors that is for as long as the session may take: it
    /// is no fault of the upstream, and ends when other sessions do.
    Again,
    /// Not at all.
    GiveUp,
}

/// Judges the fault of dial number `attempt` (1 for the first).
pub fn judge(fault: &Fault, attempt: u32) -> Verdict {
    match fault {
        Fault::Dial(error) => judge_dial(error.fault, attempt),
        Fault::Silent(_) | Fault::Handshake(_) => Verdict::GiveUp,
    }
}

fn judge_dial(fault: DialFault, attempt: u32) -> Verdict {
    match fault {
        DialFault::Refused => Verdict::Hold,
        DialFault::Starved => Verdict::Again,
        DialFault::Tls => Verdict::GiveUp,
        DialFault::Timeout | DialFault::Dns | DialFault::Unreachable(_) if attempt < ATTEMPTS => Verdict::Again,
        DialFault::Timeout | DialFault::Dns | DialFault::Unreachable(_) => Verdict::GiveUp,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::{io::ErrorKind, time::Duration};

    #[test]
    fn a_refused_dial_holds_however_often() {
        assert_eq!(judge_dial(DialFault::Refused, 1_000), Verdict::Hold);
    }

    #[test]
    fn a_dial_that_sent_nothing_is_tried_again_a_bounded_number_of_times() {
        for fault in [DialFault::Timeout, DialFault::Dns, DialFault::Unreachable(ErrorKind::NetworkUnreachable)] {
            assert_eq!(judge_dial(fault, ATTEMPTS - 1), Verdict::Again);
            assert_eq!(judge_dial(fault, ATTEMPTS), Verdict::GiveUp);
        }
    }

    #[test]
    fn a_shortage_of_our_own_never_ends_the_attempts() {
        assert_eq!(judge_dial(DialFault::Starved, 1_000), Verdict::Again);
    }

    #[test]
    fn once_the_request_is_out_there_is_no_second_dial() {
        assert_eq!(judge(&Fault::Silent(Duration::from_secs(1)), 1), Verdict::GiveUp);
        assert_eq!(judge(&Fault::Handshake("cut short".to_owned()), 1), Verdict::GiveUp);
    }
}
