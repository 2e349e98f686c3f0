//! Whether sessions are gated at all, and which share of them: `gate.mode`, `gate.rollout_percent`, `gate.rollout_key`.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `gate.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Sessions wait for the gate.
    Enforce,
    /// Nobody waits; what would have waited is logged and counted.
    Observe,
    /// Nobody waits; readygate is a plain relay.
    Off,
}

/// Which sessions of a gate in force are gated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// So many in a hundred; the others are observed.
    pub percent: u8,
    /// Who is one client.
    pub key: RolloutKey,
}

/// `gate.rollout_key`: what tells one client from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutKey {
    /// Its address.
    Address,
    /// The value of this header.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(String),
}

impl Rollout {
    /// Everybody.
    pub const WHOLE: u8 = 100;
}

impl Default for Rollout {
    fn default() -> Self {
        Self { percent: Self::WHOLE, key: RolloutKey::Address }
    }
}
