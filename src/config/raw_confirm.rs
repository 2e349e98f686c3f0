//! `gate.confirm` as TOML says it: a table that names a message, or `false`.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

use super::{
    OnTimeout,
    units::{Size, Time},
};

/// What `confirm` may be.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ConfirmSpec {
    /// false: the upstream's 101 says that it is ready.
    Off(Off),
    /// The message that says so.
    Message(Confirm),
}

/// The word `false`.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(extend("const" = false))]
pub(super) struct Off(bool);

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

impl<'de> Deserialize<'de> for ConfirmSpec {
    /// By hand, because an untagged enum would not say what was expected.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConfirmVisitor)
    }
}

struct ConfirmVisitor;

impl<'de> Visitor<'de> for ConfirmVisitor {
    type Value = ConfirmSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a table such as { json = { "/connection_ready" = true } }, or false"#)
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<ConfirmSpec, E> {
        if on { Err(E::invalid_value(Unexpected::Bool(on), &self)) } else { Ok(ConfirmSpec::Off(Off(on))) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConfirmSpec, A::Error> {
        Confirm::deserialize(MapAccessDeserializer::new(map)).map(ConfirmSpec::Message)
    }
}
