//! When the gate opens, for whom, and how much is held until then: the keys that a route may set for itself.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Confirm,
    rollout::{Mode, Rollout},
};

/// `[[routes]]`: a policy for the paths that match.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which paths.
    pub path: PathPattern,
    /// When and for whom the gate opens.
    pub gate: Gate,
    /// How much may be held for one session; `total_bytes` and `sessions` are those of `[hold]`, for they are everybody's.
    pub hold: Hold,
    /// Places in [`Config::dependencies`](super::Config::dependencies) of those that these sessions need.
    pub depends_on: Vec<usize>,
}

/// A path in which `*` stands for any number of characters, slashes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// A pattern as it stands in the configuration: it begins with `/`, or is `*`.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The pattern as it was written: the route's name in metrics and answers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` (without its query) matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == path };
        let Some(mut path) = path.strip_prefix(first) else { return false };
        let mut pieces = rest.split('*').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return path.ends_with(piece);
            }
            let Some(at) = path.find(piece) else { return false };
            path = &path[at + piece.len()..];
        }
        true
    }
}

/// `[gate]`
#[derive(Clone, Debug)]
pub struct Gate {
    /// Whether sessions wait at all.
    pub mode: Mode,
    /// Which share of them, where the mode is `enforce`.
    pub rollout: Rollout,
    /// Who answers a handshake while the gate is shut.
    pub accept: Accept,
    /// What an early accept may answer, in order of preference.
    pub subprotocols: Vec<String>,
    /// Origins that may be accepted early.
    pub allowed_origins: AllowedOrigins,
    /// From arrival to the end of the hold, whatever the client sends.
    pub hold_timeout: Duration,
    /// What becomes of a session whose time is over.
    pub on_timeout: OnTimeout,
    /// By which message the upstream says that it is ready for a connection. Shared by its sessions.
    pub confirm: Option<Arc<Confirm>>,
    /// Most dials at a time when the gate opens.
    pub release_concurrency: NonZeroUsize,
    /// Close codes for an upstream's refusal after an early accept, by HTTP status.
    pub close_codes: Vec<(u16, u16)>,
}

/// `gate.accept`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accept {
    /// Early where readygate can answer as the backend would, else deferred.
    Auto,
    /// Early for every allowed origin.
    Early,
    /// The backend answers every handshake.
    Deferred,
}

/// `gate.allowed_origins`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `["*"]`
    Any,
    /// Each in lower case, `https://host[:port]`, beside the request's own host where `same_host` is set.
    Listed {
        /// `"same-host"` was listed.
        same_host: bool,
        /// Full origins.
        origins: Vec<String>,
    },
}

/// `gate.on_timeout` and `gate.confirm.on_timeout`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTimeout {
    /// 1013, or 503 before the 101.
    Close,
    /// Fail open: go on all the same.
    Pass,
}

/// `[hold]`
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Most bytes held for one session.
    pub connection_bytes: usize,
    /// Most data frames held for one session.
    pub connection_frames: usize,
    /// Most bytes held in all.
    pub total_bytes: usize,
    /// Most sessions held at a time.
    pub sessions: usize,
    /// What happens when one of the first three is reached.
    pub when_full: WhenFull,
    /// Time for a frame that has begun.
    pub frame_timeout: Duration,
    /// Between readygate's own pings to a held client; two without a sign of life end the session.
    pub ping_interval: Duration,
}

impl Hold {
    /// `hold.sessions` where nobody says otherwise: ten times what a Cloud Run instance takes at a time, and some 60 MiB while
    /// they wait.
    pub const USUAL_SESSIONS: u32 = 10_000;
}

/// `hold.when_full`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// Stop reading; TCP pushes back on the client.
    Pause,
    /// 1013.
    Close,
}
