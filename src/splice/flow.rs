//! How two joined streams part. PURE.
//!
//! Either end may stop first, in order (a Close, then the end of its stream) or not. The other direction goes on
//! until it ends too, or until the linger is over. An upstream that is lost without a Close leaves a client that must
//! be told; a drain tells both.

/// Where the two streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Both directions pass.
    Flowing,
    /// The client's stream ended first.
    ClientEnded,
    /// The upstream's stream ended first, after its Close.
    UpstreamEnded,
    /// The upstream's stream ended without a Close.
    UpstreamLost,
    /// readygate has put a Close to both ends.
    Cut,
}

/// What can happen to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The client sends no more (end of stream, or a reset).
    ClientEnded,
    /// The upstream sends no more.
    UpstreamEnded {
        /// Its Close frame had passed.
        closed: bool,
        /// What it sent ends between two frames.
        between_frames: bool,
        /// It had taken all that the client sent.
        complete: bool,
    },
    /// The drain's deadline has come.
    CutDue,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Nothing.
    Wait,
    /// The client's end of stream goes to the upstream.
    ShutUpstream,
    /// The upstream's end of stream goes to the client.
    ShutClient,
    /// The client is told 1012, then its stream ends.
    CloseClient,
    /// Both are told 1012 where they stand between frames, then both streams end.
    CloseBoth,
    /// Nothing may be put inside a frame: the connections are dropped.
    Abort,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A Close had passed before the streams ended.
    Completed,
    /// The client went without a Close.
    ClientGone,
    /// The upstream went without a Close.
    UpstreamLost,
    /// readygate drained.
    Drained,
}

impl Phase {
    /// The phase after `input`, and what to do.
    pub fn handle(self, input: Input) -> (Self, Step) {
        match (self, input) {
            (Self::Flowing, Input::ClientEnded) => (Self::ClientEnded, Step::ShutUpstream),
            (Self::Flowing, Input::UpstreamEnded { closed: true, .. }) => (Self::UpstreamEnded, Step::ShutClient),
            (Self::Flowing, Input::UpstreamEnded { closed: false, between_frames, .. })
            | (Self::ClientEnded, Input::UpstreamEnded { closed: false, between_frames, complete: false }) => {
                (Self::UpstreamLost, if between_frames { Step::CloseClient } else { Step::Abort })
            }
            (Self::Flowing | Self::ClientEnded | Self::UpstreamEnded | Self::UpstreamLost, Input::CutDue) => {
                (Self::Cut, Step::CloseBoth)
            }
            (
                Self::ClientEnded,
                Input::UpstreamEnded { closed: true, .. } | Input::UpstreamEnded { complete: true, .. },
            ) => (self, Step::ShutClient),
            (Self::UpstreamEnded | Self::UpstreamLost, Input::ClientEnded) => (self, Step::ShutUpstream),
            (Self::ClientEnded | Self::Cut, Input::ClientEnded)
            | (Self::UpstreamEnded | Self::UpstreamLost | Self::Cut, Input::UpstreamEnded { .. })
            | (Self::Cut, Input::CutDue) => (self, Step::Wait),
        }
    }

    /// How it went, once both streams have ended or the linger is over. `closed`: a Close has passed either way.
    #[must_use]
    pub fn end(self, closed: bool) -> End {
        match self {
            Self::Cut => End::Drained,
            Self::UpstreamLost => End::UpstreamLost,
            Self::UpstreamEnded => End::Completed,
            Self::Flowing | Self::ClientEnded if closed => End::Completed,
            Self::Flowing | Self::ClientEnded => End::ClientGone,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const LOST: Input = Input::UpstreamEnded { closed: false, between_frames: true, complete: true };

    #[test]
    fn the_first_end_never_cuts_the_other_direction() {
        assert_eq!(Phase::Flowing.handle(Input::ClientEnded), (Phase::ClientEnded, Step::ShutUpstream));
        let closed = Input::UpstreamEnded { closed: true, between_frames: true, complete: true };
        assert_eq!(Phase::Flowing.handle(closed), (Phase::UpstreamEnded, Step::ShutClient));
    }

    #[test]
    fn a_client_whose_upstream_is_lost_is_told_unless_a_frame_is_cut_in_half() {
        assert_eq!(Phase::Flowing.handle(LOST), (Phase::UpstreamLost, Step::CloseClient));
        let inside = Input::UpstreamEnded { closed: false, between_frames: false, complete: true };
        assert_eq!(Phase::Flowing.handle(inside), (Phase::UpstreamLost, Step::Abort));
    }

    #[test]
    fn an_upstream_that_ends_after_its_client_has_lost_nobody() {
        let (phase, step) = Phase::ClientEnded.handle(LOST);
        assert_eq!((phase, step, phase.end(false)), (Phase::ClientEnded, Step::ShutClient, End::ClientGone));
    }

    #[test]
    fn a_client_that_ended_is_told_when_the_upstream_goes_without_having_taken_all() {
        let lost = Input::UpstreamEnded { closed: false, between_frames: true, complete: false };
        let (phase, step) = Phase::ClientEnded.handle(lost);
        assert_eq!((phase, step, phase.end(true)), (Phase::UpstreamLost, Step::CloseClient, End::UpstreamLost));
    }

    #[test]
    fn a_cut_tells_both_in_every_phase_and_only_once() {
        for phase in [Phase::Flowing, Phase::ClientEnded, Phase::UpstreamEnded, Phase::UpstreamLost] {
            assert_eq!(phase.handle(Input::CutDue), (Phase::Cut, Step::CloseBoth));
        }
        assert_eq!(Phase::Cut.handle(Input::CutDue), (Phase::Cut, Step::Wait));
    }

    #[test]
    fn whatever_happens_second_the_end_keeps_its_first_cause() {
        for input in [Input::ClientEnded, LOST] {
            for phase in [Phase::ClientEnded, Phase::UpstreamEnded, Phase::UpstreamLost, Phase::Cut] {
                assert_eq!(phase.handle(input).0, phase);
            }
        }
    }
}
