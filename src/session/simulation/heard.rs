//! What must have arrived where nothing went wrong: all that the upstream said, and the end of the client's side.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    backend::{Dialed, Manner, Reaction},
    client,
    line::Ending,
    scene::{Scene, Session},
};
use crate::session::outcome::Outcome;

/// A client that is told at the cut, and whose 101 is still on its way, has the time of any other; the process does not
/// wait for it.
const CLOSING: Duration = Duration::from_secs(2);

impl Scene {
    /// The drain may have cut this session.
    pub(super) fn is_cut(&self, session: &Session) -> bool {
        self.drained_at.is_some_and(|began| session.ended >= began + self.house.drain.time_to_last_call())
    }

    /// For how long the CPU stood still after `moment`.
    fn stopped_since(&self, moment: Instant) -> Duration {
        self.stops.iter().map(|stop| stop.to.saturating_duration_since(stop.from.max(moment))).sum()
    }
}

/// `relayed`: so much of the upstream's stream reached the client.
pub(super) fn session(session: &Session, outcome: Outcome, dialed: Option<&Dialed>, relayed: usize, scene: &Scene) {
    if let Some(began) = scene.drained_at {
        let most = scene.house.drain.timeout() + CLOSING + scene.stopped_since(began);
        assert!(session.ended <= began + most, "a session outlives the drain");
    }
    let Some(Dialed { reaction: Reaction::Joins(manner), line: Some(line), .. }) = dialed else { return };
    let (upstream, client) = (line.log(), session.line.log());
    let is_orderly = upstream.ending != Some(Ending::Reset) && client.ending != Some(Ending::Reset);
    let both_listen = client.window == usize::MAX && upstream.window == usize::MAX;
    if !is_orderly || !both_listen || scene.is_cut(session) || upstream.confirmation.is_some() {
        return;
    }
    let listens_to_the_end = session.plan.manner != client::Manner::Dumb;
    let says_all = matches!(manner, Manner::Healthy | Manner::LastWord | Manner::ClosesFirst);
    let has_parted = matches!(outcome, Outcome::Completed | Outcome::ClientGone);
    if says_all && has_parted && listens_to_the_end {
        assert_eq!(relayed, upstream.sent.len(), "the client did not hear all of its upstream");
    }
    if *manner == Manner::ClosesFirst && outcome == Outcome::Completed && upstream.ending == Some(Ending::Eof) {
        assert!(client.shut_in_order, "the client did not hear the end of its upstream");
    }
    let has_ended = client.ending == Some(Ending::Eof);
    if matches!(manner, Manner::Healthy | Manner::LastWord) && has_parted && has_ended {
        assert!(upstream.shut_in_order, "the upstream did not hear the end of its client");
    }
}
