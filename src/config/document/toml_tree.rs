//! TOML with spans into the document's tree.

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    Document, Origin,
    substitute::{Fault, substitute},
};
use crate::config::{environment::Environment, key_path::KeyPath};

impl Document<'_> {
    /// The whole file; every string is completed from the environment.
    pub(super) fn take_table(&mut self, table: &DeTable<'_>, environment: &Environment) {
        let tree = self.table_of(&KeyPath::default(), table, environment);
        self.tree = Value::Object(tree);
    }

    fn table_of(&mut self, path: &KeyPath, table: &DeTable<'_>, environment: &Environment) -> Map<String, Value> {
        let mut tree = Map::new();
        for (key, value) in table {
            let path = path.key(key.get_ref());
            self.origins.insert(path.clone(), Origin::Text { key: key.span().start, value: value.span().start });
            if let Some(value) = self.value_of(&path, value, environment) {
                tree.insert(key.get_ref().to_string(), value);
            }
        }
        tree
    }

    fn array_of(&mut self, path: &KeyPath, items: &[Spanned<DeValue<'_>>], environment: &Environment) -> Option<Value> {
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let start = item.span().start;
            let path = path.item(index);
            self.origins.insert(path.clone(), Origin::Text { key: start, value: start });
            values.push(self.value_of(&path, item, environment));
        }
        values.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
    }

    /// None where the value is no value of any key; that is noted.
    fn value_of(&mut self, path: &KeyPath, value: &Spanned<DeValue<'_>>, environment: &Environment) -> Option<Value> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Value::Object(self.table_of(path, table, environment))),
            DeValue::Array(items) => self.array_of(path, items, environment),
            DeValue::String(text) => self.string_of(path, text, environment).map(Value::String),
            plain => self.take_plain(path, plain),
        }
    }

    fn take_plain(&mut self, path: &KeyPath, value: &DeValue<'_>) -> Option<Value> {
        let plain = plain(value);
        if plain.is_none() {
            self.push(path, format!("{path}: {}", fault_of(value)), "");
            self.broken.insert(path.clone().without_items());
        }
        plain
    }

    fn string_of(&mut self, path: &KeyPath, text: &str, environment: &Environment) -> Option<String> {
        match substitute(text, |name| environment.variable(name)) {
            Ok(None) => Some(text.to_owned()),
            Ok(Some(whole)) => {
                self.as_written.insert(path.clone(), text.to_owned());
                Some(whole)
            }
            Err(faults) => {
                faults.iter().for_each(|fault| self.push_fault(path, fault));
                self.broken.insert(path.clone().without_items());
                None
            }
        }
    }

    fn push_fault(&mut self, path: &KeyPath, fault: &Fault) {
        match fault {
            Fault::Unset(name) => {
                let what = format!("${{{name}}} in {path}: the environment variable {name} is not set");
                self.push(path, what, "set it, or write $${ for a literal ${");
            }
            Fault::Unclosed => self.push(path, format!("${{ in {path} has no closing brace"), "write ${NAME}"),
            Fault::NoName(_) => {
                let what = format!("what stands between ${{ and }} in {path} is no name of a variable");
                self.push(path, what, "use letters, digits and underscores, as in ${DB_PASSWORD}");
            }
        }
    }
}

/// A value given by an environment variable, where it is TOML at all.
pub(super) fn value_from(text: &str) -> Option<Value> {
    DeValue::parse(text).ok().and_then(|value| nested(value.get_ref()))
}

fn nested(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                Some((ToString::to_string(key.get_ref()), nested(value.get_ref())?))
            };
            table.iter().map(entry).collect::<Option<Map<String, Value>>>().map(Value::Object)
        }
        DeValue::Array(items) => {
            items.iter().map(|item| nested(item.get_ref())).collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        plain_value => plain(plain_value),
    }
}

/// Strings, numbers and booleans. Dates, infinities and integers beyond 64 bits are values of no key.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Integer(integer) => integer_of(integer),
        DeValue::Float(float) => float.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number),
        DeValue::Boolean(boolean) => Some(Value::Bool(*boolean)),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Why a value is none of [`plain`]'s.
fn fault_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Datetime(_) => "no key takes a date",
        DeValue::Integer(_) => "this number does not fit into 64 bits",
        DeValue::Float(_) => "this number is not finite",
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => "no key takes this value",
    }
}

fn integer_of(integer: &DeInteger<'_>) -> Option<Value> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::from)
}
