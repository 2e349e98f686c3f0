//! Sessions for which the gate does not count: they dial at once, and of the observed ones it is recorded what would have
//! been, and what became of it.

use tokio::time::Instant;
use tracing::Level;

use super::{
    ClientStream,
    books::Books,
    drive::{Drive, blockers},
    event::Input,
    gating::{Gating, Would},
    outcome::Outcome,
};
use crate::{
    gate::Verdict,
    telemetry::{floods::WOULD_BE_HELD, trace::Trace},
    upstream::{Fault, Upstream, retry},
};

/// Why a session is refused that could be neither released nor dialed.
const NO_SEAT: &str = "no file descriptors are left for one more client";

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// What the first verdict means for this session, if there are descriptors for it.
    pub(super) fn arrive(&mut self, verdict: &Verdict) -> Input {
        if !self.arrived.place.is_seat() {
            NO_SEAT.clone_into(&mut self.books.reason);
            return Input::NoRoom;
        }
        self.books.reason = blockers(verdict);
        match (verdict, self.books.gating) {
            (Verdict::Draining, _) => Input::Draining,
            (Verdict::Open | Verdict::Degraded { .. }, _) => Input::GateOpen,
            (Verdict::Shut { .. }, Gating::Enforced) => Input::GateShut,
            (Verdict::Shut { .. }, Gating::Observed) => {
                self.would_be_held();
                Input::GateOpen
            }
            (Verdict::Shut { .. }, Gating::Off) => {
                self.books.reason.clear();
                Input::GateOpen
            }
        }
    }

    /// A dial failed. Where nothing listens, the gate is told as by any session, for its view is everybody's.
    pub(super) fn missed(&mut self, fault: &Fault) {
        let nothing_listens = retry::judge(fault, 1) == retry::Verdict::Hold;
        if self.books.gating.holds() || !nothing_listens {
            return;
        }
        self.books.house.gate.dial_refused();
        if self.books.gating == Gating::Observed {
            self.would_be_held();
        }
    }

    fn would_be_held(&mut self) {
        if self.books.would == Would::Hold {
            return;
        }
        self.books.would = Would::Hold;
        let route = self.route().path.as_str();
        let books = &self.books;
        if books.house.floods.admits(WOULD_BE_HELD, Level::INFO, Instant::now().into_std()) {
            let line =
                || tracing::info!(session = books.seq, route, blockers = books.reason, "session would have been held");
            Trace::span(books.trace(), None).in_scope(line);
        }
        self.books.reason.insert_str(0, "would have been held: ");
    }
}

impl<U> Books<U> {
    /// Counts what became of an observed session.
    pub(super) fn count_observed(&self, outcome: Outcome) {
        if self.gating == Gating::Observed {
            self.house.metrics.session_observed(self.would.label(), outcome.label());
        }
    }
}
