//! Checks as TOML says them: `upstream.check` is a string, a table, or a list of these; that of a dependency one of the
//! first two.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::units::Time;

/// One check, or several that must all pass.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Checks {
    /// One.
    One(CheckSpec),
    /// All of them must pass.
    All(Vec<CheckSpec>),
}

/// A path, a URL or a table.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum CheckSpec {
    /// A path on the upstream ("/health/ready"), or a URL whose scheme is the kind of check.
    Location(String),
    /// A check with expectations or a rhythm of its own.
    Table(Box<CheckTable>),
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct CheckTable {
    /// A path on the upstream, or a URL. Required.
    pub(super) url: Option<String>,
    /// Accepted HTTP statuses; absent means any 2xx.
    pub(super) status: Option<Vec<u16>>,
    /// JSON pointers (RFC 6901) into the answer's body and the values they must have, all of them.
    pub(super) json: Option<BTreeMap<String, serde_json::Value>>,
    /// Text that the answer's body must contain.
    pub(super) text: Option<String>,
    /// What a Redis server must be: "primary", or "any".
    pub(super) role: Option<Role>,
    /// Headers of the request. Their values are never printed.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// In place of probe.interval.
    pub(super) interval: Option<Time>,
    /// In place of probe.timeout.
    pub(super) timeout: Option<Time>,
    /// In place of probe.backoff.
    pub(super) backoff: Option<CheckBackoff>,
    /// In place of probe.rise.
    pub(super) rise: Option<u32>,
    /// In place of probe.fall.
    pub(super) fall: Option<u32>,
    /// In place of probe.breaker.
    pub(super) breaker: Option<CheckBreaker>,
    /// PEM file of a private CA, trusted in place of the public roots.
    pub(super) ca: Option<PathBuf>,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct CheckBackoff {
    /// In place of probe.backoff.initial.
    pub(super) initial: Option<Time>,
    /// In place of probe.backoff.max.
    pub(super) max: Option<Time>,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct CheckBreaker {
    /// In place of probe.breaker.attempts.
    pub(super) attempts: Option<u32>,
    /// In place of probe.breaker.cooldown.
    pub(super) cooldown: Option<Time>,
}

/// `role`
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// A replica does not pass.
    Primary,
    /// Either.
    Any,
}

/// The check of a dependency.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct DependencyCheck(pub(super) CheckSpec);

/// What the check of a dependency may be, for messages.
const DEPENDENCY_FORM: &str = r#"a URL such as "redis://10.0.0.3:6379", or a table with url"#;
/// What a check may be, for messages.
const CHECK_FORM: &str = r#"a path such as "/health/ready", a URL, a table with url, or a list of these"#;

impl<'de> Deserialize<'de> for Checks {
    /// By hand, because an untagged enum would report every mistake at the outermost value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChecksVisitor)
    }
}

struct ChecksVisitor;

impl<'de> Visitor<'de> for ChecksVisitor {
    type Value = Checks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CHECK_FORM)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Checks, E> {
        SpecVisitor(CHECK_FORM).visit_str(text).map(Checks::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Checks, A::Error> {
        SpecVisitor(CHECK_FORM).visit_map(map).map(Checks::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Checks, A::Error> {
        let mut specs = Vec::new();
        while let Some(spec) = list.next_element()? {
            specs.push(spec);
        }
        Ok(Checks::All(specs))
    }
}

impl<'de> Deserialize<'de> for CheckSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpecVisitor(CHECK_FORM))
    }
}

impl<'de> Deserialize<'de> for DependencyCheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpecVisitor(DEPENDENCY_FORM)).map(Self)
    }
}

/// Reads one check; holds what to say of anything else.
struct SpecVisitor(&'static str);

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = CheckSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CheckSpec, E> {
        Ok(CheckSpec::Location(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CheckSpec, A::Error> {
        CheckTable::deserialize(MapAccessDeserializer::new(map)).map(|table| CheckSpec::Table(Box::new(table)))
    }
}
