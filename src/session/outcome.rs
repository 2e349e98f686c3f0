//! How a session ended: one value that gives metric label, HTTP status, Close code and log level. PURE.

use std::time::Duration;

use http::StatusCode;
use tracing::Level;

use crate::{splice::flow::End, wire::close};

/// When a client that was told 503 should come back. Long enough to spread a crowd, short against a cold start.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Exactly one per session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was open, and one of the ends closed it.
    Completed,
    /// The client went without a Close.
    ClientGone,
    /// It answered no ping while held.
    ClientSilent,
    /// `gate.hold_timeout` was over before the gate opened.
    HoldTimeout,
    /// Its hold, or the budget of all holds, was full and the policy is `close`.
    HoldFull,
    /// `hold.sessions` are held already, or the limit of open files leaves no room for one more client.
    TooMany,
    /// A message larger than may ever be held.
    TooBig,
    /// The client broke RFC 6455 while held.
    ProtocolError,
    /// The client sent text that is not UTF-8 while held.
    InvalidPayload,
    /// A frame that began did not end within `hold.frame_timeout`.
    FrameTimeout,
    /// The upstream answered the handshake with this status instead of 101.
    UpstreamRefused(StatusCode),
    /// No connection to the upstream after all tries.
    UpstreamUnreachable,
    /// The upstream did not answer the handshake in time.
    UpstreamTimeout,
    /// The upstream's answer to the handshake was no valid 101, or not what the client had been told.
    BadHandshake,
    /// The upstream's 101 came, and no confirmation within `gate.confirm.timeout`.
    ConfirmTimeout,
    /// The upstream closed before it confirmed; the client has its Close.
    Unconfirmed,
    /// The upstream went without a Close.
    UpstreamLost,
    /// readygate drained.
    Drained,
    /// readygate's own fault.
    Internal,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Before the 101.
    pub status: StatusCode,
    /// After the 101.
    pub code: u16,
    /// Public words: short, machine-readable, naming no internal host.
    pub reason: &'static str,
}

impl Farewell {
    /// When to come back; none where that would change nothing.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER)
    }
}

impl Outcome {
    /// Metric label and log field.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientGone => "client_gone",
            Self::ClientSilent => "client_silent",
            Self::HoldTimeout => "hold_timeout",
            Self::HoldFull => "hold_full",
            Self::TooMany => "too_many",
            Self::TooBig => "too_big",
            Self::ProtocolError => "protocol_error",
            Self::InvalidPayload => "invalid_payload",
            Self::FrameTimeout => "frame_timeout",
            Self::UpstreamRefused(_) => "upstream_refused",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::BadHandshake => "bad_handshake",
            Self::ConfirmTimeout => "confirm_timeout",
            Self::Unconfirmed => "unconfirmed",
            Self::UpstreamLost => "upstream_lost",
            Self::Drained => "drained",
            Self::Internal => "internal",
        }
    }

    /// What the client is told; `close_codes` maps an upstream's refusal to a Close code. None where both ends have
    /// already parted, or there is nobody to tell.
    #[must_use]
    pub fn farewell(self, close_codes: &[(u16, u16)]) -> Option<Farewell> {
        let (status, code, reason) = match self {
            Self::Completed | Self::ClientGone | Self::Unconfirmed => return None,
            Self::ClientSilent => (StatusCode::REQUEST_TIMEOUT, close::POLICY, "no answer to pings"),
            Self::HoldTimeout => (StatusCode::SERVICE_UNAVAILABLE, close::TRY_AGAIN, "not ready in time"),
            Self::HoldFull => (StatusCode::SERVICE_UNAVAILABLE, close::TRY_AGAIN, "hold full"),
            Self::TooMany => (StatusCode::SERVICE_UNAVAILABLE, close::TRY_AGAIN, "too many waiting"),
            Self::TooBig => (StatusCode::PAYLOAD_TOO_LARGE, close::TOO_BIG, "message too big"),
            Self::ProtocolError => (StatusCode::BAD_REQUEST, close::PROTOCOL_ERROR, "protocol error"),
            Self::InvalidPayload => (StatusCode::BAD_REQUEST, close::INVALID_PAYLOAD, "invalid payload"),
            Self::FrameTimeout => (StatusCode::REQUEST_TIMEOUT, close::POLICY, "frame not finished in time"),
            Self::UpstreamRefused(status) => (status, refusal_code(status, close_codes), "refused by upstream"),
            Self::UpstreamUnreachable => (StatusCode::BAD_GATEWAY, close::BAD_GATEWAY, "upstream unreachable"),
            Self::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, close::BAD_GATEWAY, "upstream timeout"),
            Self::BadHandshake => (StatusCode::BAD_GATEWAY, close::BAD_GATEWAY, "bad upstream handshake"),
            Self::ConfirmTimeout => (StatusCode::SERVICE_UNAVAILABLE, close::TRY_AGAIN, "not confirmed in time"),
            Self::UpstreamLost => (StatusCode::BAD_GATEWAY, close::RESTART, "upstream lost"),
            Self::Drained => (StatusCode::SERVICE_UNAVAILABLE, close::RESTART, "restarting"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, close::INTERNAL, "internal error"),
        };
        Some(Farewell { status, code, reason })
    }

    /// What an upstream is told that has to confirm and whose session ends first: a drain as it is, and that the client
    /// leaves in every other case, for what ails the client is not the upstream's business.
    #[must_use]
    pub fn upstream_code(self) -> u16 {
        if self == Self::Drained { close::RESTART } else { close::GOING_AWAY }
    }

    /// How loud the log line is: a client's doing is information, the service's trouble a warning, our own an error.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Self::Completed
            | Self::ClientGone
            | Self::ClientSilent
            | Self::TooBig
            | Self::ProtocolError
            | Self::InvalidPayload
            | Self::FrameTimeout
            | Self::UpstreamRefused(_)
            | Self::Unconfirmed
            | Self::Drained => Level::INFO,
            Self::HoldTimeout
            | Self::HoldFull
            | Self::TooMany
            | Self::UpstreamUnreachable
            | Self::UpstreamTimeout
            | Self::BadHandshake
            | Self::ConfirmTimeout
            | Self::UpstreamLost => Level::WARN,
            Self::Internal => Level::ERROR,
        }
    }
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::Completed => Self::Completed,
            End::ClientGone => Self::ClientGone,
            End::UpstreamLost => Self::UpstreamLost,
            End::Drained => Self::Drained,
        }
    }
}

