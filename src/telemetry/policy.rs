//! What is counted of sessions that did not simply wait and pass: observed ones, and those that passed degraded.

use prometheus::IntCounterVec;

use super::{family::Families, metrics::Metrics, series::OUTCOMES};

/// What the gate would have done with an observed session.
const WOULD: [&str; 2] = ["hold", "pass"];

/// The families and, for what is known before the first session, their zeros.
#[derive(Debug)]
pub(super) struct Policy {
    observed: IntCounterVec,
    pub(super) degraded: IntCounterVec,
}

impl Policy {
    pub(super) fn new(f: &Families) -> Self {
        let observed =
            "Ended sessions that were not gated but observed, by what the gate would have done and by outcome.";
        let degraded = "Gated sessions that passed while something optional was missing.";
        let observed = f.counters("readygate_observed_total", observed, &["would", "outcome"]);
        for would in WOULD {
            OUTCOMES.iter().for_each(|outcome| drop(observed.with_label_values(&[would, outcome])));
        }
        Self { observed, degraded: f.counters("readygate_sessions_degraded_total", degraded, &["route"]) }
    }

    /// There is such a route.
    pub(super) fn route(&self, route: &str) {
        self.degraded.with_label_values(&[route]);
    }
}

impl Metrics {
    /// An observed session ended as `outcome`; the gate would have held it, or let it pass.
    pub fn session_observed(&self, would: &'static str, outcome: &'static str) {
        self.policy.observed.with_label_values(&[would, outcome]).inc();
    }

    /// A session of `route` passed while something optional was missing.
    pub fn session_degraded(&self, route: &str) {
        self.policy.degraded.with_label_values(&[route]).inc();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_never_was_degraded_shows_a_zero() {
        let metrics = Metrics::new();
        metrics.verdict("/ws", "shut");
        assert!(metrics.render().contains("readygate_sessions_degraded_total{route=\"/ws\"} 0\n"));
        metrics.session_degraded("/ws");
        metrics.session_observed("hold", "completed");
        let text = metrics.render();
        assert!(text.contains("readygate_sessions_degraded_total{route=\"/ws\"} 1\n"), "{text}");
        assert!(text.contains("readygate_observed_total{outcome=\"completed\",would=\"hold\"} 1\n"), "{text}");
    }
}
