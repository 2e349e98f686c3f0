//! Modes and rollout.

use super::{assert_begins, config_with, problem_with, problems, warnings_with};
use crate::config::{Mode, Rollout, RolloutKey};

fn key(value: &str) -> RolloutKey {
    config_with(&format!("[gate]\nrollout_key = {value}\n")).gate.rollout.key
}

#[test]
fn everybody_is_gated_unless_something_else_is_said() {
    let gate = config_with("").gate;
    assert_eq!((gate.mode, gate.rollout), (Mode::Enforce, Rollout::default()));
}

#[test]
fn a_client_is_known_by_address_header_or_cookie() {
    assert_eq!(key("\"address\""), RolloutKey::Address);
    assert_eq!(key("{ header = \"X-User\" }"), RolloutKey::Header(http::HeaderName::from_static("x-user")));
    assert_eq!(key("{ cookie = \"sid\" }"), RolloutKey::Cookie("sid".to_owned()));
}

#[test]
fn what_no_client_can_be_known_by_is_refused_with_what_would_be_right() {
    let form = "expected \"address\", { header = \"x-user\" } or { cookie = \"sid\" }";
    for (value, what) in [
        ("{}", "rollout_key names neither a header nor a cookie"),
        ("{ header = \"a\", cookie = \"b\" }", "a client is known by a header or by a cookie, not by both"),
        ("{ header = \"a b\" }", "\"a b\" is no name of a header"),
        ("{ cookie = \"a;b\" }", "\"a;b\" is no name of a cookie"),
        ("\"ip\"", "gate.rollout_key: invalid value: string \"ip\""),
        ("7", "gate.rollout_key: invalid type: integer `7`"),
    ] {
        let text = problem_with(&format!("[gate]\nrollout_key = {value}\n"));
        assert_begins(&text, &format!("{what}; {form}"));
    }
}

#[test]
fn a_share_is_0_to_100_percent() {
    for good in [0, 1, 100] {
        let config = config_with(&format!("[gate]\nrollout_percent = {good}\n"));
        assert_eq!(config.gate.rollout.percent, good);
    }
    let text = problem_with("[gate]\nrollout_percent = 101\n");
    assert_begins(&text, "gate.rollout_percent = 101 is out of range; expected 0 to 100");
}

#[test]
fn a_problem_names_its_line_and_column() {
    let text = problems("[upstream]\nurl = \"http://127.0.0.1:1\"\n[gate]\nmode = \"on\"\nrollout_percent = 200\n");
    assert_begins(
        &text[0],
        "proxy.toml:4:8: gate.mode: unknown variant `on`; expected one of `enforce`, `observe`, `off`",
    );
    assert_begins(&text[1], "proxy.toml:5:19: gate.rollout_percent = 200");
}

#[test]
fn a_route_has_its_own_mode_and_share() {
    let routes = config_with(
        "[gate]\nmode = \"observe\"\nrollout_key = { cookie = \"sid\" }\n[[routes]]\npath = \"/a\"\nmode = \"enforce\"\n\
         rollout_percent = 5\n[[routes]]\npath = \"/b\"\nmode = \"off\"\nrollout_key = \"address\"\n",
    )
    .routes;
    let cookie = || RolloutKey::Cookie("sid".to_owned());
    let found: Vec<_> = routes.into_iter().map(|route| (route.gate.mode, route.gate.rollout)).collect();
    let rollout = |percent, key| Rollout { percent, key };
    let expected = [
        (Mode::Enforce, rollout(5, cookie())),
        (Mode::Off, rollout(100, RolloutKey::Address)),
        (Mode::Observe, rollout(100, cookie())),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_share_of_what_is_not_gated_is_warned_of() {
    let warnings = |gate: &str| warnings_with(gate);
    let told = warnings("[gate]\nmode = \"observe\"\nrollout_percent = 10\n");
    assert_eq!(told, ["rollout_percent has no effect: mode is \"observe\" for everybody"]);
    assert!(warnings("[gate]\nrollout_percent = 10\n").is_empty());
}
