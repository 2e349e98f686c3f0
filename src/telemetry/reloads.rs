//! What is counted of reloads, and how the series of what a reload removed vanish.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntGauge};

use super::{
    family::Families,
    metrics::Metrics,
    series::{CLASSES, FORCED, VERDICTS},
};

/// What a look at the file can come to, as a label.
const RESULTS: [&str; 3] = ["changed", "unchanged", "refused"];

#[derive(Debug)]
pub(super) struct Reloads {
    successful: IntGauge,
    succeeded_at: IntGauge,
    restart_needed: IntGauge,
    results: [(&'static str, IntCounter); RESULTS.len()],
}

impl Reloads {
    /// The start counts as a success: a process runs only on a configuration that was read.
    pub(super) fn new(f: &Families) -> Self {
        let successful = "Whether the configuration last read was taken (1) or refused (0).";
        let succeeded_at = "When a configuration last came into force, in seconds since 1970.";
        let restart_needed = "Whether the file has values that wait for a restart (1) or not (0).";
        let results = "Changed files and requests to look at the file, by what came of them.";
        let results = f.counters("readygate_config_reloads_total", results, &["result"]);
        let reloads = Self {
            successful: f.gauge("readygate_config_last_reload_successful", successful),
            succeeded_at: f.gauge("readygate_config_last_reload_success_timestamp_seconds", succeeded_at),
            restart_needed: f.gauge("readygate_config_restart_needed", restart_needed),
            results: RESULTS.map(|result| (result, results.with_label_values(&[result]))),
        };
        reloads.successful.set(1);
        reloads.succeeded_at.set(seconds(SystemTime::now()));
        reloads
    }
}

impl Metrics {
    /// What a look at the file came to.
    pub fn config_looked_at(&self, result: &str) {
        let counter = self.reloads.results.iter().find(|(name, _)| *name == result);
        counter.into_iter().for_each(|(_, counter)| counter.inc());
    }

    /// A configuration came into force at `at`, and something in it waits for a restart or not.
    pub fn config_taken(&self, at: SystemTime, restart_needed: bool) {
        self.reloads.succeeded_at.set(seconds(at));
        self.reloads.restart_needed.set(i64::from(restart_needed));
    }

    /// The file, as it is, can be used or not.
    pub fn config_usable(&self, usable: bool) {
        self.reloads.successful.set(i64::from(usable));
    }

    /// There is no such route any more.
    pub fn forget_route(&self, route: &str) {
        // Gone already is as good, here and below.
        for verdict in VERDICTS {
            let _ = self.gates.verdicts.remove_label_values(&[route, verdict]);
        }
        for forced in FORCED {
            let _ = self.gates.forced.remove_label_values(&[route, forced]);
        }
        let _ = self.policy.degraded.remove_label_values(&[route]);
    }

    /// The route does not need this check any more, or is gone.
    pub fn forget_need(&self, route: &str, check: &str) {
        // Gone already is as good.
        let _ = self.gates.blockers.remove_label_values(&[route, check]);
        let _ = self.gates.missing.remove_label_values(&[route, check]);
    }

    /// A check is of another kind, or gone.
    pub fn forget_kind(&self, check: &str, kind: &str) {
        let _ = self.checks.up.remove_label_values(&[check, kind]);
    }

    /// There is no such check any more.
    pub fn forget_check(&self, check: &str) {
        let _ = self.checks.duration.remove_label_values(&[check]);
        let _ = self.checks.timeout.remove_label_values(&[check]);
        let _ = self.checks.breaker_open.remove_label_values(&[check]);
        let _ = self.checks.breaker_opened.remove_label_values(&[check]);
        let _ = self.checks.changes.remove_label_values(&[check]);
        let _ = self.checks.void.remove_label_values(&[check]);
        for class in CLASSES {
            let _ = self.checks.failures.remove_label_values(&[check, class]);
        }
    }
}

fn seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reloads_are_counted_by_what_came_of_them_and_stand_at_zero_from_the_start() {
        let metrics = Metrics::new();
        let text = metrics.render();
        for result in RESULTS {
            assert!(text.contains(&format!("readygate_config_reloads_total{{result=\"{result}\"}} 0\n")), "{text}");
        }
        assert!(text.contains("readygate_config_last_reload_successful 1\n"), "{text}");
        assert!(!text.contains("readygate_config_last_reload_success_timestamp_seconds 0\n"), "{text}");
        metrics.config_looked_at("refused");
        metrics.config_usable(false);
        metrics.config_taken(UNIX_EPOCH + Duration::from_secs(7), true);
        let text = metrics.render();
        for line in [
            "readygate_config_reloads_total{result=\"refused\"} 1\n",
            "readygate_config_last_reload_successful 0\n",
            "readygate_config_last_reload_success_timestamp_seconds 7\n",
            "readygate_config_restart_needed 1\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[test]
    fn what_is_forgotten_has_no_series() {
        let metrics = Metrics::new();
        let took = Duration::from_millis(1);
        for name in ["cache", "llm"] {
            metrics.verdict(name, "open");
            metrics.forced(name, Some("open"));
            metrics.route_needs(name, name, true, false);
            metrics.check_changed(name);
            metrics.check_paced(name, took, true);
            metrics.checked(name, "redis", false, took, Some("auth"));
        }
        metrics.forget_route("cache");
        metrics.forget_need("cache", "cache");
        metrics.forget_kind("cache", "redis");
        metrics.forget_check("cache");
        metrics.forget_check("cache");
        let text = metrics.render();
        assert!(!text.contains("cache") && text.contains("route=\"llm\"") && text.contains("check=\"llm\""), "{text}");
    }
}
