//! `gate.confirm` as TOML says it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    OnTimeout,
    units::{Size, Time},
};

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Confirm {
    /// JSON pointers (RFC 6901) into the message and the values they must have, all of them. This or text is required;
    /// where both are given, both must hold.
    pub(super) json: Option<BTreeMap<String, serde_json::Value>>,
    /// Text that the message must contain.
    pub(super) text: Option<String>,
    /// From the upstream's 101 to the message.
    pub(super) timeout: Time,
    /// What becomes of a session whose upstream has not confirmed by then: 1013, or its frames are sent all the same.
    pub(super) on_timeout: OnTimeout,
    /// Longer messages are passed on and not looked at.
    pub(super) message_bytes: Size,
}

impl Default for Confirm {
    fn default() -> Self {
        Self {
            json: None,
            text: None,
            timeout: Time::secs(5),
            on_timeout: OnTimeout::Close,
            message_bytes: Size::kib(64),
        }
    }
}
