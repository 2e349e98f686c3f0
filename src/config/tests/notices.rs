//! Notices and their switch.

use super::{assert_begins, config_with, only, problem_with, problems, warnings_with};
use crate::config::{Notices, Template};

#[test]
fn notices_are_json_and_not_sent_unless_something_else_is_said() {
    let config = config_with("");
    assert_eq!((config.notices, config.features.client_notices), (Notices::default(), false));
    let config = config_with("[features]\nclient_notices = true\n[notices]\nheld = \"\"\n");
    assert_eq!((config.notices.held, config.notices.ready), (Template::Silent, Template::Json));
    assert!(config.features.client_notices);
}

#[test]
fn an_unknown_placeholder_is_named_with_its_place_and_the_nearest_known_one() {
    let found = problems("[upstream]\nurl = \"http://127.0.0.1:1\"\n[notices]\nheld = \"{state} {reson}\"\n");
    assert_eq!(found, ["proxy.toml:4:8: unknown placeholder {reson}; did you mean {reason}?"]);
    let text = problem_with("[notices]\nclosing = \"{7}\"\n");
    assert_eq!(text, "unknown placeholder {7}; known: {state}, {reason}, {waited_ms}, {estimate_ms}, {retry_after_ms}");
}

#[test]
fn a_template_has_a_bound() {
    let of = |length| format!("[notices]\nready = \"{}\"\n", "x".repeat(length));
    let _ = config_with(&of(1024));
    assert_begins(&problem_with(&of(1025)), "notices.ready is 1025 bytes long; at most 1024");
}

#[test]
fn templates_that_are_never_sent_are_warned_of() {
    let given = "[notices]\nheld = \"wait\"\n";
    assert_eq!(warnings_with(given), ["[notices] has no effect"]);
    assert!(warnings_with(&format!("{given}[features]\nclient_notices = true\n")).is_empty());
}

#[test]
fn there_is_no_other_kind() {
    let text = only(problems("[upstream]\nurl = \"http://127.0.0.1:1\"\n[notices]\nhelp = \"x\"\n"));
    assert_begins(&text, "unknown key \"help\" in [notices]; did you mean \"held\"?");
}