fn refusal_code(status: StatusCode, close_codes: &[(u16, u16)]) -> u16 {
    close_codes.iter().find(|(from, _)| *from == status.as_u16()).map_or(close::BAD_GATEWAY, |(_, code)| *code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const CODES: &[(u16, u16)] = &[(401, close::UNAUTHORIZED), (403, close::FORBIDDEN)];

    /// Every one, a refusal with one status for all.
    const ALL: [Outcome; 19] = [
        Outcome::Completed,
        Outcome::ClientGone,
        Outcome::ClientSilent,
        Outcome::HoldTimeout,
        Outcome::HoldFull,
        Outcome::TooMany,
        Outcome::TooBig,
        Outcome::ProtocolError,
        Outcome::InvalidPayload,
        Outcome::FrameTimeout,
        Outcome::UpstreamRefused(StatusCode::NOT_FOUND),
        Outcome::UpstreamUnreachable,
        Outcome::UpstreamTimeout,
        Outcome::BadHandshake,
        Outcome::ConfirmTimeout,
        Outcome::Unconfirmed,
        Outcome::UpstreamLost,
        Outcome::Drained,
        Outcome::Internal,
    ];

    fn told(outcome: Outcome) -> (u16, u16) {
        let farewell = outcome.farewell(CODES).unwrap();
        (farewell.status.as_u16(), farewell.code)
    }

    #[test]
    fn each_outcome_tells_the_client_what_the_table_of_close_codes_says() {
        for (outcome, expected) in [
            (Outcome::ClientSilent, (408, 1008)),
            (Outcome::HoldTimeout, (503, 1013)),
            (Outcome::HoldFull, (503, 1013)),
            (Outcome::TooMany, (503, 1013)),
            (Outcome::TooBig, (413, 1009)),
            (Outcome::ProtocolError, (400, 1002)),
            (Outcome::InvalidPayload, (400, 1007)),
            (Outcome::UpstreamRefused(StatusCode::UNAUTHORIZED), (401, 3000)),
            (Outcome::UpstreamRefused(StatusCode::FORBIDDEN), (403, 3003)),
            (Outcome::UpstreamRefused(StatusCode::NOT_FOUND), (404, 1014)),
            (Outcome::UpstreamUnreachable, (502, 1014)),
            (Outcome::UpstreamTimeout, (504, 1014)),
            (Outcome::BadHandshake, (502, 1014)),
            (Outcome::ConfirmTimeout, (503, 1013)),
            (Outcome::UpstreamLost, (502, 1012)),
            (Outcome::Drained, (503, 1012)),
            (Outcome::Internal, (500, 1011)),
        ] {
            assert_eq!(told(outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn each_outcome_is_a_series_before_it_happens() {
        let shown = Metrics::new().render();
        for outcome in ALL {
            let series = format!("readygate_sessions_total{{outcome=\"{}\"}} 0", outcome.label());
            assert!(shown.lines().any(|line| line == series), "{series}");
        }
    }

    #[test]
    fn no_failure_is_ever_told_as_a_normal_end() {
        assert!(
            [Outcome::HoldTimeout, Outcome::Internal, Outcome::Drained].iter().all(|o| told(*o).1 != close::NORMAL)
        );
        assert_eq!(Outcome::Completed.farewell(CODES), None);
    }

    #[test]
    fn what_a_client_is_told_fits_into_a_close_and_is_plain_words() {
        let silent = [Outcome::Completed, Outcome::ClientGone, Outcome::Unconfirmed];
        for outcome in ALL.into_iter().filter(|outcome| !silent.contains(outcome)) {
            let reason = outcome.farewell(CODES).unwrap().reason;
            assert!(reason.len() <= 123, "{reason}");
            assert!(reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' '), "{reason}");
        }
    }

    #[test]
    fn who_is_told_503_is_told_when_to_come_back() {
        let told = |outcome: Outcome| outcome.farewell(CODES).unwrap().retry_after();
        assert_eq!([told(Outcome::HoldTimeout), told(Outcome::Drained)], [Some(RETRY_AFTER); 2]);
        assert_eq!(told(Outcome::BadHandshake), None);
    }
}
