//! From a path or a text to a [`Config`], or to everything that is wrong.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{
    Config, Environment, Problem, Problems, check,
    diff::Settings,
    document::Document,
    key_path::{KeyPath, Step},
    known_keys::KnownKeys,
    problem::Place,
    raw::RawConfig,
    raw_policy::EVERYBODYS,
};

/// Wrong types noted before reading ends: enough for any file a person wrote, and a bound on the work for one that no
/// person did.
const MOST_TYPE_ERRORS: usize = 100;

/// Sections with checks, whose URLs and headers hold secrets.
const SECRETIVE: [&str; 2] = ["dependencies", "upstream"];

/// No configuration that a person wrote is longer. What is, was named by mistake, and must not fill the memory.
const LARGEST_FILE: u64 = 1 << 20;

/// Steps to a key of a route: `routes`, its place in the list, the key.
const DEPTH_IN_A_ROUTE: usize = 3;
/// Why a route cannot have some keys of `[hold]`.
const BELONGS_TO_ALL: &str = "it bounds the sessions of all routes together: set it in [hold]";

/// A configuration and what is doubtful in it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Usable as it stands.
    pub config: Config,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
    /// Every key and its value, to be compared with those of another reading.
    pub settings: Settings,
    /// What works, and is hardly what was meant.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the file at `path` and lays the environment over it.
    ///
    /// # Errors
    ///
    /// Every problem of the file and of the variables that concern it.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Problems> {
        Self::load_with_warnings(path, environment).map(|loaded| loaded.config)
    }

    /// The same, with what is doubtful.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_with_warnings(path: &Path, environment: &Environment) -> Result<Loaded, Problems> {
        let text = Self::read_text(path)?;
        Self::parse_with_warnings(&text, &path.display().to_string(), environment)
    }

    /// The text of the file at `path`, which is to be parsed.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no UTF-8, or is longer than any configuration.
    pub fn read_text(path: &Path) -> Result<String, Problems> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
        let file = path.display().to_string();
        match read {
            Ok(_) if text.len() as u64 > LARGEST_FILE => Err(oversize(file)),
            Ok(_) => Ok(text),
            Err(error) => Err(unreadable(file, &error)),
        }
    }

    /// Reads a text; `file` is what problems call it.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &str, environment: &Environment) -> Result<Self, Problems> {
        Self::parse_with_warnings(text, file, environment).map(|loaded| loaded.config)
    }

    /// The same, with what is doubtful.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse_with_warnings(text: &str, file: &str, environment: &Environment) -> Result<Loaded, Problems> {
        let mut document = Document::read(text, file, environment);
        let config = read_on(&mut document, environment);
        let (problems, warnings) = document.into_findings();
        match config {
            Some((config, settings)) if problems.is_empty() => {
                Ok(Loaded { config, hash: Sha256::digest(text).into(), settings, warnings })
            }
            Some(_) | None => Err(Problems::new(problems)),
        }
    }
}

/// None where the text is no TOML, or a value without which there is no configuration is missing.
fn read_on(document: &mut Document<'_>, environment: &Environment) -> Option<(Config, Settings)> {
    if document.is_no_toml() {
        return None;
    }
    let raw = deserialise(document)?;
    let settings = Settings::of(&raw);
    let config = check::check(document, raw, environment)?;
    let settings = settings.resolved(&config);
    Some((config, settings))
}

/// Reads the tree into its shape. A value of a wrong type is noted, taken out, and the rest is read again, so that one
/// mistake does not hide the next. None where there are too many.
fn deserialise(document: &mut Document<'_>) -> Option<RawConfig> {
    for _ in 0..MOST_TYPE_ERRORS {
        let (mut unknown, mut track) = (Vec::new(), serde_path_to_error::Track::new());
        let tracked = serde_path_to_error::Deserializer::new(document.tree(), &mut track);
        match serde_ignored::deserialize(tracked, |path| unknown.push(KeyPath::from(&path))) {
            Ok(raw) => {
                push_unknown_keys(document, &unknown);
                return Some(raw);
            }
            Err(error) => {
                let path = KeyPath::from(&track.path());
                push_type_error(document, &path, &error);
                if !document.take_out(&path) {
                    return None;
                }
            }
        }
    }
    None
}

