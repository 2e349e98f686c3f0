//! What a session leaves behind: a line per transition, its timeline, its ledger.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{StatusCode, Version};
use tracing::{Level, level_filters::LevelFilter};

use super::{
    House,
    gating::{Gating, Would},
    ledger::Ledger,
    outcome::Outcome,
    registry::{Entry, Waits},
    state::{Machine, State},
};
use crate::{
    config::Route,
    telemetry::{metrics::Fate, millis, request::HttpRequest, trace::Trace},
};

/// What a session carries from its arrival to its outcome.
pub(super) struct Books<U> {
    pub(super) house: Arc<House<U>>,
    /// Left when the session ends.
    pub(super) entry: Option<Entry>,
    /// Its number: who arrived first goes first.
    pub(super) seq: u64,
    pub(super) ledger: Ledger,
    /// How the gate counts for it.
    pub(super) gating: Gating,
    /// What the gate would have done, where it does not.
    pub(super) would: Would,
    /// Why the next transition happens.
    pub(super) reason: String,
    /// The place of its route in the configuration.
    pub(super) route: usize,
    /// What its lines are found by. Boxed, for most have none.
    pub(super) trace: Option<Box<Trace>>,
}

impl<U> Books<U> {
    /// What the configuration says of its path.
    pub(super) fn route(&self) -> &Route {
        &self.house.config.routes[self.route]
    }

    /// Notes how the client waits.
    pub(super) fn waits(&self, waits: Waits) {
        self.entry.iter().for_each(|entry| entry.waits(waits));
    }

    /// Notes the way from `before` to where `machine` stands `now`.
    pub(super) fn note(&mut self, before: State, machine: &Machine, now: Instant) {
        let after = machine.state();
        if after == before {
            return;
        }
        let reason = std::mem::take(&mut self.reason);
        match after {
            State::Done(outcome) => self.note_end(before, outcome, &reason, machine.is_accepted(), now),
            State::Arrived
            | State::Held
            | State::Dialing
            | State::Confirming
            | State::Replaying
            | State::Open
            | State::Closing(_) => self.note_step(before, after, &reason, now),
        }
    }

    fn note_step(&self, before: State, after: State, reason: &str, now: Instant) {
        let (from, to) = (before.label(), after.label());
        let spent_ms = millis(self.entry.as_ref().map_or(Duration::ZERO, |entry| entry.step(to, reason, now)));
        if self.house.floods.admits(to, Level::INFO, now) {
            let line = || tracing::info!(session = self.seq, from, to, reason, spent_ms, "session {to}");
            Trace::span(self.trace(), None).in_scope(line);
        }
    }

    fn note_end(&mut self, before: State, outcome: Outcome, reason: &str, is_accepted: bool, now: Instant) {
        let (session, from, to) = (self.seq, before.label(), outcome.label());
        let Some(entry) = self.entry.take() else { return };
        self.count_observed(outcome);
        // Whoever sees that the session has ended finds its frames counted.
        self.close();
        let path = entry.path().to_owned();
        let (peer, lasted) = (entry.peer().ip(), now.saturating_duration_since(entry.arrived()));
        let spent_ms = millis(entry.finish(to, reason, now));
        if !self.house.floods.admits(to, outcome.level(), now) {
            return;
        }
        // What nobody reads need not be put into words.
        if outcome.level() > LevelFilter::current() {
            return;
        }
        let status = if is_accepted { Some(StatusCode::SWITCHING_PROTOCOLS) } else { self.refusal(outcome) };
        let http_request = HttpRequest { method: "GET", path: &path, status, peer, lasted, version: Version::HTTP_11 };
        let _request = Trace::span(self.trace(), Some(&http_request.to_json())).entered();
        match outcome.level() {
            Level::ERROR => tracing::error!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
            Level::WARN => tracing::warn!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
            _ => tracing::info!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
        }
    }

    /// The status with which `outcome` is told before the 101.
    fn refusal(&self, outcome: Outcome) -> Option<StatusCode> {
        outcome.farewell(&self.route().gate.close_codes).map(|farewell| farewell.status)
    }

    /// What its lines are found by.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.trace.as_deref().copied()
    }

    /// Closes the books: what became of the frames taken before the session was open.
    fn close(&self) {
        let Ledger { received, delivered, refused } = self.ledger;
        self.house.metrics.frames(Fate::Received, received);
        self.house.metrics.frames(Fate::Delivered, delivered);
        self.house.metrics.frames(Fate::Refused, refused);
        if !self.ledger.is_balanced() {
            self.house.metrics.ledger_imbalance();
            tracing::error!(session = self.seq, received, delivered, refused, "ledger out of balance");
        }
    }
}
