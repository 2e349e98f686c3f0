//! `[dependencies.NAME]`: names, checks, order.

use std::time::Duration;

use super::{assert_begins, config, config_with, problem_with, problems};
use crate::config::CheckKind;

fn named(name: &str) -> String {
    format!("[dependencies.{name:?}]\ncheck = \"tcp://h:1\"\n")
}

#[test]
fn a_dependency_is_a_check_with_its_name_and_required_unless_said_otherwise() {
    let all = config_with(&format!("{}{}required = false\n", named("Cache"), named("llm"))).dependencies;
    let shown: Vec<(&str, bool)> = all.iter().map(|each| (each.check.name.as_str(), each.required)).collect();
    assert_eq!(shown, [("Cache", true), ("llm", false)]);
}

#[test]
fn dependencies_stand_in_the_order_of_the_file() {
    let text = format!("{}{}{}", named("z"), named("a"), named("m"));
    let names: Vec<String> = config_with(&text).dependencies.into_iter().map(|each| each.check.name).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn every_kind_of_check_may_stand_for_a_dependency_and_for_the_upstream() {
    let kinds = [
        ("http://h/health", "http"),
        ("https://h", "http"),
        ("tcp://h:1", "tcp"),
        ("tls://h:1", "tcp"),
        ("ws://h", "ws"),
        ("wss://h", "ws"),
        ("redis://h", "redis"),
        ("REDISS://h", "redis"),
        ("postgres://h", "postgres"),
        ("postgresql://h", "postgres"),
        ("grpc://h", "grpc"),
        ("grpcs://h", "grpc"),
    ];
    for (url, label) in kinds {
        let config = config(&format!(
            "[upstream]\nurl = \"http://b\"\ncheck = \"{url}\"\n[dependencies.it]\ncheck = \"{url}\"\n"
        ));
        assert_eq!(config.upstream.checks[0].kind.label(), label);
        assert_eq!(config.dependencies[0].check.kind.label(), label);
    }
}

#[test]
fn the_table_of_a_dependency_is_that_of_an_upstream_check() {
    let table = r#"{ url = "https://h/x", status = [204], json = { "/a" = 1 }, text = "t", headers = { a = "b" }, timeout = "9s", fall = 7, breaker = { cooldown = "3s" } }"#;
    let check = config_with(&format!("[dependencies.it]\ncheck = {table}\n")).dependencies.remove(0).check;
    let CheckKind::Http(http) = check.kind else { panic!("not http") };
    assert_eq!((http.status.len(), http.json.len(), http.text.as_deref(), http.headers.len()), (1, 1, Some("t"), 1));
    assert_eq!((check.pacing.timeout, check.pacing.fall), (Duration::from_secs(9), 7));
    assert_eq!((check.pacing.breaker.attempts, check.pacing.breaker.cooldown), (10, Duration::from_secs(3)));
}

#[test]
fn a_path_alone_is_no_dependency() {
    for check in ["\"/health\"", "{ url = \"/health\" }"] {
        let text = problem_with(&format!("[dependencies.it]\ncheck = {check}\n"));
        assert_begins(&text, "a dependency needs a whole URL, not a path; write one such as");
    }
}

#[test]
fn a_dependency_without_a_usable_check_is_refused() {
    assert_begins(&problem_with("[dependencies.it]\n"), "dependencies.it has no check; write check = ");
    assert_begins(&problem_with("[dependencies.it]\ncheck = {}\n"), "dependencies.it.check has no url; name a URL");
    assert_begins(
        &problem_with("[dependencies.it]\ncheck = \"h:1\"\n"),
        "this check is no URL: it has no scheme; write a",
    );
    let text = problem_with("[dependencies.it]\ncheck = \"ftp://h\"\n");
    assert!(text.ends_with("postgres, postgresql, grpc, grpcs"), "{text}");
    let text = problem_with("[dependencies.it]\ncheck = [\"tcp://h:1\"]\n");
    assert!(text.ends_with("expected a URL such as \"redis://10.0.0.3:6379\", or a table with url"), "{text}");
}

#[test]
fn a_wrong_type_is_named_once() {
    assert_begins(&problem_with("[dependencies]\nit = 5\n"), "dependencies.it: invalid type: integer `5`");
    let text = "[dependencies]\nit = 5\n[[routes]]\npath = \"/\"\ndepends_on = [\"it\"]\n";
    assert_begins(&problem_with(text), "dependencies.it: invalid type: integer `5`; expected a table");
    assert_begins(&problem_with("[dependencies.it]\ncheck = 5\n"), "dependencies.it.check: invalid type: integer `5`");
}

#[test]
fn what_may_be_a_secret_in_the_wrong_place_is_not_shown() {
    let cases = [
        ("it = \"hush\"", "dependencies.it: invalid type: string; expected a table"),
        (
            "it = { check = { url = \"http://h\", headers = \"x, expected hush\" } }",
            "dependencies.it.check.headers: invalid type: string; expected a table",
        ),
        (
            "it = { check = { url = \"http://h\", headers = { x-key = 7 } } }",
            "dependencies.it.check.headers.x-key: invalid type: integer; expected a string",
        ),
        (
            "it = { check = { url = \"tcp://h:1\", rise = \"hush\" } }",
            "dependencies.it.check.rise: invalid type: string; expected a whole number, not negative",
        ),
    ];
    for (line, told) in cases {
        assert_begins(&problem_with(&format!("[dependencies]\n{line}\n")), told);
    }
}

#[test]
fn an_unknown_key_of_a_dependency_is_named_with_the_nearest() {
    let found = problems("[upstream]\nurl = \"http://h\"\n[dependencies.it]\ncheck = \"tcp://h:1\"\nrequird = false\n");
    let expected = r#"proxy.toml:5:1: unknown key "requird" in dependencies.it; did you mean "required"?"#;
    assert_eq!(found, [expected]);
}

#[test]
fn a_name_is_letters_digits_and_a_few_signs() {
    assert_eq!(config_with(&named("a.B-c_9")).dependencies[0].check.name, "a.B-c_9");
    for bad in ["", "a b", "ä", "a/b", "a\"b"] {
        assert_begins(&problem_with(&named(bad)), &format!("{bad:?} is no name of a dependency; letters, digits"));
    }
}

#[test]
fn the_names_of_the_upstreams_own_checks_are_taken() {
    for bad in ["upstream", "Upstream", "upstream-2", "upstream-17"] {
        assert_begins(&problem_with(&named(bad)), &format!("{bad:?} is the name of the upstream's own check"));
    }
    for good in ["upstream-db", "upstreams", "upstream-", "upstream-2b"] {
        assert_eq!(config_with(&named(good)).dependencies[0].check.name, good);
    }
}

#[test]
fn two_names_that_a_variable_cannot_tell_apart_are_one_too_many() {
    let text = problem_with(&format!("{}{}", named("main-db"), named("Main_DB")));
    assert_begins(&text, "the dependencies \"main-db\" and \"Main_DB\" are one name to environment variables");
}
