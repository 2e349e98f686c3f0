//! Durations, counts and sizes that are zero, absurd, or at odds with each other.

use super::{MINIMAL, assert_begins, config_with, only, problem_with, problems_in};
use crate::config::{Config, Environment};

const MIB: usize = 1 << 20;

fn with_memory(bytes: u64) -> Environment {
    Environment { memory: Some(bytes), ..Environment::with_variables([]) }
}

#[test]
fn no_time_may_be_zero_or_longer_than_a_day() {
    let times = [
        ("server", "header_timeout"),
        ("upstream", "connect_timeout"),
        ("upstream", "handshake_timeout"),
        ("probe", "interval"),
        ("probe", "timeout"),
        ("gate", "hold_timeout"),
        ("probe.breaker", "cooldown"),
        ("hold", "frame_timeout"),
        ("hold", "ping_interval"),
        ("drain", "timeout"),
    ];
    for (section, key) in times {
        let text = |value: &str| match section {
            "upstream" => only(super::problems(&format!("{MINIMAL}{key} = \"{value}\"\n"))),
            other => problem_with(&format!("[{other}]\n{key} = \"{value}\"\n")),
        };
        assert_begins(&text("0s"), "this time may not be zero");
        assert_begins(&text("25h"), &format!("{section}.{key} = \"90000s\" is longer than a day"));
    }
}

#[test]
fn a_bad_duration_or_size_is_told_its_form() {
    let text = problem_with("[gate]\nhold_timeout = \"soon\"\n");
    let form =
        r#"gate.hold_timeout: invalid value: string "soon"; expected a duration such as "250ms", "30s" or "1m 30s""#;
    assert_eq!(text, form);
    let text = problem_with("[hold]\nconnection_bytes = \"1048576\"\n");
    let form =
        r#"hold.connection_bytes: invalid value: string "1048576"; expected a size such as "64KiB", "1MiB" or "2GiB""#;
    assert_eq!(text, form);
}

#[test]
fn counts_of_zero_are_refused() {
    let counts = [
        ("hold", "connection_frames"),
        ("hold", "sessions"),
        ("probe", "rise"),
        ("probe", "fall"),
        ("probe.breaker", "attempts"),
    ];
    for (section, key) in counts {
        let text = problem_with(&format!("[{section}]\n{key} = 0\n"));
        assert_begins(&text, &format!("{section}.{key} = 0 is out of range; expected 1 to"));
    }
    assert_begins(
        &problem_with("[gate]\nrelease = { concurrency = 0 }\n"),
        "gate.release.concurrency = 0 is out of range",
    );
    assert_begins(&problem_with("[hold]\nsessions = 1000001\n"), "hold.sessions = 1000001 is out of range");
}

#[test]
fn the_first_pause_may_not_be_longer_than_the_longest() {
    let text = problem_with("[probe]\nbackoff = { initial = \"2s\" }\n");
    assert_begins(&text, "initial 2s is longer than max 1s");
    let text = problem_with("backoff = { initial = \"20ms\", max = \"10ms\" }\n");
    assert_begins(&text, "initial 20ms is longer than max 10ms");
    assert_begins(&problem_with("backoff = { initial = \"0s\" }\n"), "this time may not be zero");
}

#[test]
fn nothing_can_be_held_in_zero_bytes() {
    for key in ["connection_bytes", "total_bytes"] {
        let text = super::problems(&format!("{MINIMAL}[hold]\n{key} = \"0B\"\n")).concat();
        assert!(text.contains(&format!("hold.{key} is zero: nothing could be held")), "{text}");
    }
}

#[test]
fn one_session_may_not_hold_more_than_all_together() {
    let text = problem_with("[hold]\nconnection_bytes = \"2MiB\"\ntotal_bytes = \"1MiB\"\n");
    assert_begins(&text, "one session may hold 2MiB, all together only 1MiB");
}

#[test]
fn what_clashes_with_a_default_is_named_where_it_was_written() {
    let found = super::problems(&format!("{MINIMAL}[hold]\ntotal_bytes = \"1KiB\"\n"));
    assert_eq!(found.len(), 1);
    assert_begins(&found[0], "proxy.toml:4:15: one session may hold 1MiB, all together only 1KiB");
}

#[test]
fn all_together_may_not_hold_more_than_the_memory_there_is() {
    let text = format!("{MINIMAL}[hold]\ntotal_bytes = \"129MiB\"\n");
    let found = only(problems_in(&text, &with_memory(128 << 20)));
    assert_begins(&found, "hold.total_bytes = \"129MiB\" is more than the 128MiB of memory there is");
    assert!(Config::parse(&text, "f", &with_memory(129 << 20)).is_ok());
}

#[test]
fn left_to_itself_the_hold_is_a_quarter_of_the_memory_and_at_most_256_mib() {
    let total = |memory| Config::parse(MINIMAL, "f", &with_memory(memory)).unwrap().hold.total_bytes;
    assert_eq!(total(128 << 20), 32 * MIB);
    assert_eq!(total(64 << 30), 256 * MIB);
    assert_eq!(config_with("").hold.total_bytes, 256 * MIB);
    assert_eq!(config_with("[hold]\ntotal_bytes = \"auto\"\n").hold.total_bytes, 256 * MIB);
}

#[test]
fn a_machine_too_small_for_the_defaults_is_told_so() {
    let found = only(problems_in(MINIMAL, &with_memory(2 << 20)));
    assert_begins(&found, "one session may hold 1MiB, all together only 512KiB");
}
