//! One client WebSocket from arrival to outcome.
//!
//! `state` decides on each `event`, `drive` and its `steps` obey, `passage` is what is left once the streams are
//! joined, `books` keeps the record, `client` is the accepted client while it is held, and `outbox` what it has to take;
//! `listening` is the session whose upstream has to confirm, by the rule of `confirm`. `outcome` says how it ended,
//! `ledger` what became of its frames, `registry` lets others look, `deferral` says why a client was not accepted early,
//! `gating` for whom the gate counts, `unheld` what is recorded of those for whom it does not, `standing` what a client's
//! answer says of it all, `notice` what its messages say, and `telling` when.

mod books;
mod client;
mod confirm;
pub mod deferral;
mod drive;
pub mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod gating;
pub mod ledger;
mod listening;
pub mod notice;
mod outbox;
pub mod outcome;
mod passage;
#[cfg(test)]
mod policy_tests;
pub mod registry;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod size_tests;
pub mod standing;
pub mod state;
mod steps;
mod telling;
mod unheld;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use http::{HeaderValue, Response};
use tokio::sync::oneshot;

use self::{
    deferral::{Deferral, Deferrals},
    gating::Gating,
    outcome::Farewell,
    registry::Registry,
    standing::Standing,
};
use crate::{
    config::Config,
    descriptors::Place,
    drain::Drain,
    fields::Lines,
    gate::Gate,
    hold::budget::Budget,
    telemetry::{floods::Floods, metrics::Metrics, trace::Trace},
    upstream::{Body, handshake::Handshake},
};

pub use self::drive::run;

/// What every session shares. One per configuration: a session keeps the one it began with.
#[derive(Debug)]
pub struct House<U> {
    /// What the operator asked for.
    pub config: Config,
    /// Whether sessions may pass.
    pub gate: Gate,
    /// What all holds together may take.
    pub budget: Arc<Budget>,
    /// Who is here.
    pub registry: Arc<Registry>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What of all sessions' lines is written.
    pub floods: Arc<Floods>,
    /// Why clients were not accepted early.
    pub deferrals: Deferrals,
    /// When to leave.
    pub drain: Drain,
    /// The backend.
    pub upstream: U,
}

impl<U> House<U> {
    /// The first house, after `config`: nobody was ever there.
    pub fn new(config: Config, gate: Gate, metrics: Arc<Metrics>, upstream: U) -> Self {
        Self {
            gate,
            budget: Budget::new(config.hold.total_bytes, config.hold.sessions),
            registry: Registry::new(Arc::clone(&metrics)),
            floods: Floods::new(config.log.flood, Arc::clone(&metrics)),
            metrics,
            deferrals: Deferrals::default(),
            drain: Drain::new(config.drain.timeout),
            upstream,
            config,
        }
    }

    /// The house after this one, for `config`: it shares whatever is everybody's.
    pub fn after(&self, config: Config, gate: Gate, upstream: U) -> Self {
        self.budget.limit(config.hold.total_bytes, config.hold.sessions);
        self.drain.set_timeout(config.drain.timeout);
        self.floods.limit(config.log.flood);
        Self {
            gate,
            budget: Arc::clone(&self.budget),
            registry: Arc::clone(&self.registry),
            metrics: Arc::clone(&self.metrics),
            floods: Arc::clone(&self.floods),
            deferrals: self.deferrals.clone(),
            drain: self.drain.clone(),
            upstream,
            config,
        }
    }
}

/// A handshake request that is fit to be answered.
#[derive(Debug)]
pub struct Arrival {
    /// The path it asks for.
    pub path: String,
    /// As it is to go to the upstream.
    pub handshake: Handshake,
    /// The Sec-WebSocket-Accept that belongs to its key.
    pub accept: String,
    /// How the gate counts for it.
    pub gating: Gating,
    /// What its lines are found by. Boxed, for most have none.
    pub trace: Option<Box<Trace>>,
    /// The subprotocol that an early accept answers, or why there can be none.
    pub early: Result<Option<HeaderValue>, Deferral>,
    /// The place in the configuration of its route.
    pub route: usize,
    /// The client's address.
    pub peer: SocketAddr,
    /// The descriptors set aside for it; without a seat it is refused.
    pub place: Place,
    /// When it arrived.
    pub at: Instant,
}

/// What the client's handshake request is answered.
#[derive(Debug)]
pub enum Reply {
    /// readygate's own 101.
    Early {
        /// Sec-WebSocket-Accept.
        accept: String,
        /// The subprotocol, if one is answered.
        subprotocol: Option<HeaderValue>,
        /// How things stand.
        standing: Standing,
    },
    /// The upstream's 101.
    Switch {
        /// Its fields.
        lines: Lines,
        /// What is to be said of how things stand.
        standing: Option<Standing>,
    },
    /// The upstream's refusal.
    Decline(Box<Response<Body>>),
    /// readygate's refusal.
    Refuse(Farewell),
}

/// Where the answer goes. Closed when the client has gone.
pub type ReplySender = oneshot::Sender<Reply>;

/// The trait bounds of a client's stream.
pub trait ClientStream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> ClientStream for S {}
