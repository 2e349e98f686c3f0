//! The private port: probes for the platform, metrics for Prometheus, answers for people in a hurry.
//!
//! `GET /startupz` (the public port is bound), `/livez` (the workers turn: a runtime that hangs answers nothing),
//! `/readyz` (neither draining nor out of hold budget), `/gate` (200 while open, else 503 with the blockers),
//! `/metrics`, `/status`, `/sessions` (`?state=held&limit=10`) and `/sessions/{id}` (the timeline of one); `/` shows them
//! to people, and `/events` keeps that page up to date.
//!
//! `POST /gate/open`, `/gate/shut` and `/gate/auto` (`?route=/ws/*&reason=…&for=10m`, or the same in a JSON body) lay the
//! operator's hand on the gate and take it off, `POST /drain` begins the drain.

mod events;
mod order;
mod page;
mod routes;
mod server;
mod status;
mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

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
    drain: CancellationToken,
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
        let (bound, drain) = (AtomicBool::new(false), CancellationToken::new());
        let listeners = Arc::new(Semaphore::new(events::MAX_LISTENERS));
        Arc::new(Self { gate, metrics, registry, budget, config, bound, drain, started, listeners })
    }

    /// The public port is bound: from here on the process has started.
    pub fn set_bound(&self) {
        self.bound.store(true, Ordering::Release);
    }

    /// Resolves once an operator has asked for the drain.
    pub async fn asked_to_drain(&self) {
        self.drain.cancelled().await;
    }

    fn ask_to_drain(&self) {
        self.drain.cancel();
    }

    fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod writes_tests;
