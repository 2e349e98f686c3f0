//! Figures of the tokio runtime, read at each scrape.

use prometheus::{
    Counter, IntGauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::runtime::{Handle, RuntimeMetrics};

/// What one runtime does, as its own counters say.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    handle: Handle,
    workers: IntGauge,
    tasks: IntGauge,
    queued: IntGauge,
    busy: Counter,
}

impl Runtime {
    /// The runtime in which this is called; none outside of one, as in a test of the metrics alone.
    pub(super) fn here() -> Option<prometheus::Result<Self>> {
        Handle::try_current().ok().map(Self::new)
    }

    fn new(handle: Handle) -> prometheus::Result<Self> {
        Ok(Self {
            handle,
            workers: IntGauge::new("readygate_runtime_workers", "Threads that run tasks.")?,
            tasks: IntGauge::new("readygate_runtime_tasks", "Living tasks: connections, sessions, checks.")?,
            queued: IntGauge::new("readygate_runtime_queued_tasks", "Tasks in the queue that all workers share.")?,
            busy: busy()?,
        })
    }
}

impl Collector for Runtime {
    fn desc(&self) -> Vec<&Desc> {
        [self.workers.desc(), self.tasks.desc(), self.queued.desc(), self.busy.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics = self.handle.metrics();
        self.workers.set(whole(metrics.num_workers()));
        self.tasks.set(whole(metrics.num_alive_tasks()));
        self.queued.set(whole(metrics.global_queue_depth()));
        let mut families = [self.workers.collect(), self.tasks.collect(), self.queued.collect()].concat();
        // A counter cannot be set, so each scrape has one of its own, which begins at zero.
        if let Ok(busy) = busy() {
            busy.inc_by(busy_seconds(&metrics));
            families.extend(busy.collect());
        }
        families
    }
}

fn busy() -> prometheus::Result<Counter> {
    Counter::with_opts(Opts::new(
        "readygate_runtime_busy_seconds_total",
        "Time that workers spent on tasks, all together.",
    ))
}

fn busy_seconds(metrics: &RuntimeMetrics) -> f64 {
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64()).sum()
}

fn whole(amount: usize) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
