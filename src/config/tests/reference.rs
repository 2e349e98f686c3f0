//! proxy.toml is held to the code: every key, each with its real default.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{config, nothing_set, problems_in};
use crate::config::{
    Config, Environment,
    key_path::{KeyPath, Step},
    known_keys::KnownKeys,
    raw::RawConfig,
};

const REFERENCE: &str = include_str!("../../../proxy.toml");
const EXAMPLE: &str = "#e.g. ";

/// A line `#key = value`: a default.
fn default_of(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| !line.starts_with(EXAMPLE) && rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The file with all its defaults written out.
fn with_defaults() -> String {
    let lines: Vec<&str> = REFERENCE.lines().map(|line| default_of(line).unwrap_or(line)).collect();
    lines.join("\n")
}

/// Every example by itself: one line with the header of its section, or a table of its own with the lines below it.
fn examples() -> Vec<String> {
    let (mut texts, mut section, mut table) = (Vec::new(), "", String::new());
    for line in REFERENCE.lines() {
        match line.strip_prefix(EXAMPLE) {
            Some(example) if !table.is_empty() || example.starts_with('[') => {
                table.push_str(example);
                table.push('\n');
            }
            Some(example) => texts.push(format!("{section}\n{example}\n")),
            None if table.is_empty() => {}
            None => texts.push(std::mem::take(&mut table)),
        }
        if line.starts_with('[') {
            section = line;
        }
    }
    texts
}

fn tree(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// Stands for any name in a table whose keys are free.
const ANY: &str = "NAME";

/// Every key that the schema names, in lists and under free names too.
fn keys_of_the_schema(schema: &Value, above: &KeyPath, found: &mut BTreeSet<KeyPath>) {
    let lists = ["anyOf", "oneOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    lists.chain(schema.get("items")).for_each(|below| keys_of_the_schema(below, above, found));
    if let Some(below) = schema.get("additionalProperties") {
        keys_of_the_schema(below, &above.key(ANY), found);
    }
    for (key, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = above.key(key);
        keys_of_the_schema(below, &path, found);
        found.insert(path);
    }
}

/// With the name of a dependency as the schema has it.
fn nameless(path: &KeyPath) -> KeyPath {
    let is_name = |depth: usize| depth == 1 && path.is_within(&KeyPath::from("dependencies"));
    let steps = path.steps().iter().enumerate();
    steps.map(|(depth, step)| if is_name(depth) { Step::Key(ANY.into()) } else { step.clone() }).collect()
}

/// Paths of all keys below a table; what stands in lists counts as if it stood alone.
fn paths(value: &Value, above: &KeyPath, found: &mut BTreeSet<KeyPath>) {
    match value {
        Value::Object(table) => {
            for (key, below) in table {
                let path = above.key(key);
                paths(below, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, above, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_file_as_it_stands_sets_nothing_but_the_url() {
    let mut found = BTreeSet::new();
    paths(&tree(REFERENCE), &KeyPath::default(), &mut found);
    let leaves: Vec<String> = found.iter().filter(|path| path.steps().len() > 1).map(ToString::to_string).collect();
    assert_eq!(leaves, ["upstream.url"]);
}

#[test]
fn every_default_in_the_file_is_the_real_one_and_none_is_missing() {
    let mut written = tree(&with_defaults());
    written["upstream"].as_object_mut().unwrap().remove("url");
    assert_eq!(written, serde_json::to_value(RawConfig::default()).unwrap());
}

#[test]
fn with_all_defaults_written_out_the_configuration_is_the_same() {
    let (bare, written) = (config(REFERENCE), config(&with_defaults()));
    assert_eq!(format!("{bare:?}"), format!("{written:?}"));
}

#[test]
fn every_key_of_the_schema_appears_as_a_default_or_in_an_example() {
    let mut found = BTreeSet::new();
    for text in examples().iter().chain([&with_defaults()]) {
        paths(&tree(text), &KeyPath::default(), &mut found);
    }
    let found: BTreeSet<KeyPath> = found.iter().map(nameless).collect();
    let mut known = BTreeSet::new();
    keys_of_the_schema(&crate::config::schema().to_value(), &KeyPath::default(), &mut known);
    assert!(known.len() > 100, "the schema names only {} keys", known.len());
    // A check may say everywhere what it may say of the upstream.
    let in_a_check = KeyPath::from("dependencies.NAME.check");
    let missing = known.difference(&found).filter(|path| !path.is_within(&in_a_check) || **path == in_a_check);
    assert_eq!(missing.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_example_is_right_but_for_files_that_are_not_here() {
    let environment =
        Environment::with_variables([("HEALTH_TOKEN", "t"), ("REDIS_PASSWORD", "p%40ss"), ("DB_PASSWORD", "d")]);
    let examples = examples();
    assert!(examples.len() > 10);
    for example in examples {
        let text = match example.contains("[upstream]") {
            true => example.replace("[upstream]", "[upstream]\nurl = \"https://127.0.0.1:8081\""),
            false => format!("{example}[upstream]\nurl = \"https://127.0.0.1:8081\"\n"),
        };
        let found = problems_in(&text, &environment);
        assert!(found.iter().all(|line| line.contains("cannot be read: No such file")), "{example}{found:#?}");
    }
}

#[test]
fn every_key_and_section_has_words_above_it() {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    for pair in lines.windows(2).filter(|pair| default_of(pair[1]).is_some() || pair[1].starts_with('[')) {
        let is_prose = pair[0].starts_with("# ") || pair[0].starts_with("#   ");
        assert!(is_prose, "{}", pair[1]);
    }
}

#[test]
fn every_key_of_the_schema_is_described() {
    let schema = crate::config::schema().to_value();
    let tables = ["dependencies", "routes"].map(KeyPath::from);
    let inside =
        [&schema["properties"]["dependencies"]["additionalProperties"], &schema["properties"]["routes"]["items"]];
    for path in KnownKeys::new().paths() {
        assert!(described(&schema, path), "{path}");
    }
    for (table, schema) in tables.iter().zip(inside) {
        let keys = schema["properties"].as_object().unwrap();
        assert!(keys.keys().all(|key| described(schema, &KeyPath::from(key.as_str()))), "{table}");
    }
}

fn described(schema: &Value, path: &KeyPath) -> bool {
    let Some((first, rest)) = path.steps().split_first() else {
        return schema.get("description").is_some_and(|text| !text.as_str().unwrap().is_empty());
    };
    let Step::Key(key) = first else { return false };
    let rest: KeyPath = rest.iter().cloned().collect();
    let below = schema.get("properties").and_then(|keys| keys.get(key));
    let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    below.is_some_and(|below| described(below, &rest)) || alternatives.into_iter().any(|other| described(other, path))
}

#[test]
fn the_reference_holds_on_a_small_container_too() {
    let small = Environment { memory: Some(128 << 20), ..nothing_set() };
    assert!(Config::parse(&with_defaults(), "proxy.toml", &small).is_ok());
}
