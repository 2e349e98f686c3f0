//! Which notices a session's client gets, and when: held right after its early accept, degraded or ready when it is joined and
//! before the backend's first byte, closing before a Close of readygate's own. Only with `features.client_notices`, and
//! never to a client for which the gate does not count.

use tokio::time::Instant;

use super::{
    ClientStream,
    drive::Drive,
    notice::{Facts, Kind},
    outcome::Farewell,
};
use crate::{gate::Verdict, upstream::Upstream};

/// The first start is not over.
const STARTING: &str = "a service is starting";
/// It was open before.
const UNAVAILABLE: &str = "a service is unavailable";
/// Passed with something missing.
const DEGRADED: &str = "some services are unavailable";
/// Passed with all there.
const READY: &str = "all services are ready";

/// How a session passes, as far as its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// All is there.
    Whole,
    /// Something is missing.
    Lacking,
}

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// To a client that has just been accepted.
    pub(super) fn held_notice(&self) -> Vec<u8> {
        let (now, opened) = (Instant::now(), self.lane.opened_at());
        let reason = if opened.is_none() { STARTING } else { UNAVAILABLE };
        self.notice(Facts { estimate: self.lane.estimate(now), ..self.facts(Kind::Held, reason) })
    }

    /// What a client is told that passes under `verdict`. One that did not wait and misses nothing is told nothing: with the
    /// gate open, readygate is invisible.
    pub(super) fn passing_under(&self, verdict: &Verdict) -> Option<Passing> {
        match verdict {
            Verdict::Degraded { .. } => Some(Passing::Lacking),
            Verdict::Open | Verdict::Shut { .. } | Verdict::Draining if !self.was_held => None,
            Verdict::Open => Some(Passing::Whole),
            Verdict::Shut { .. } | Verdict::Draining => Some(Passing::Lacking),
        }
    }

    /// To a client that is being joined.
    pub(super) fn passing_notice(&self) -> Vec<u8> {
        match self.passing {
            Some(Passing::Whole) => self.notice(self.facts(Kind::Ready, READY)),
            Some(Passing::Lacking) => self.notice(self.facts(Kind::Degraded, DEGRADED)),
            None => Vec::new(),
        }
    }

    /// To a client that is about to be closed.
    pub(super) fn closing_notice(&self, farewell: &Farewell) -> Vec<u8> {
        let facts = self.facts(Kind::Closing, farewell.reason);
        self.notice(Facts { retry_after: farewell.retry_after(), ..facts })
    }

    fn facts(&self, kind: Kind, reason: &'static str) -> Facts {
        let waited = Instant::now().into_std().saturating_duration_since(self.arrived.at);
        Facts { kind, reason, waited, estimate: None, retry_after: None }
    }

    fn notice(&self, facts: Facts) -> Vec<u8> {
        match self.books.house.config.features.client_notices && self.books.gating.holds() {
            true => facts.frame(&self.books.house.config.notices),
            false => Vec::new(),
        }
    }
}
