//! What a session leaves behind: a line per transition, its timeline, its ledger.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::Level;

use super::{
    House,
    gating::{Gating, Would},
    ledger::Ledger,
    outcome::Outcome,
    registry::Entry,
    state::State,
};
use crate::telemetry::{metrics::Fate, millis};

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
}

impl<U> Books<U> {
    /// Notes the way from `before` to `after`.
    pub(super) fn note(&mut self, before: State, after: State) {
        if after == before {
            return;
        }
        let reason = std::mem::take(&mut self.reason);
        match after {
            State::Done(outcome) => self.note_end(before, outcome, &reason),
            State::Arrived
            | State::Held
            | State::Dialing
            | State::Confirming
            | State::Replaying
            | State::Open
            | State::Closing(_) => self.note_step(before, after, &reason),
        }
    }

    fn note_step(&self, before: State, after: State, reason: &str) {
        let (from, to) = (before.label(), after.label());
        let now = Instant::now().into_std();
        let spent_ms = millis(self.entry.as_ref().map_or(Duration::ZERO, |entry| entry.step(to, reason, now)));
        tracing::info!(session = self.seq, from, to, reason, spent_ms, "session {to}");
    }

    fn note_end(&mut self, before: State, outcome: Outcome, reason: &str) {
        let (session, from, to) = (self.seq, before.label(), outcome.label());
        let now = Instant::now().into_std();
        let Some(entry) = self.entry.take() else { return };
        self.count_observed(outcome);
        let path = entry.path().to_owned();
        let spent_ms = millis(entry.finish(to, reason, now));
        match outcome.level() {
            Level::ERROR => tracing::error!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
            Level::WARN => tracing::warn!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
            _ => tracing::info!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
        }
    }

    /// Closes the books: what became of the frames taken before the session was open.
    pub(super) fn close(&self) {
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
