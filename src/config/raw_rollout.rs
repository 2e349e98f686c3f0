//! `rollout_key` as TOML says it: a word, or a table that names a header or a cookie.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

/// What a client is known by.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RolloutKeySpec {
    /// "address".
    Word(RolloutWord),
    /// A header or a cookie.
    Table(RolloutTable),
}

/// What needs no name.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RolloutWord {
    /// The client's address.
    Address,
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct RolloutTable {
    /// Name of a request header.
    pub(super) header: Option<String>,
    /// Name of a cookie.
    pub(super) cookie: Option<String>,
}

/// What a rollout key may be, for messages.
pub(super) const ROLLOUT_FORM: &str = r#""address", { header = "x-user" } or { cookie = "sid" }"#;

impl<'de> Deserialize<'de> for RolloutKeySpec {
    /// By hand, because an untagged enum would not say what was expected.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RolloutVisitor)
    }
}

struct RolloutVisitor;

impl<'de> Visitor<'de> for RolloutVisitor {
    type Value = RolloutKeySpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROLLOUT_FORM)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RolloutKeySpec, E> {
        match text {
            "address" => Ok(RolloutKeySpec::Word(RolloutWord::Address)),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RolloutKeySpec, A::Error> {
        RolloutTable::deserialize(MapAccessDeserializer::new(map)).map(RolloutKeySpec::Table)
    }
}
