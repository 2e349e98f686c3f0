//! Files that cannot be read, are no TOML, or say what nobody understands.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{MINIMAL, config, nothing_set, only, problem_with, problems};
use crate::config::{Config, Environment};

#[test]
fn a_missing_file_is_named() {
    let path = TempDir::new().unwrap().path().join("absent.toml");
    let text = Config::load(&path, &nothing_set()).unwrap_err().to_string();
    assert_eq!(text, format!("{}: no such file; name the configuration with --config", path.display()));
}

#[test]
fn a_directory_and_a_file_that_is_not_utf8_are_refused() {
    let directory = TempDir::new().unwrap();
    let binary = directory.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe]).unwrap();
    let load = |path: &Path| Config::load(path, &nothing_set()).unwrap_err().to_string();
    assert!(load(directory.path()).contains("cannot be read: "));
    assert!(load(&binary).contains("it is not UTF-8"));
}

#[test]
fn a_file_is_loaded() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.toml");
    fs::write(&path, MINIMAL).unwrap();
    assert_eq!(Config::load(&path, &nothing_set()).unwrap().upstream.target.port, 8081);
}

#[test]
fn several_mistakes_of_syntax_are_said_at_once_and_nothing_is_guessed_beyond_them() {
    let found = problems("[server]\nlisten = \nworkers = 1\n[hold]\nsessions = = 5\n");
    let places: Vec<&str> = found.iter().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["proxy.toml:2:10", "proxy.toml:5:12"]);
}

#[test]
fn a_key_given_twice_is_a_mistake() {
    assert_eq!(only(problems("[server]\nworkers = 1\nworkers = 2\n")), "duplicate key");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let found = problems(&format!("{MINIMAL}[gate]\n  hold_timeot = \"3s\"\n"));
    let expected = r#"proxy.toml:4:3: unknown key "hold_timeot" in [gate]; did you mean "hold_timeout"?"#;
    assert_eq!(found, [expected]);
}

#[test]
fn an_unknown_key_with_no_near_one_gets_the_list() {
    let text = problem_with("[drain]\ngrace = \"1s\"\n");
    assert_eq!(text, r#"unknown key "grace" in [drain]; known here: timeout"#);
}

#[test]
fn a_known_key_in_the_wrong_section_is_told_where_it_belongs() {
    let text = problem_with("[hold]\nhold_timeout = \"3s\"\n");
    assert_eq!(text, r#"unknown key "hold_timeout" in [hold]; "hold_timeout" is a key of [gate]"#);
}

#[test]
fn unknown_keys_inside_inline_tables_are_found() {
    let found = problems("[upstream]\nurl = \"http://h\"\ncheck = [\"/a\", { url = \"/b\", hedders = {} }]\n");
    let expected = r#"proxy.toml:3:30: unknown key "hedders" in upstream.check[1]; did you mean "headers"?"#;
    assert_eq!(found, [expected]);
}

#[test]
fn wrong_types_are_all_named_at_once_in_the_words_of_toml() {
    let found = problems(
        "[server]\nworkers = \"two\"\ntls = 5\n[gate]\naccept = \"erly\"\nsubprotocols = \"a\"\n\
         hold_timeout = 30\n\
         [hold]\nsessions = -1\n",
    );
    let expected = [
        "proxy.toml: upstream.url is missing: there is no backend to forward to; write url = \"http://127.0.0.1:8081\" (https:// for TLS)",
        "proxy.toml:2:11: server.workers: invalid type: string \"two\"; expected a whole number, not negative",
        "proxy.toml:3:7: server.tls: invalid type: integer `5`; expected a table",
        "proxy.toml:5:10: gate.accept: unknown variant `erly`; expected one of `auto`, `early`, `deferred`",
        "proxy.toml:6:16: gate.subprotocols: invalid type: string \"a\"; expected a list",
        "proxy.toml:7:16: gate.hold_timeout: invalid type: integer `30`; expected a duration such as \"250ms\", \"30s\" or \"1m 30s\"",
        "proxy.toml:9:12: hold.sessions: invalid value: integer `-1`; expected a whole number, not negative",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_wrong_type_is_not_also_judged_as_if_its_default_had_been_written() {
    let found = problems(&format!("{MINIMAL}[hold]\ntotal_bytes = 5\nconnection_bytes = \"1TiB\"\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("expected \"auto\" or a size such as"), "{found:#?}");
}

#[test]
fn a_section_that_is_no_table_is_a_wrong_type() {
    let found = problems(&format!("gate = 5\n{MINIMAL}"));
    assert_eq!(found, ["proxy.toml:1:8: gate: invalid type: integer `5`; expected a table"]);
}

#[test]
fn columns_count_characters() {
    let found = problems(&format!("{MINIMAL}[log]\nlevel = \"ä\" # ö\n[gate]\nsubprotocols = [\"ööö\", \"x y\"]\n"));
    let places: Vec<&str> = found.iter().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["proxy.toml:4:9", "proxy.toml:6:17", "proxy.toml:6:24"]);
}

#[test]
fn dates_and_numbers_beyond_64_bits_are_values_of_no_key() {
    assert_eq!(problem_with("[log]\nlevel = 2020-01-01\n"), "log.level: no key takes a date");
    let huge = problem_with("[server]\nworkers = 99999999999999999999\n");
    assert_eq!(problem_with("[hold]\nsessions = inf\n"), "hold.sessions: this number is not finite");
    assert_eq!(huge, "server.workers: this number does not fit into 64 bits");
}

#[test]
fn more_wrong_types_than_anybody_writes_end_the_reading() {
    let headers: String = (0..200).map(|n| format!("h{n} = {n}\n")).collect();
    let text = format!("{MINIMAL}[upstream.check.headers]\n{headers}");
    assert_eq!(Config::parse(&text, "proxy.toml", &nothing_set()).unwrap_err().iter().count(), 100);
}

#[test]
fn warnings_do_not_stand_in_the_way() {
    let text = format!("{MINIMAL}[gate]\nallowed_origins = [\"*\", \"https://a\"]\n");
    let loaded = Config::parse_with_warnings(&text, "proxy.toml", &nothing_set()).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [r#"proxy.toml:4:19: "*" takes all origins: the others in the list have no effect"#]);
}

#[test]
fn the_smallest_file_is_sound_and_its_check_a_guess() {
    let config = config(MINIMAL);
    assert!(config.upstream.check_is_guess);
    assert_eq!(config.upstream.checks.len(), 1);
    assert_eq!(config.server.workers, Environment::with_variables([]).cpus);
}
