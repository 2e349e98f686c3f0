//! A notice to a client, as a WebSocket text message. PURE.
//!
//! Its words are public: they name no check, no host and no route.

use std::time::Duration;

use serde::Serialize;

use crate::{
    config::{Notices, Piece, Placeholder, Template},
    telemetry::millis,
    wire::header::{Header, Opcode},
};

/// What stands in a template where nothing is known: valid in JSON too.
const UNKNOWN: &str = "null";

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The client is accepted and waits.
    Held,
    /// It passes, and something is missing.
    Degraded,
    /// It passes.
    Ready,
    /// It is about to be closed.
    Closing,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is about.
    pub kind: Kind,
    /// Why, in public words.
    pub reason: &'static str,
    /// Since arrival.
    pub waited: Duration,
    /// How long the wait is likely to take from here.
    pub estimate: Option<Duration>,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

/// The default form.
#[derive(Serialize)]
struct Object {
    r#type: &'static str,
    state: &'static str,
    reason: &'static str,
    waited_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Kind {
    /// The notice's state.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Degraded => "degraded",
            Self::Ready => "ready",
            Self::Closing => "closing",
        }
    }

    fn template(self, notices: &Notices) -> &Template {
        match self {
            Self::Held => &notices.held,
            Self::Degraded => &notices.degraded,
            Self::Ready => &notices.ready,
            Self::Closing => &notices.closing,
        }
    }
}

impl Facts {
    /// The frame that says so, from server to client; empty where that kind is not sent.
    #[must_use]
    pub fn frame(&self, notices: &Notices) -> Vec<u8> {
        let text = match self.kind.template(notices) {
            Template::Silent => return Vec::new(),
            Template::Json => self.json(),
            Template::Text(pieces) => pieces.iter().map(|piece| self.put(piece)).collect(),
        };
        let mut frame = Vec::with_capacity(text.len() + 4);
        Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: None, payload: text.len() as u64 }.write(&mut frame);
        frame.extend(text.as_bytes());
        frame
    }

    fn json(&self) -> String {
        let object = Object {
            r#type: "readygate",
            state: self.kind.label(),
            reason: self.reason,
            waited_ms: millis(self.waited),
            estimate_ms: self.estimate.map(millis),
            retry_after_ms: self.retry_after.map(millis),
        };
        serde_json::to_string(&object).unwrap_or_default()
    }

    fn put(&self, piece: &Piece) -> String {
        let time = |time: Option<Duration>| time.map_or_else(|| UNKNOWN.to_owned(), |time| millis(time).to_string());
        match piece {
            Piece::Words(words) => words.clone(),
            Piece::Fill(Placeholder::State) => self.kind.label().to_owned(),
            Piece::Fill(Placeholder::Reason) => self.reason.to_owned(),
            Piece::Fill(Placeholder::WaitedMs) => time(Some(self.waited)),
            Piece::Fill(Placeholder::EstimateMs) => time(self.estimate),
            Piece::Fill(Placeholder::RetryAfterMs) => time(self.retry_after),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const HELD: Facts = Facts {
        kind: Kind::Held,
        reason: "a service is starting",
        waited: Duration::from_millis(1_234),
        estimate: None,
        retry_after: None,
    };

    /// Payload of a short or medium frame, whose header must be that of one unmasked text message.
    fn text(frame: &[u8]) -> &str {
        assert_eq!(frame[0], 0x81, "{frame:?}");
        let (length, payload) = match frame[1] {
            126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), &frame[4..]),
            short => (usize::from(short), &frame[2..]),
        };
        assert_eq!(length, payload.len());
        std::str::from_utf8(payload).unwrap()
    }

    #[test]
    fn by_default_a_notice_is_json_without_what_is_not_known() {
        let notices = Notices::default();
        let expected = r#"{"type":"readygate","state":"held","reason":"a service is starting","waited_ms":1234}"#;
        assert_eq!(text(&HELD.frame(&notices)), expected);
        let (estimate, retry_after) = (Some(Duration::from_secs(4)), Some(Duration::from_secs(5)));
        let all = Facts { kind: Kind::Closing, estimate, retry_after, ..HELD };
        let told: serde_json::Value = serde_json::from_str(text(&all.frame(&notices))).unwrap();
        assert_eq!((&told["state"], &told["estimate_ms"]), (&"closing".into(), &4_000.into()));
        assert_eq!(told["retry_after_ms"], 5_000);
    }

    #[test]
    fn each_kind_has_its_own_template_and_an_empty_one_is_not_sent() {
        let template = |text| Template::parse(text).unwrap();
        let notices = Notices {
            held: template("{state}: {reason}, {waited_ms} of {estimate_ms}"),
            degraded: template(""),
            ready: template("go"),
            closing: template("back in {retry_after_ms}"),
        };
        let frame = |kind| Facts { kind, ..HELD }.frame(&notices);
        let told = [Kind::Held, Kind::Ready, Kind::Closing].map(|kind| text(&frame(kind)).to_owned());
        assert_eq!(told, ["held: a service is starting, 1234 of null", "go", "back in null"]);
        assert!(frame(Kind::Degraded).is_empty());
    }

    #[test]
    fn a_long_notice_has_a_long_header() {
        let notices = Notices { held: Template::parse(&"x".repeat(1_000)).unwrap(), ..Notices::default() };
        assert_eq!(text(&HELD.frame(&notices)).len(), 1_000);
    }
}
