//! What a session leaves behind: a line per transition, its timeline, its ledger.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use tracing::Level;

use super::{ClientStream, drive::Drive, ledger::Ledger, outcome::Outcome, state::State};
use crate::{
    telemetry::{
        metrics::{Fate, Side},
        millis,
        trace::Trace,
    },
    upstream::Upstream,
    wire::close,
};

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// Notes the way from `before` to the present state.
    pub(super) fn note(&mut self, before: State) {
        let after = self.machine.state();
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
        if self.house.floods.admits(to, Level::INFO, now) {
            let line = || tracing::info!(session = self.seq, from, to, reason, spent_ms, "session {to}");
            Trace::span(self.trace, None).in_scope(line);
        }
    }

    fn note_end(&mut self, before: State, outcome: Outcome, reason: &str) {
        let (session, from, to) = (self.seq, before.label(), outcome.label());
        let now = Instant::now().into_std();
        let Some(entry) = self.entry.take() else { return };
        self.count_observed(outcome);
        let path = entry.path().to_owned();
        let lasted = now.saturating_duration_since(self.arrival.at);
        let spent_ms = millis(entry.finish(to, reason, now));
        if !self.house.floods.admits(to, outcome.level(), now) {
            return;
        }
        let http_request = self.http_request(outcome, &path, lasted);
        let _request = Trace::span(self.trace, Some(&http_request)).entered();
        match outcome.level() {
            Level::ERROR => tracing::error!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
            Level::WARN => tracing::warn!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
            _ => tracing::info!(session, from, to, reason, spent_ms, path, "session ended: {to}"),
        }
    }

    /// The whole request as Cloud Logging has it
    /// (<https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest>). The status is missing where the
    /// client went before it was answered; the query is left out, for it may hold a secret.
    fn http_request(&self, outcome: Outcome, path: &str, lasted: Duration) -> String {
        let refusal = || outcome.farewell(&self.route().gate.close_codes).map(|farewell| farewell.status);
        let status = if self.machine.is_accepted() { Some(StatusCode::SWITCHING_PROTOCOLS) } else { refusal() };
        let mut object = json!({
            "requestMethod": "GET",
            "requestUrl": path,
            "latency": format!("{:.3}s", lasted.as_secs_f64()),
            "remoteIp": self.arrival.peer.ip().to_string(),
            "protocol": "HTTP/1.1",
        });
        if let Some(status) = status {
            object["status"] = status.as_u16().into();
        }
        object.to_string()
    }

    /// Closes the books.
    pub(super) fn settle(&mut self) {
        if let Some(client) = self.client.accepted() {
            self.ledger.received = client.hold().frames() as u64;
            self.ledger.refused = client.hold().left_frames();
        }
        if let Some(splice) = &self.splice {
            (self.ledger.delivered, self.ledger.refused) = splice.delivered();
            let placed = splice.placed();
            self.count_close(placed.client, Side::Client);
            self.count_close(placed.upstream, Side::Upstream);
        }
        self.count_ledger();
    }

    fn count_close(&self, placed: bool, side: Side) {
        if placed {
            self.house.metrics.close_sent(side, close::RESTART);
        }
    }

    fn count_ledger(&self) {
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