fn push_unknown_keys(document: &mut Document<'_>, unknown: &[KeyPath]) {
    if unknown.is_empty() {
        return;
    }
    let known = KnownKeys::new();
    for path in unknown {
        let (Some(Step::Key(key)), Some(table)) = (path.last(), path.parent()) else { continue };
        let inside = match table.steps() {
            [] => String::new(),
            [Step::Key(section)] => format!(" in [{section}]"),
            _ => format!(" in {table}"),
        };
        let (place, what) = (document.place_of_key(path), format!("unknown key {key:?}{inside}"));
        match is_everybodys(path, key) {
            true => document.push_at(place, format!("{key} cannot be set{inside}"), BELONGS_TO_ALL),
            false => document.push_at(place, what, known.suggestion(path)),
        }
    }
}

/// True for a key of `[hold]` in a route that bounds the sessions of all routes together.
fn is_everybodys(path: &KeyPath, key: &str) -> bool {
    path.is_within(&KeyPath::from("routes")) && path.steps().len() == DEPTH_IN_A_ROUTE && EVERYBODYS.contains(&key)
}

/// What serde says is split where it names what it expected. A string completed from the environment is shown as it
/// was written: it may hold a secret.
fn push_type_error(document: &mut Document<'_>, path: &KeyPath, error: &serde_json::Error) {
    let mut text = error.to_string();
    let value = document.value(path).and_then(serde_json::Value::as_str);
    if let Some((value, as_written)) = value.zip(document.as_written(path)) {
        text = text.replace(&format!("{value:?}"), &format!("{as_written:?}"));
        text = text.replace(&format!("`{value}`"), &format!("`{as_written}`"));
    }
    if may_be_secret(path, &text) {
        text = without_value(&text);
    }
    let (what, help) = match text.split_once(", expected ") {
        Some((what, expected)) => (what, format!("expected {}", in_terms_of_toml(expected))),
        None => (text.as_str(), String::new()),
    };
    document.push(path, format!("{path}: {what}"), help);
}

/// True of whatever stands in the headers of a check, and of text where a check has none: it may be a password in the
/// wrong place.
fn may_be_secret(path: &KeyPath, text: &str) -> bool {
    let headers = path.steps().iter().any(|step| matches!(step, Step::Key(key) if key == "headers"));
    let check = SECRETIVE.iter().any(|section| path.is_within(&KeyPath::from(*section)));
    text.starts_with("invalid type: ") && (headers || check && text.starts_with("invalid type: string"))
}

/// ``invalid type: string "x", expected a map``, without the `"x"`.
fn without_value(text: &str) -> String {
    match (text.split_once(['"', '`']), text.rsplit_once(", expected ")) {
        (Some((kind, _)), Some((_, expected))) => format!("{}, expected {expected}", kind.trim_end()),
        (None, _) | (_, None) => text.to_owned(),
    }
}

/// What serde calls a Rust type, an operator calls otherwise.
fn in_terms_of_toml(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "a string" | "path string" => "a string",
        "u16" | "u32" => "a whole number, not negative",
        rust if rust.starts_with("struct ") => "a table",
        other => other,
    }
}

fn oversize(file: String) -> Problems {
    let what = format!("is longer than {LARGEST_FILE} bytes: it cannot be a configuration");
    Problems::new(vec![Problem::new(Place::File(file), what, "is it the right file?")])
}

pub(super) fn unreadable(file: String, error: &io::Error) -> Problems {
    let (what, help) = match error.kind() {
        io::ErrorKind::NotFound => ("no such file".to_owned(), "name the configuration with --config"),
        io::ErrorKind::InvalidData => ("cannot be read: it is not UTF-8".to_owned(), "TOML is UTF-8 text"),
        _ => (format!("cannot be read: {error}"), ""),
    };
    Problems::new(vec![Problem::new(Place::File(file), what, help)])
}
