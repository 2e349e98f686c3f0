//! Metric families by name and help, each registered in the moment it is made.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};

use super::{process::Process, runtime::Runtime};

/// A registry under construction.
#[derive(Debug)]
pub(super) struct Families(Registry);

impl Families {
    /// No families but those of the process itself (CPU, memory, file descriptors), where the system tells them, and of
    /// the runtime in which this is called.
    pub(super) fn new() -> Self {
        let families = Self(Registry::new());
        if let Some(process) = Process::here() {
            valid(families.0.register(Box::new(valid(process))));
        }
        if let Some(runtime) = Runtime::here() {
            valid(families.0.register(Box::new(valid(runtime))));
        }
        families
    }

    /// The finished registry.
    pub(super) fn into_registry(self) -> Registry {
        self.0
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(valid(IntCounter::new(name, help)))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(valid(IntGauge::new(name, help)))
    }

    /// Of seconds, which are no whole numbers.
    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(valid(Gauge::new(name, help)))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(valid(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(valid(IntCounterVec::new(Opts::new(name, help), labels)))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(valid(IntGaugeVec::new(Opts::new(name, help), labels)))
    }

    /// Of seconds, which are no whole numbers.
    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(valid(GaugeVec::new(Opts::new(name, help), labels)))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.register(valid(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)))
    }

    fn register<C: Collector + Clone + 'static>(&self, family: C) -> C {
        valid(self.0.register(Box::new(family.clone())));
        family
    }
}

#[expect(clippy::expect_used, reason = "names, labels and buckets are constants, and every test makes them all")]
fn valid<T>(family: prometheus::Result<T>) -> T {
    family.expect("metric families have valid and distinct names")
}
