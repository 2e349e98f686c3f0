//! The sums that people are shown, read back from the counters.

use std::collections::BTreeMap;

use prometheus::core::Collector;

use super::Metrics;

/// What all ended sessions add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Data frames taken from clients before their sessions were open.
    pub received: u64,
    /// Those that the upstream took.
    pub delivered: u64,
    /// Those that were left, and the client told so.
    pub refused: u64,
    /// Sessions whose ledger did not balance.
    pub imbalances: u64,
    /// Sessions by outcome; an outcome that never was is missing.
    pub outcomes: BTreeMap<String, u64>,
}

impl Metrics {
    /// The sums so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            received: self.frames.received.get(),
            delivered: self.frames.delivered.get(),
            refused: self.frames.refused.get(),
            imbalances: self.imbalances.get(),
            outcomes: by_label(&self.endings.outcomes),
        }
    }
}

/// The counters of a family with one label, without those that are zero.
fn by_label(family: &impl Collector) -> BTreeMap<String, u64> {
    let families = family.collect();
    let counters = families.iter().flat_map(|family| family.get_metric());
    let counted = counters.filter_map(|metric| {
        let (label, count) = (metric.get_label().first()?, metric.get_counter().get_value() as u64);
        (count > 0).then(|| (label.value().to_owned(), count))
    });
    counted.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Fate;

    #[test]
    fn the_sums_are_those_of_the_counters() {
        let metrics = Metrics::new();
        metrics.frames(Fate::Received, 5);
        metrics.frames(Fate::Delivered, 3);
        metrics.frames(Fate::Refused, 2);
        metrics.ledger_imbalance();
        for outcome in ["completed", "drained", "completed"] {
            metrics.session_done(outcome);
        }
        let outcomes = [("completed".to_owned(), 2), ("drained".to_owned(), 1)].into();
        let expected = Figures { received: 5, delivered: 3, refused: 2, imbalances: 1, outcomes };
        assert_eq!(metrics.figures(), expected);
    }
}
