//! What an accepted client has to take before its session is joined: control frames of readygate's own and, while the
//! upstream has to confirm, the upstream's bytes. PURE.
//!
//! The upstream's frames are never cut: a frame of ours waits for the end of the one under way, and has no place behind
//! the upstream's Close.

use crate::wire::boundary::Boundary;

/// Memory kept while there is nothing to take. What the upstream says in one piece is given back.
const KEEP_UNSENT: usize = 1 << 10;

/// In the order in which the client takes it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    unsent: Vec<u8>,
    /// Bytes of ours among those put in since it was last empty.
    own: usize,
    /// Boxed, for most sessions have none.
    relay: Option<Box<Relay>>,
}

/// The upstream's stream on its way through.
#[derive(Debug, Default)]
struct Relay {
    /// Follows what was put in.
    passed: Boundary,
    /// Frames of ours, until the frame under way ends.
    waiting: Vec<u8>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Passing,
    /// Ends with the frames of ours that wait.
    Ending,
    /// Nothing more goes in.
    Over,
}

impl Outbox {
    /// From here on the upstream's bytes pass.
    pub(super) fn open_relay(&mut self) {
        self.relay = Some(Box::default());
    }

    /// Puts whole frames of ours in, as soon as they may stand there.
    pub(super) fn say(&mut self, frames: &[u8]) {
        match &mut self.relay {
            Some(relay) if relay.passed.has_closed() || relay.phase != Phase::Passing => return,
            Some(relay) if !relay.passed.is_between_frames() => relay.waiting.extend(frames),
            Some(_) | None => self.unsent.extend(frames),
        }
        self.own += frames.len();
    }

    /// Puts a last frame of ours in; nothing follows it.
    pub(super) fn end(&mut self, frame: &[u8]) {
        self.say(frame);
        if let Some(relay) = &mut self.relay {
            relay.phase = if relay.waiting.is_empty() { Phase::Over } else { Phase::Ending };
        }
    }

    /// Puts bytes of the upstream in.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let Some(relay) = self.relay.as_mut().filter(|relay| relay.phase != Phase::Over) else { return };
        let rest = if relay.waiting.is_empty() {
            bytes
        } else {
            let (frame, rest) = bytes.split_at(relay.passed.finish_frame(bytes));
            self.unsent.extend(frame);
            self.unsent.extend(relay.take_waiting());
            rest
        };
        if relay.phase != Phase::Over {
            relay.passed.advance(rest);
            self.unsent.extend(rest);
        }
    }

    /// How many of the upstream's next bytes lead to a place between two frames, or all of them.
    pub(super) fn until_boundary(&self, bytes: &[u8]) -> usize {
        self.relay.as_ref().map_or(0, |relay| relay.passed.clone().finish_frame(bytes))
    }

    /// What was put in ends between two frames of the upstream.
    pub(super) fn is_between_frames(&self) -> bool {
        self.relay.as_ref().is_none_or(|relay| relay.passed.is_between_frames())
    }

    /// The upstream's Close has been put in.
    pub(super) fn has_closed(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.passed.has_closed())
    }

    /// What the upstream sends is no stream of frames.
    pub(super) fn is_lost(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.passed.is_lost())
    }

    /// A frame of ours waits for the end of the upstream's.
    pub(super) fn is_waiting(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| !relay.waiting.is_empty())
    }

    /// What the client has to take at this moment.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// Bytes of ours that the client may not have taken.
    pub(super) fn own(&self) -> usize {
        self.own
    }

    /// The client has taken so many bytes.
    pub(super) fn took(&mut self, count: usize) {
        self.unsent.drain(..count);
        if self.unsent.is_empty() {
            self.own = self.relay.as_ref().map_or(0, |relay| relay.waiting.len());
            self.unsent.shrink_to(KEEP_UNSENT);
        }
    }

    /// The client takes nothing more.
    pub(super) fn discard(&mut self) {
        (self.unsent, self.own) = (Vec::new(), 0);
        if let Some(relay) = &mut self.relay {
            (relay.waiting, relay.phase) = (Vec::new(), Phase::Over);
        }
    }

    /// What is left, which ends between two frames unless the upstream's does not.
    pub(super) fn into_unsent(self) -> Vec<u8> {
        self.unsent
    }
}

