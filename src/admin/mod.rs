//! The private port: probes for the platform, metrics for Prometheus, answers for people in a hurry.
//!
//! `GET /startupz` (the public port is bound), `/livez` (the workers turn: a runtime that hangs answers nothing),
//! `/readyz` (neither draining nor out of hold budget), `/gate` (200 while open, else 503 with the blockers),
//! `/metrics`, `/status`, `/sessions` (`?state=held&limit=10`) and `/sessions/{id}` (the timeline of one); `/` shows them
//! to people, and `/events` keeps that page up to date.

mod events;
mod page;
mod routes;
mod server;
mod status;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Semaphore;

pub use self::server::serve;
use crate::{
    config::Config, gate::Gate, hold::budget::Budget, session::registry::Registry, telemetry::metrics::Metrics,
};

/// All that the admin port may look at.
#[derive(Debug)]
pub struct View {
    gate: Gate,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    budget: Arc<Budget>,
    config: Arc<Config>,
    bound: AtomicBool,
    started: Instant,
    /// Places for listeners.
    listeners: Arc<Semaphore>,
}

impl View {
    /// A view of a process that `started` with `config` and has not bound its public port yet.
    #[must_use]
    pub fn new(
        gate: Gate,
        metrics: Arc<Metrics>,
        registry: Arc<Registry>,
        budget: Arc<Budget>,
        config: Arc<Config>,
        started: Instant,
    ) -> Arc<Self> {
        let (bound, listeners) = (AtomicBool::new(false), Arc::new(Semaphore::new(events::MAX_LISTENERS)));
        Arc::new(Self { gate, metrics, registry, budget, config, bound, started, listeners })
    }

    /// The public port is bound: from here on the process has started.
    pub fn set_bound(&self) {
        self.bound.store(true, Ordering::Release);
    }

    fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
