//! Figures as people and programs read them.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report(Map<String, Value>);

/// Durations in order.
pub(crate) struct Sample(Vec<Duration>);

impl Report {
    /// Notes a figure and prints it; `name` carries the unit.
    pub(crate) fn note(&mut self, name: &str, value: f64, target: Option<f64>) {
        let verdict = match target {
            Some(target) if value < target => format!("(target < {target}: met)"),
            Some(target) => format!("(target < {target}: MISSED)"),
            None => String::new(),
        };
        println!("{name:<58}{value:>12.3}  {verdict}");
        self.0.insert(name.to_owned(), json!(value));
    }

    /// Notes the p50, p95 and p99 of `sample`, in milliseconds.
    pub(crate) fn spread(&mut self, name: &str, sample: &Sample) {
        for percent in [50, 95, 99] {
            self.note(&format!("{name} p{percent} ms"), sample.millis(percent), None);
        }
    }

    /// One object.
    pub(crate) fn json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

impl Sample {
    /// Orders what was measured, at least one.
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort();
        Self(times)
    }

    /// The mean, in milliseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64() * 1e3 / self.0.len() as f64
    }

    /// The percentile, in milliseconds.
    pub(crate) fn millis(&self, percent: usize) -> f64 {
        self.0[(self.0.len() - 1) * percent / 100].as_secs_f64() * 1e3
    }
}
