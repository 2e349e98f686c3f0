//! `READYGATE_SECTION__KEY=…`: environment variables laid over the file.

use serde_json::{Map, Value};

use super::{Document, Origin, toml_tree::value_from};
use crate::config::{
    environment::Environment,
    key_path::{KeyPath, Step},
    known_keys::KnownKeys,
    problem::Place,
};

/// Variables that begin so belong to readygate.
const PREFIX: &str = "READYGATE_";
/// Stands between the levels. Without it a variable is none of ours (but for the list `READYGATE_ROUTES`): Kubernetes sets `READYGATE_SERVICE_HOST` and the
/// like for a Service of the name `readygate`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
const LEVEL: &str = "__";

impl Document<'_> {
    pub(super) fn lay_over(&mut self, environment: &Environment) {
        let known = KnownKeys::new();
        for (variable, text) in &environment.variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let path = name.split(LEVEL).map(|key| Step::Key(key.to_lowercase())).collect();
            if !name.contains(LEVEL) && !known.is_list(&path) {
                self.warn_of_a_near_miss(variable, name, &known);
                continue;
            }
            let value = typed(text, &path, &known);
            self.lay(&self.as_spelled(&path), variable, value);
        }
    }

    /// The path with each key as the file spells it. A variable's name has capitals and underscores alone, so
    /// `READYGATE_DEPENDENCIES__MAIN_DB__REQUIRED` is meant for `[dependencies.Main-db]` where there is one.
    fn as_spelled(&self, path: &KeyPath) -> KeyPath {
        path.steps().iter().fold(KeyPath::default(), |above, step| {
            let Step::Key(key) = step else { return above };
            let table = self.value(&above).and_then(Value::as_object);
            let same = table.and_then(|table| table.keys().find(|other| folded(other) == folded(key)));
            above.key(same.unwrap_or(key))
        })
    }

    fn lay(&mut self, path: &KeyPath, variable: &str, value: Value) {
        let (Some(Step::Key(key)), Some(above)) = (path.last(), path.parent()) else { return };
        let Some(table) = self.grow(&above) else {
            let what = format!("{above} is no table in the file, so {path} cannot be set");
            return self.push_at(Place::Variable(variable.to_owned()), what, format!("set {above} as a whole"));
        };
        table.insert(key.clone(), value);
        self.origins.retain(|other, _| !other.is_within(path));
        self.as_written.retain(|other, _| !other.is_within(path));
        self.broken.retain(|other| !other.is_within(path));
        self.origins.insert(path.clone(), Origin::Variable(variable.to_owned()));
    }

    /// The table at `path`, made where it is missing; none where something else stands in the way.
    fn grow(&mut self, path: &KeyPath) -> Option<&mut Map<String, Value>> {
        let mut table = self.tree.as_object_mut()?;
        for step in path.steps() {
            let Step::Key(key) = step else { return None };
            table = table.entry(key).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
        }
        Some(table)
    }

    fn warn_of_a_near_miss(&mut self, variable: &str, name: &str, known: &KnownKeys) {
        let meant = |path: &&KeyPath| variable_name(path, "_") == name;
        if let Some(path) = known.paths().iter().find(meant) {
            let help = format!("did you mean {PREFIX}{}?", variable_name(path, LEVEL));
            self.warn_at(Place::Variable(variable.to_owned()), "this variable has no effect", help);
        }
    }
}

/// A key as the name of a variable can say it.
pub(in crate::config) fn folded(key: &str) -> String {
    key.to_lowercase().replace(['-', '.'], "_")
}

/// A string where the key takes nothing else; where it takes lists, tables or numbers too, TOML decides.
fn typed(text: &str, path: &KeyPath, known: &KnownKeys) -> Value {
    let as_it_is = || Value::String(text.to_owned());
    match (known.takes_strings(path), value_from(text)) {
        (_, None) => as_it_is(),
        (false, Some(value)) => value,
        (true, Some(value)) if known.takes_beside_strings(path, &value) => value,
        (true, Some(_)) => as_it_is(),
    }
}

fn variable_name(path: &KeyPath, between: &str) -> String {
    let key = |step: &Step| match step {
        Step::Key(key) => key.to_uppercase(),
        Step::Item(index) => index.to_string(),
    };
    path.steps().iter().map(key).collect::<Vec<String>>().join(between)
}
