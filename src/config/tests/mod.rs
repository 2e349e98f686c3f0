//! What a file and an environment become, and what is said of bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod certificates;
mod checks;
mod confirm;
mod dependencies;
mod environment;
mod file;
mod gate;
mod kinds;
mod limits;
mod listen;
mod notices;
mod probe;
mod reference;
mod rollout;
mod routes;
mod upstream;

use super::{Config, Environment};

/// The smallest configuration there is.
const MINIMAL: &str = "[upstream]\nurl = \"http://127.0.0.1:8081\"\n";

fn nothing_set() -> Environment {
    Environment::with_variables([])
}

/// The configuration of a text that is sound.
fn config(text: &str) -> Config {
    Config::parse(text, "proxy.toml", &nothing_set()).unwrap()
}

/// The minimal configuration and more.
fn config_with(more: &str) -> Config {
    config(&format!("{MINIMAL}{more}"))
}

/// Problems, one a line, of a text in an environment.
fn problems_in(text: &str, environment: &Environment) -> Vec<String> {
    match Config::parse(text, "proxy.toml", environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Problems of a text.
fn problems(text: &str) -> Vec<String> {
    problems_in(text, &nothing_set())
}

/// The one problem of the minimal configuration and more, without its place.
fn problem_with(more: &str) -> String {
    only(problems(&format!("{MINIMAL}{more}")))
}

/// The one problem there is, without its place.
fn only(problems: Vec<String>) -> String {
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.concat().split_once(": ").unwrap().1.to_owned()
}

/// Warnings of the minimal configuration and more, without their places.
fn warnings_with(more: &str) -> Vec<String> {
    let text = format!("{MINIMAL}{more}");
    let loaded = Config::parse_with_warnings(&text, "proxy.toml", &nothing_set()).unwrap();
    loaded.warnings.iter().map(|warning| warning.what.clone()).collect()
}

/// Panics unless the text begins so.
#[track_caller]
fn assert_begins(text: &str, beginning: &str) {
    assert!(text.starts_with(beginning), "{text:?} does not begin with {beginning:?}");
}
