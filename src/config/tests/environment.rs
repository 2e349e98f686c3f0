//! Variables over the file, and in its strings.

use std::net::SocketAddr;

use super::{MINIMAL, only, problems_in};
use crate::config::{AllowedOrigins, CheckKind, Config, Environment, WaitFor};

fn config_in<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Config {
    Config::parse(text, "proxy.toml", &Environment::with_variables(variables)).unwrap()
}

fn problems_of<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Vec<String> {
    problems_in(text, &Environment::with_variables(variables))
}

#[test]
fn a_variable_replaces_the_value_of_the_file() {
    let text = format!("{MINIMAL}[gate]\nhold_timeout = \"1s\"\n");
    let config = config_in(&text, [("READYGATE_GATE__HOLD_TIMEOUT", "10s")]);
    assert_eq!(config.gate.hold_timeout.as_secs(), 10);
}

#[test]
fn a_variable_needs_no_file_to_stand_on() {
    let config = config_in("", [("READYGATE_UPSTREAM__URL", "http://backend:81")]);
    assert_eq!((config.upstream.target.host.as_str(), config.upstream.target.port), ("backend", 81));
}

#[test]
fn variables_hold_numbers_lists_and_tables_where_the_key_takes_them() {
    let config = config_in(
        MINIMAL,
        [
            ("READYGATE_PROBE__FALL", "7"),
            ("READYGATE_GATE__RELEASE__CONCURRENCY", "2"),
            ("READYGATE_GATE__SUBPROTOCOLS", r#"["a", "b"]"#),
            ("READYGATE_UPSTREAM__CHECK", r#"{ url = "/ready", status = [204] }"#),
            ("READYGATE_GATE__CLOSE_CODES__404", "4004"),
        ],
    );
    assert_eq!(config.upstream.checks[0].pacing.fall, 7);
    assert_eq!(config.gate.release_concurrency.get(), 2);
    assert_eq!(config.gate.subprotocols, ["a", "b"]);
    assert_eq!(config.gate.close_codes, [(404, 4004)]);
    assert!(matches!(&config.upstream.checks[0].kind, CheckKind::Http(http) if http.status == [204]));
}

#[test]
fn a_key_that_takes_strings_gets_the_variable_as_it_is() {
    let config = config_in(MINIMAL, [("READYGATE_UPSTREAM__CHECK", "/ready"), ("READYGATE_LOG__LEVEL", "debug")]);
    assert!(matches!(&config.upstream.checks[0].kind, CheckKind::Http(http) if http.path == "/ready"));
    let timeout = only(problems_of(MINIMAL, [("READYGATE_DRAIN__TIMEOUT", "5")]));
    assert!(timeout.contains("invalid value: string \"5\""), "{timeout}");
}

#[test]
fn a_wrong_value_names_the_variable() {
    let text = format!("{MINIMAL}[hold]\nsessions = 5\n[gate]\nallowed_origins = [\"x\", \"y\"]\n");
    let found = problems_of(
        &text,
        [("READYGATE_HOLD__SESSIONS", "many"), ("READYGATE_GATE__ALLOWED_ORIGINS", "[\"same-host\", \"bad\"]")],
    );
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("READYGATE_GATE__ALLOWED_ORIGINS: \"bad\" is no origin"), "{found:#?}");
    assert!(found[1].starts_with("READYGATE_HOLD__SESSIONS: hold.sessions: invalid type: string \"many\""));
}

#[test]
fn a_variable_for_an_unknown_key_is_an_error() {
    let found = problems_of(MINIMAL, [("READYGATE_GATES__ACCEPT", "early"), ("READYGATE_GATE__ACEPT", "early")]);
    let expected = [
        r#"READYGATE_GATES__ACCEPT: unknown key "gates"; did you mean "gate"?"#,
        r#"READYGATE_GATE__ACEPT: unknown key "acept" in [gate]; did you mean "accept"?"#,
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_variable_below_a_plain_value_is_an_error() {
    let text = format!("{MINIMAL}check = \"/ready\"\n");
    let found = only(problems_of(&text, [("READYGATE_UPSTREAM__CHECK__TIMEOUT", "1s")]));
    assert!(found.starts_with("upstream.check is no table in the file"), "{found}");
}

#[test]
fn variables_of_kubernetes_are_left_alone_and_near_misses_are_warned_of() {
    let variables = [("READYGATE_SERVICE_HOST", "10.0.0.1"), ("READYGATE_GATE_HOLD_TIMEOUT", "10s")];
    let loaded = Config::parse_with_warnings(MINIMAL, "f", &Environment::with_variables(variables)).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected =
        "READYGATE_GATE_HOLD_TIMEOUT: this variable has no effect; did you mean READYGATE_GATE__HOLD_TIMEOUT?";
    assert_eq!(warnings, [expected]);
}

#[test]
fn the_name_of_a_dependency_is_found_however_the_file_spells_it() {
    let text = format!("{MINIMAL}[dependencies.Main-db_1]\ncheck = \"tcp://h:1\"\n");
    let config = config_in(
        &text,
        [
            ("READYGATE_DEPENDENCIES__MAIN_DB_1__REQUIRED", "false"),
            ("READYGATE_DEPENDENCIES__CACHE__CHECK", "redis://:pw@h"),
            ("READYGATE_DEPENDENCIES__CACHE__REQUIRED", "false"),
        ],
    );
    let names: Vec<(&str, bool)> =
        config.dependencies.iter().map(|each| (each.check.name.as_str(), each.required)).collect();
    assert_eq!(names, [("Main-db_1", false), ("cache", false)]);
}

#[test]
fn the_list_of_routes_is_a_variable_as_a_whole() {
    let config = config_in(MINIMAL, [("READYGATE_ROUTES", r#"[{ path = "/ws/*", hold_timeout = "9s" }]"#)]);
    assert_eq!((config.routes.len(), config.routes[0].gate.hold_timeout.as_secs()), (2, 9));
    let found = only(problems_of(MINIMAL, [("READYGATE_ROUTES", r#"[{ path = "ws" }]"#)]));
    assert!(found.starts_with("\"ws\" is no path"), "{found}");
}

#[test]
fn switches_and_the_profile_are_variables_like_any_other() {
    let config = config_in(
        MINIMAL,
        [
            ("READYGATE_PROBE__PROFILE", "2.5"),
            ("READYGATE_FEATURES__ADAPTIVE_TIMING", "false"),
            ("READYGATE_HTTP__WAIT_FOR", "all"),
            ("READYGATE_PROBE__BREAKER__ATTEMPTS", "4"),
        ],
    );
    assert_eq!(config.profile.patience, 2.5);
    assert!(!config.features.adaptive_timing && config.features.dependency_checks);
    assert_eq!((config.http.wait_for, config.upstream.checks[0].pacing.breaker.attempts), (WaitFor::All, 4));
    assert_eq!(config_in(MINIMAL, [("READYGATE_PROBE__PROFILE", "cloud-run")]).profile.patience, 1.5);
}

#[test]
fn names_in_strings_are_replaced_at_any_depth() {
    let text = format!("{MINIMAL}[gate]\nallowed_origins = [\"https://${{DOMAIN}}\"]\n");
    let config = config_in(&text, [("DOMAIN", "example.com")]);
    let origins = vec!["https://example.com".to_owned()];
    assert_eq!(config.gate.allowed_origins, AllowedOrigins::Listed { same_host: false, origins });
}

#[test]
fn every_unset_name_is_reported_with_its_line_and_column() {
    let text = "[upstream]\nurl = \"http://${HOST}:${PORT_OF_IT}\"\n# ${COMMENT}\n";
    let found = problems_of(text, []);
    let help = "set it, or write $${ for a literal ${";
    let line = |name| {
        format!("proxy.toml:2:7: ${{{name}}} in upstream.url: the environment variable {name} is not set; {help}")
    };
    assert_eq!(found, [line("HOST"), line("PORT_OF_IT")]);
}

#[test]
fn what_a_variable_held_is_never_printed() {
    let variables = || [("SECRET", "hunter2")];
    let texts = [
        "[upstream]\nurl = \"http://h\"\ncheck = \"redis://:${SECRET}@h/x\"\n[server]\nlisten = \"${SECRET}\"\n",
        "[upstream]\nurl = \"${SECRET}\"\n[hold]\ntotal_bytes = \"${SECRET}\"\n[gate]\naccept = \"${SECRET}\"\n",
        "[upstream]\nurl = \"ftp://${SECRET}@h\"\n[gate]\nsubprotocols = [\"${SECRET} \"]\nallowed_origins = [\"${SECRET}\"]\n",
        "[upstream]\nurl = \"http://h\"\ncheck = { url = \"http://${SECRET}@h#\", headers = { a = \"${SECRET}\\u0001\" } }\n",
        "[upstream]\n[dependencies.a]\ncheck = \"postgres://u:p/${SECRET}@h/d\"\n[[routes]]\npath = \"${SECRET}\"\ndepends_on = [\"${SECRET}\"]\n",
        "[upstream]\n[dependencies.a]\ncheck = \"postgres://u:1/${SECRET}@h/d?${SECRET}=1\"\n[probe]\nprofile = \"${SECRET}\"\n",
        "[upstream]\n[dependencies.a]\ncheck = { url = \"redis://${SECRET}@h/${SECRET}\", role = \"${SECRET}\" }\n",
        "[upstream]\n[dependencies.a]\ncheck = \"grpc://${SECRET}@h/a/${SECRET}\"\n[[routes]]\npath = \"/${SECRET}\"\n[[routes]]\npath = \"/${SECRET}\"\n",
    ];
    for text in texts {
        let found = problems_of(text, variables());
        assert!(found.len() > 1, "{found:#?}");
        assert!(!found.concat().contains("hunter2"), "{found:#?}");
    }
}

#[test]
fn an_environment_in_a_log_shows_no_values() {
    let shown = format!("{:?}", Environment::with_variables([("SECRET", "hunter2")]));
    assert!(shown.contains("SECRET") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_literal_dollar_and_brace_can_be_written() {
    let text = "[upstream]\nurl = \"http://h\"\ncheck = { url = \"/h\", json = { \"/a\" = \"$${X}\" } }\n";
    let config = config_in(text, []);
    assert!(matches!(&config.upstream.checks[0].kind, CheckKind::Http(http) if http.json[0].1 == "${X}"));
}

#[test]
fn port_replaces_the_port_of_the_public_listener() {
    let config = config_in(MINIMAL, [("PORT", "9999")]);
    assert_eq!(config.server.listen, "0.0.0.0:9999".parse::<SocketAddr>().unwrap());
}

#[test]
fn port_must_be_a_port() {
    for bad in ["http", "0", "65536", "-1", "", "tcp://10.0.0.1:80"] {
        let found = problems_of(MINIMAL, [("PORT", bad)]);
        assert_eq!(found, [format!("PORT: {bad:?} is no port; expected a number from 1 to 65535")]);
    }
}
