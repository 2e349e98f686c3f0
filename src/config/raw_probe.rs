//! `[probe]` as TOML says it.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor, value::StrDeserializer},
};

use super::units::Time;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Backoff {
    /// Ceiling of the first pause.
    pub(super) initial: Time,
    /// Ceiling of every pause.
    pub(super) max: Time,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Time::millis(10), max: Time::secs(1) }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Probe {
    /// Between checks while passing.
    pub(super) interval: Time,
    /// For one attempt.
    pub(super) timeout: Time,
    /// Pause between attempts while failing, doubling from initial to max, with full jitter.
    pub(super) backoff: Backoff,
    /// Passes in a row that make a failing check passing.
    pub(super) rise: u32,
    /// Failures in a row that make a passing check failing.
    pub(super) fall: u32,
    /// When to pause.
    pub(super) breaker: Breaker,
    /// Where the process runs, which says how patient working timeouts are: a place, or the patience itself.
    pub(super) profile: ProfileSpec,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            interval: Time::secs(5),
            timeout: Time::secs(2),
            backoff: Backoff::default(),
            rise: 1,
            fall: 3,
            breaker: Breaker::default(),
            profile: ProfileSpec::Place(PlaceName::Auto),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Breaker {
    /// Failures in a row before the pause.
    pub(super) attempts: u32,
    /// The pause; then one trial.
    pub(super) cooldown: Time,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { attempts: 10, cooldown: Time::secs(10) }
    }
}

/// A place, or the patience itself.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ProfileSpec {
    /// "auto" looks at the variables that platforms set; the others name one.
    Place(PlaceName),
    /// What working timeouts are multiplied by, 0.1 to 10.
    Patience(f64),
}

/// A place, as it is written.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PlaceName {
    Auto,
    CloudRun,
    AppEngine,
    Kubernetes,
    GoogleCloud,
    Local,
}

/// What a profile may be, for messages.
const PROFILE_FORM: &str =
    r#""auto", "cloud-run", "app-engine", "kubernetes", "google-cloud", "local" or a number from 0.1 to 10"#;

impl<'de> Deserialize<'de> for ProfileSpec {
    /// By hand, because an untagged enum would not say what was expected.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProfileVisitor)
    }
}

struct ProfileVisitor;

impl Visitor<'_> for ProfileVisitor {
    type Value = ProfileSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PROFILE_FORM)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ProfileSpec, E> {
        let place = PlaceName::deserialize(StrDeserializer::<E>::new(text));
        place.map(ProfileSpec::Place).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_f64<E: Error>(self, patience: f64) -> Result<ProfileSpec, E> {
        Ok(ProfileSpec::Patience(patience))
    }

    fn visit_i64<E: Error>(self, patience: i64) -> Result<ProfileSpec, E> {
        i32::try_from(patience).map(f64::from).map(ProfileSpec::Patience).map_err(|_| self.too_far(patience))
    }

    fn visit_u64<E: Error>(self, patience: u64) -> Result<ProfileSpec, E> {
        self.visit_i64(i64::try_from(patience).unwrap_or(i64::MAX))
    }
}

impl ProfileVisitor {
    fn too_far<E: Error>(&self, patience: i64) -> E {
        E::invalid_value(Unexpected::Signed(patience), self)
    }
}
