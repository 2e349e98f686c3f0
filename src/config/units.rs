//! Durations and sizes as an operator writes them: `"250ms"`, `"64KiB"`.
//!
//! A bare number is refused for both: whether `30` meant seconds or milliseconds is a guess.

use std::{borrow::Cow, fmt, time::Duration};

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Unexpected, Visitor},
};

/// What a duration looks like, for messages.
const DURATION_FORM: &str = r#"a duration such as "250ms", "30s" or "1m 30s""#;
/// What a size looks like, for messages.
const SIZE_FORM: &str = r#"a size such as "64KiB", "1MiB" or "2GiB""#;
/// The same where the program may choose.
const SIZE_OR_AUTO_FORM: &str = r#""auto" or a size such as "64KiB", "1MiB" or "2GiB""#;
/// The word that leaves a size to the program.
const AUTO: &str = "auto";
/// Binary units, largest first.
const BINARY_UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// A length of time, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl Time {
    /// So many milliseconds.
    pub(super) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub(super) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.subsec_nanos(), self.0.subsec_nanos() % 1_000_000) {
            (0, _) => write!(f, "{}s", self.0.as_secs()),
            (_, 0) => write!(f, "{}ms", self.0.as_millis()),
            (_, _) => write!(f, "{}", humantime::format_duration(self.0)),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, DURATION_FORM, |text| humantime::parse_duration(text).ok().map(Self))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": DURATION_FORM, "examples": ["250ms", "30s"] })
    }
}

/// A number of bytes, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) struct Size(pub(super) u64);

impl Size {
    /// So many KiB.
    pub(super) const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many MiB.
    pub(super) const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// Reads `"64KiB"`; a number without a unit is no size.
    fn parse(text: &str) -> Option<Self> {
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        has_unit.then(|| text.parse::<ByteSize>().ok()).flatten().map(|size| Self(size.as_u64()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY_UNITS.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, SIZE_FORM, Self::parse)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": SIZE_FORM, "examples": ["64KiB", "1MiB"] })
    }
}

/// A size, or the program's own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeOrAuto {
    /// `"auto"`
    Auto,
    /// `"256MiB"`
    Size(Size),
}

impl Serialize for SizeOrAuto {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Size(size) => size.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SizeOrAuto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| if text == AUTO { Some(Self::Auto) } else { Size::parse(text).map(Self::Size) };
        read(deserializer, SIZE_OR_AUTO_FORM, parse)
    }
}

impl JsonSchema for SizeOrAuto {
    fn schema_name() -> Cow<'static, str> {
        "SizeOrAuto".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": SIZE_OR_AUTO_FORM, "examples": ["auto", "256MiB"] })
    }
}

/// Reads a string with `parse`; whatever else is there is told what `form` was expected.
fn read<'de, D, T>(deserializer: D, form: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text { form, parse })
}

struct Text<P> {
    form: &'static str,
    parse: P,
}

impl<T, P: Fn(&str) -> Option<T>> Visitor<'_> for Text<P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::{Size, SizeOrAuto, Time};

    fn time(value: Value) -> Result<Time, String> {
        from_value(value).map_err(|error| error.to_string())
    }

    fn size(value: Value) -> Result<Size, String> {
        from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(time(json!("250ms")), Ok(Time::millis(250)));
        assert_eq!(time(json!("1m 30s")), Ok(Time::secs(90)));
        assert_eq!(time(json!("0s")), Ok(Time::secs(0)));
    }

    #[test]
    fn a_bad_duration_is_told_the_right_form() {
        for bad in [json!("10 bananas"), json!(30), json!("30"), json!(""), json!("-5s"), json!(true)] {
            assert!(time(bad).unwrap_err().contains(r#"a duration such as "250ms""#));
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(size(json!("64KiB")), Ok(Size::kib(64)));
        assert_eq!(size(json!("1.5MiB")), Ok(Size::kib(1536)));
        assert_eq!(size(json!("10kB")), Ok(Size(10_000)));
        assert_eq!(size(json!("17B")), Ok(Size(17)));
    }

    #[test]
    fn a_bad_size_is_told_the_right_form() {
        for bad in [json!("1048576"), json!(1_048_576), json!("1 stone"), json!("MiB"), json!(""), json!("-1KiB")] {
            assert!(size(bad).unwrap_err().contains(r#"a size such as "64KiB""#));
        }
    }

    #[test]
    fn auto_is_a_word_and_everything_else_a_size() {
        assert_eq!(from_value::<SizeOrAuto>(json!("auto")).unwrap(), SizeOrAuto::Auto);
        assert_eq!(from_value::<SizeOrAuto>(json!("1MiB")).unwrap(), SizeOrAuto::Size(Size::mib(1)));
        assert!(from_value::<SizeOrAuto>(json!("Auto")).unwrap_err().to_string().contains(r#""auto" or a size"#));
    }

    #[test]
    fn both_are_written_as_an_operator_would() {
        assert_eq!(to_value(Time::millis(8500)).unwrap(), json!("8500ms"));
        assert_eq!(to_value(Time::secs(30)).unwrap(), json!("30s"));
        assert_eq!(to_value(Size::mib(1)).unwrap(), json!("1MiB"));
        assert_eq!(to_value(Size(1025)).unwrap(), json!("1025B"));
    }
}
