//! Sessions for which the gate does not count: they dial at once, and of the observed ones it is recorded what would have
//! been, and what became of it.

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
    upstream::{Fault, Upstream, retry},
};

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// What the first verdict means for this session.
    pub(super) fn arrive(&mut self, verdict: &Verdict) -> Input {
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
        tracing::info!(session = self.books.seq, route, blockers = self.books.reason, "session would have been held");
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
