//! The private port: probes for the platform, metrics for Prometheus, answers for people in a hurry.
//!
//! `GET /startupz` (the public port is bound), `/livez` (the workers turn: a runtime that hangs answers nothing),
//! `/readyz` (neither draining, nor out of hold budget, nor out of seats), `/gate` (200 while open, else 503 with the blockers),
//! `/metrics`, `/status`, `/sessions` (`?state=held&limit=10`) and `/sessions/{id}` (the timeline of one); `/` shows them
//! to people, and `/events` keeps that page up to date.
//!
//! `POST /gate/open`, `/gate/shut` and `/gate/auto` (`?route=/ws/*&reason=…&for=10m`, or the same in a JSON body) lay the
//! operator's hand on the gate and take it off, `POST /reload` has the configuration's file looked at, `POST /drain` begins
//! the drain.

mod crowd;
mod events;
mod order;
mod page;
mod reload;
mod routes;
mod server;
mod status;
mod writes;

use std::{
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::{reload::Reloading, server::serve};
use crate::{
    config::Config, descriptors::Door, gate::Gate, hold::budget::Budget, session::registry::Registry,
    telemetry::metrics::Metrics,
};

/// All that the admin port may look at.
#[derive(Debug)]
pub struct View {
    ruling: RwLock<(Gate, Arc<Config>)>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    budget: Arc<Budget>,
    reloading: OnceLock<Reloading>,
    door: OnceLock<Door>,
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
        let (ruling, reloading, door) = (RwLock::new((gate, config)), OnceLock::new(), OnceLock::new());
        let (bound, drain) = (AtomicBool::new(false), CancellationToken::new());
        let listeners = Arc::new(Semaphore::new(events::MAX_LISTENERS));
        Arc::new(Self { ruling, metrics, registry, budget, reloading, door, bound, drain, started, listeners })
    }

    /// This gate and this configuration are in force from here on.
    pub fn follow(&self, gate: Gate, config: Arc<Config>) {
        *self.ruling.write().unwrap_or_else(PoisonError::into_inner) = (gate, config);
    }

    /// The configuration has a file, and this is the way to it.
    pub fn set_reloading(&self, reloading: Reloading) {
        // There is one file, and it is named once.
        let _ = self.reloading.set(reloading);
    }

    /// The gate in force.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.ruling.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.ruling.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// This is where clients come in.
    pub fn set_door(&self, door: Door) {
        // There is one, and it is named once.
        let _ = self.door.set(door);
    }

    fn has_seats(&self) -> bool {
        self.door.get().is_none_or(|door| !door.is_full())
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
