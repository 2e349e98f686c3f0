//! The file and the environment as one tree of values, each with the place it came from.
//!
//! TOML is read with spans, `${NAME}` is replaced, and variables such as `READYGATE_GATE__HOLD_TIMEOUT` are laid over
//! the file's values. The tree is JSON, so that a wrong value can be taken out and the rest read on.

pub(super) mod overlay;
mod substitute;
mod toml_tree;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::{
    environment::Environment,
    key_path::{KeyPath, Step},
    problem::{Place, Problem},
};

/// Where a value was written; offsets in bytes.
enum Origin {
    /// In the file.
    Text { key: usize, value: usize },
    /// In this environment variable.
    Variable(String),
}

/// Values, their places, and which of them were found wrong.
pub(super) struct Document<'t> {
    file: &'t str,
    text: &'t str,
    tree: Value,
    origins: BTreeMap<KeyPath, Origin>,
    /// Strings as they stood before `${NAME}` was replaced: what is shown in place of a possible secret.
    as_written: BTreeMap<KeyPath, String>,
    broken: BTreeSet<KeyPath>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    is_no_toml: bool,
}

impl<'t> Document<'t> {
    /// Reads the text and lays the environment over it. Where the TOML itself is broken, its mistakes are the only
    /// problems: whatever else could be said would rest on a guess.
    pub(super) fn read(text: &'t str, file: &'t str, environment: &Environment) -> Self {
        let mut document = Self::empty(text, file);
        let (table, errors) = DeTable::parse_recoverable(text);
        document.push_syntax_errors(&errors);
        document.is_no_toml = !errors.is_empty();
        if errors.is_empty() {
            document.take_table(table.get_ref(), environment);
            document.lay_over(environment);
        }
        document
    }

    fn empty(text: &'t str, file: &'t str) -> Self {
        Self {
            file,
            text,
            tree: Value::Object(Map::new()),
            origins: BTreeMap::new(),
            as_written: BTreeMap::new(),
            broken: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            is_no_toml: false,
        }
    }

    /// The first of each line: one slip makes the parser stumble on through the rest of it.
    fn push_syntax_errors(&mut self, errors: &[toml::de::Error]) {
        let mut last_line = 0;
        for error in errors {
            let place = error.span().map_or(Place::File(self.file.to_owned()), |span| self.place_at(span.start));
            let line = if let Place::Text { line, .. } = place { line } else { 0 };
            if line == 0 || line != last_line {
                self.push_at(place, error.message().replace('\n', ", "), "");
            }
            last_line = line;
        }
    }

    /// All values.
    pub(super) fn tree(&self) -> &Value {
        &self.tree
    }

    /// Notes a problem of the value at `path`, unless that value was found wrong before.
    pub(super) fn push(&mut self, path: &KeyPath, what: impl AsRef<str>, help: impl AsRef<str>) {
        if self.is_sound(path) {
            self.push_at(self.place_of(path), what, help);
        }
    }

    /// The same at a place.
    pub(super) fn push_at(&mut self, place: Place, what: impl AsRef<str>, help: impl AsRef<str>) {
        self.problems.push(Problem::new(place, what, help));
    }

    /// Notes something that works, and is hardly what was meant.
    pub(super) fn warn_at(&mut self, place: Place, what: impl AsRef<str>, help: impl AsRef<str>) {
        self.warnings.push(Problem::new(place, what, help));
    }

    /// True where the text itself could not be read as TOML.
    pub(super) fn is_no_toml(&self) -> bool {
        self.is_no_toml
    }

    /// Problems and warnings.
    pub(super) fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.warnings)
    }

    /// False where the value, or the table around it, was found wrong and taken out.
    pub(super) fn is_sound(&self, path: &KeyPath) -> bool {
        !self.broken.iter().any(|broken| path.is_within(broken))
    }

    /// Takes a wrong value out of the tree; its default stands in. From an array, the whole array goes, since places
    /// are counted by index. False where there is nothing to take.
    pub(super) fn take_out(&mut self, path: &KeyPath) -> bool {
        let path = path.clone().without_items();
        let Some((Step::Key(key), above)) = path.last().zip(path.parent()) else { return false };
        let removed = self.table_mut(&above).and_then(|table| table.remove(key));
        self.broken.insert(path);
        removed.is_some()
    }

    /// The value at `path`.
    pub(super) fn value(&self, path: &KeyPath) -> Option<&Value> {
        path.steps().iter().try_fold(&self.tree, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Item(index) => value.get(index),
        })
    }

    /// The string at `path` as it was written, where `${NAME}` was replaced in it.
    pub(super) fn as_written(&self, path: &KeyPath) -> Option<&str> {
        self.as_written.get(path).map(String::as_str)
    }

    /// True where the value itself was written somewhere, and is no default.
    pub(super) fn was_given(&self, path: &KeyPath) -> bool {
        self.origins.contains_key(path)
    }

    /// Where the value at `path` was written; else the nearest thing around it, or in it.
    pub(super) fn place_of(&self, path: &KeyPath) -> Place {
        let exact = |origin: &Origin| match self.value(path) {
            Some(Value::Object(_)) => self.place_of_origin(origin, Side::Key),
            Some(_) | None => self.place_of_origin(origin, Side::Value),
        };
        self.origins.get(path).map_or_else(|| self.place_near(path), exact)
    }

    /// Where the key itself was written.
    pub(super) fn place_of_key(&self, path: &KeyPath) -> Place {
        let exact = |origin| self.place_of_origin(origin, Side::Key);
        self.origins.get(path).map_or_else(|| self.place_near(path), exact)
    }

    fn place_near(&self, path: &KeyPath) -> Place {
        let below = self.origins.iter().find(|(other, _)| other.is_within(path)).map(|(_, origin)| origin);
        let mut above = std::iter::successors(path.parent(), KeyPath::parent);
        let nearest = below.or_else(|| above.find_map(|path| self.origins.get(&path)));
        nearest.map_or(Place::File(self.file.to_owned()), |origin| self.place_of_origin(origin, Side::Key))
    }

    fn place_of_origin(&self, origin: &Origin, side: Side) -> Place {
        match (origin, side) {
            (Origin::Variable(name), _) => Place::Variable(name.clone()),
            (Origin::Text { key, .. }, Side::Key) => self.place_at(*key),
            (Origin::Text { value, .. }, Side::Value) => self.place_at(*value),
        }
    }

    /// Line and column of a byte.
    fn place_at(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place::Text { file: self.file.to_owned(), line, column }
    }

    fn table_mut(&mut self, path: &KeyPath) -> Option<&mut Map<String, Value>> {
        path.steps().iter().try_fold(&mut self.tree, step_into)?.as_object_mut()
    }
}

fn step_into<'v>(value: &'v mut Value, step: &Step) -> Option<&'v mut Value> {
    match step {
        Step::Key(key) => value.get_mut(key),
        Step::Item(index) => value.get_mut(*index),
    }
}

#[derive(Clone, Copy)]
enum Side {
    Key,
    Value,
}
