//! `gate.confirm`.

use std::time::Duration;

use serde_json::json;

use super::{assert_begins, config_with, problem_with};
use crate::config::{Confirm, OnTimeout};

fn confirm(table: &str) -> Confirm {
    let config = config_with(&format!("[gate]\nconfirm = {table}\n"));
    Confirm::clone(config.gate.confirm.as_ref().unwrap())
}

#[test]
fn without_a_word_of_it_nothing_has_to_be_confirmed() {
    assert!(config_with("").gate.confirm.is_none());
}

#[test]
fn a_confirmation_by_json_has_the_usual_limits() {
    let confirm = confirm(r#"{ json = { "/connection_ready" = true } }"#);
    assert_eq!(confirm.json, [("/connection_ready".to_owned(), json!(true))]);
    assert_eq!((confirm.timeout, confirm.on_timeout), (Duration::from_secs(5), OnTimeout::Close));
    assert_eq!((confirm.text, confirm.message_bytes), (None, 64 << 10));
}

#[test]
fn a_message_must_have_all_values_and_the_text() {
    let confirm = confirm(r#"{ json = { "/a" = 1, "/b/0" = "x" }, text = "ok" }"#);
    assert!(confirm.accepts(br#"{"a":1,"b":["x"],"c":"ok"}"#));
    let others = [r#"{"a":1,"b":["x"]}"#, r#"{"a":1,"b":["y"],"c":"ok"}"#, r#"{"a":1,"b":["x"],"c":"ok""#, "ok", ""];
    for other in others {
        assert!(!confirm.accepts(other.as_bytes()), "{other}");
    }
    assert!(!confirm.accepts(b"{\"a\":1,\"b\":[\"x\"],\"c\":\"ok\xff\"}"));
}

#[test]
fn a_text_needs_no_json() {
    assert!(confirm(r#"{ text = "ready" }"#).accepts(b"I am ready."));
}

#[test]
fn a_table_that_names_no_message_is_told_what_is_missing() {
    for table in ["{}", r#"{ timeout = "1s" }"#, "{ json = {} }"] {
        let text = problem_with(&format!("[gate]\nconfirm = {table}\n"));
        assert_begins(&text, "gate.confirm does not say which message confirms; give json = {");
    }
    let text = problem_with("[[routes]]\npath = \"/a\"\nconfirm = {}\n");
    assert_begins(&text, "routes[0].confirm does not say which message confirms");
}

#[test]
fn values_that_can_never_be_met_are_refused() {
    for (table, problem) in [
        (r#"{ json = { "ready" = true } }"#, "\"ready\" is no JSON pointer"),
        (r#"{ text = "" }"#, "text is empty, and every body contains that"),
        (r#"{ text = "a", timeout = "0s" }"#, "this time may not be zero"),
        (
            r#"{ text = "a", message_bytes = "0B" }"#,
            "gate.confirm.message_bytes = \"0B\" is out of range; expected 1B to",
        ),
        (r#"{ text = "a", message_bytes = "17MiB" }"#, "gate.confirm.message_bytes = \"17MiB\" is out of range"),
        (r#"{ text = "a", on_timeout = "hold" }"#, "gate.confirm.on_timeout: unknown variant `hold`"),
        (r#"{ text = "a", timout = "1s" }"#, "unknown key \"timout\" in gate.confirm; did you mean \"timeout\"?"),
    ] {
        assert_begins(&problem_with(&format!("[gate]\nconfirm = {table}\n")), problem);
    }
}

#[test]
fn a_route_has_its_own_as_a_whole_or_that_of_the_gate() {
    let config = config_with(
        "[gate]\nconfirm = { text = \"a\", timeout = \"9s\" }\n\
         [[routes]]\npath = \"/own\"\nconfirm = { text = \"b\" }\n[[routes]]\npath = \"/like\"\n",
    );
    let of = |route: usize| config.routes[route].gate.confirm.as_ref().unwrap();
    assert_eq!((of(0).text.as_deref(), of(0).timeout), (Some("b"), Duration::from_secs(5)));
    assert_eq!((of(1).text.as_deref(), of(1).timeout), (Some("a"), Duration::from_secs(9)));
}

#[test]
fn a_route_can_do_without_the_one_of_the_gate_and_every_word_but_false_is_told_the_form() {
    let gate = "[gate]\nconfirm = { text = \"a\" }\n[[routes]]\npath = \"/quick\"\nconfirm = ";
    let config = config_with(&format!("{gate}false\n"));
    let confirms = config.routes.iter().map(|route| route.gate.confirm.is_some());
    assert_eq!(confirms.collect::<Vec<_>>(), [false, true]);
    assert!(config_with("[gate]\nconfirm = false\n").gate.confirm.is_none());
    for (word, found) in
        [("true", "value: boolean `true`"), ("\"no\"", "type: string \"no\""), ("0", "type: integer `0`")]
    {
        let problem = problem_with(&format!("{gate}{word}\n"));
        let form = r#"expected a table such as { json = { "/connection_ready" = true } }, or false"#;
        assert_eq!(problem, format!("routes[0].confirm: invalid {found}; {form}"));
    }
    assert_begins(
        &problem_with(&format!("{gate}{{ text = \"a\", txt = \"b\" }}\n")),
        "unknown key \"txt\" in routes[0].confirm",
    );
}
