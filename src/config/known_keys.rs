//! Which keys there are, read from the schema: the one list that cannot disagree with the code.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    key_path::{KeyPath, Step},
    raw,
};

/// Likeness (Jaro-Winkler, 0 to 1) above which a key is taken for a misspelling of another; the value clap uses for
/// its own suggestions.
const ALIKE: f64 = 0.7;

/// The schema, asked for keys.
pub(super) struct KnownKeys {
    schema: Value,
    paths: Vec<KeyPath>,
}

impl KnownKeys {
    /// Builds the schema.
    pub(super) fn new() -> Self {
        let schema = raw::schema().to_value();
        let mut paths = Vec::new();
        collect(&schema, &KeyPath::default(), &mut paths);
        Self { schema, paths }
    }

    /// Every key that has a name of its own, in no array: tables and leaves.
    pub(super) fn paths(&self) -> &[KeyPath] {
        &self.paths
    }

    /// The keys of the table at `path`.
    pub(super) fn in_table(&self, path: &KeyPath) -> BTreeSet<&str> {
        let properties = self.at(path).into_iter().filter_map(|schema| schema.get("properties")?.as_object());
        properties.flat_map(|keys| keys.keys().map(String::as_str)).collect()
    }

    /// What would be right in place of an unknown key at `path`.
    pub(super) fn suggestion(&self, path: &KeyPath) -> String {
        let (Some(Step::Key(key)), Some(table)) = (path.last(), path.parent()) else { return String::new() };
        let known = self.in_table(&table);
        if let Some(near) = nearest(key, &known) {
            return format!("did you mean {near:?}?");
        }
        let elsewhere = |other: &&KeyPath| other.steps().len() == 2 && other.last() == path.last();
        match self.paths.iter().find(elsewhere).and_then(KeyPath::parent) {
            Some(section) => format!("{key:?} is a key of [{section}]"),
            None => format!("known here: {}", Vec::from_iter(known).join(", ")),
        }
    }

    /// True where nothing but a list may stand at `path`.
    pub(super) fn is_list(&self, path: &KeyPath) -> bool {
        let schemas = self.at(path);
        !schemas.is_empty() && schemas.iter().all(|schema| schema.get("items").is_some())
    }

    /// True where a string may stand at `path`.
    pub(super) fn takes_strings(&self, path: &KeyPath) -> bool {
        self.at(path).iter().any(|schema| is_string(schema))
    }

    /// True where a list, a table or a number such as `value` may stand there beside strings.
    pub(super) fn takes_beside_strings(&self, path: &KeyPath, value: &Value) -> bool {
        let fits = |schema: &&Value| match value {
            Value::Array(_) | Value::Object(_) => schema.get("properties").is_some() || schema.get("items").is_some(),
            Value::Number(_) => schema.get("type").is_some_and(|name| name == "number"),
            Value::Null | Value::Bool(_) | Value::String(_) => false,
        };
        self.at(path).iter().any(fits)
    }

    /// The schemas a value at `path` may follow, alternatives laid out.
    fn at(&self, path: &KeyPath) -> Vec<&Value> {
        path.steps().iter().fold(alternatives(&self.schema), |schemas, step| {
            let below = schemas.into_iter().filter_map(|schema| match step {
                Step::Key(key) => schema.get("properties").and_then(|keys| keys.get(key)).or_else(|| free_keys(schema)),
                Step::Item(_) => schema.get("items"),
            });
            below.flat_map(alternatives).collect()
        })
    }
}

/// The schema of the values in a table whose keys are free.
fn free_keys(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|values| values.is_object())
}

fn alternatives(schema: &Value) -> Vec<&Value> {
    let lists = ["anyOf", "oneOf"].into_iter().filter_map(|word| schema.get(word)?.as_array());
    let nested: Vec<&Value> = lists.flatten().flat_map(alternatives).collect();
    if nested.is_empty() { vec![schema] } else { nested }
}

fn is_string(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(|name| name == "string"),
        Some(name) => name == "string",
        None => schema.get("const").is_some_and(Value::is_string),
    }
}

fn collect(schema: &Value, above: &KeyPath, paths: &mut Vec<KeyPath>) {
    for schema in alternatives(schema) {
        for (key, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = above.key(key);
            collect(below, &path, paths);
            paths.push(path);
        }
    }
}

/// The name most like `key`, where one is like it at all.
pub(super) fn nearest<'k>(key: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    let likeness = |other: &&'k str| (strsim::jaro_winkler(key, other), *other);
    let scored = known.iter().map(likeness).filter(|(score, _)| *score > ALIKE);
    scored.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, other)| other)
}
