//! What a file must not do to the reading of the configuration.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Config, Environment, problem::Place};

/// No text brings it down, it says the same twice, and whatever it complains of stands inside the file.
pub(crate) fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = || Environment::with_variables([("SECRET", "hush"), ("PORT", "8080")]);
    let read = || Config::parse(text, "proxy.toml", &environment());
    let Err(problems) = read() else { return assert!(read().is_ok()) };
    let again = read().expect_err("the same problems");
    assert_eq!(problems.to_string(), again.to_string());
    assert!(problems.iter().count() > 0, "an error without a problem");
    for problem in problems.iter() {
        assert!(!problem.what.is_empty());
        if let Place::Text { line, column, .. } = &problem.place {
            let of_line = text.lines().chain([""]).nth(line - 1).expect("a line of the file");
            assert!((1..=of_line.chars().count() + 1).contains(column), "{line}:{column} of {of_line:?}");
        }
    }
}