impl Relay {
    /// The frames that may go in at this place.
    fn take_waiting(&mut self) -> Vec<u8> {
        if !self.passed.is_between_frames() {
            return Vec::new();
        }
        if self.phase == Phase::Ending {
            self.phase = Phase::Over;
        }
        let waiting = std::mem::take(&mut self.waiting);
        if self.passed.has_closed() { Vec::new() } else { waiting }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::wire::{
        close::{self, control},
        header::Opcode,
    };

    fn frame(payload: &[u8]) -> Vec<u8> {
        control(Opcode::Text, payload, None)
    }

    fn relaying() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.open_relay();
        outbox
    }

    #[test]
    fn a_frame_of_ours_waits_for_the_end_of_the_upstreams_frame_wherever_that_is_cut() {
        let (first, second, pong) = (frame(b"first"), frame(b""), control(Opcode::Pong, b"x", None));
        let stream = [first.clone(), second.clone()].concat();
        for cut in 0..=stream.len() {
            let mut outbox = relaying();
            outbox.pass(&stream[..cut]);
            outbox.say(&pong);
            outbox.pass(&stream[cut..]);
            let at = [0, first.len(), stream.len()].into_iter().find(|end| *end >= cut).unwrap();
            assert_eq!(outbox.unsent(), [&stream[..at], &pong, &stream[at..]].concat(), "cut at {cut}");
        }
    }

    #[test]
    fn nothing_follows_a_close_of_either_side() {
        let (ours, theirs) = (close::frame(1013, "late"), close::frame(4000, ""));
        let mut outbox = relaying();
        outbox.pass(&frame(b"whole")[..3]);
        outbox.end(&ours);
        outbox.pass(&[&frame(b"whole")[3..], &theirs, &frame(b"more")].concat());
        outbox.pass(&frame(b"more"));
        assert_eq!(outbox.unsent(), [frame(b"whole"), ours.clone()].concat());

        let mut outbox = relaying();
        outbox.pass(&theirs[..2]);
        outbox.end(&ours);
        outbox.pass(&theirs[2..]);
        outbox.say(&ours);
        assert_eq!((outbox.unsent(), outbox.has_closed(), outbox.is_waiting()), (theirs.as_slice(), true, false));
    }

    #[test]
    fn what_waits_is_counted_as_ours_until_it_is_taken() {
        let mut outbox = relaying();
        outbox.pass(&frame(b"a")[..1]);
        outbox.say(&[0x8a, 0]);
        outbox.took(1);
        assert_eq!((outbox.own(), outbox.unsent().len(), outbox.is_waiting()), (2, 0, true));
        outbox.pass(&frame(b"a")[1..]);
        outbox.took(4);
        assert_eq!((outbox.own(), outbox.unsent().len(), outbox.is_waiting()), (0, 0, false));
    }

    #[test]
    fn a_client_that_takes_nothing_more_is_told_nothing_more() {
        let mut outbox = relaying();
        outbox.pass(&frame(b"a"));
        outbox.discard();
        outbox.pass(&frame(b"b"));
        outbox.say(&[0x8a, 0]);
        assert_eq!(outbox.into_unsent(), [0_u8; 0]);
    }

    #[test]
    fn without_an_upstream_frames_of_ours_follow_one_another() {
        let mut outbox = Outbox::default();
        outbox.say(&[0x8a, 0]);
        outbox.end(&[0x88, 0]);
        assert_eq!((outbox.unsent(), outbox.own()), ([0x8a, 0, 0x88, 0].as_slice(), 4));
    }
}
