//! `upstream.check` in its forms.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{MINIMAL, assert_begins, config, only, problems};
use crate::config::{Check, CheckKind, HttpCheck, Target};

fn checks(check: &str) -> Vec<Check> {
    config(&format!("{MINIMAL}check = {check}\n")).upstream.checks
}

fn http(check: &str) -> HttpCheck {
    match checks(check).remove(0).kind {
        CheckKind::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

fn problem(check: &str) -> String {
    only(problems(&format!("{MINIMAL}check = {check}\n")))
}

fn plain(host: &str, port: u16) -> Target {
    Target { host: host.into(), port, tls: None }
}

#[test]
fn without_a_check_a_bound_port_is_taken_for_readiness() {
    let upstream = config(MINIMAL).upstream;
    assert!(upstream.check_is_guess);
    assert!(matches!(&upstream.checks[0].kind, CheckKind::Tcp(target) if *target == upstream.target));
}

#[test]
fn a_path_goes_to_the_upstream_itself() {
    let check = http("\"/health/ready?deep=1\"");
    assert_eq!((check.target, check.path.as_str()), (plain("127.0.0.1", 8081), "/health/ready?deep=1"));
    let tls = config("[upstream]\nurl = \"https://h\"\ncheck = \"/\"\n").upstream;
    assert!(matches!(&tls.checks[0].kind, CheckKind::Http(http) if http.target == tls.target));
    assert!(!tls.check_is_guess);
}

#[test]
fn the_scheme_of_a_url_is_the_kind_of_the_check() {
    assert_eq!(http("\"http://10.0.0.4/health\"").target, plain("10.0.0.4", 80));
    assert!(http("\"https://10.0.0.4\"").target.tls.is_some());
    let kind = |url: &str| checks(&format!("\"{url}\"")).remove(0).kind;
    assert!(matches!(kind("tcp://h:1"), CheckKind::Tcp(target) if target == plain("h", 1)));
    assert!(matches!(kind("tls://h:1"), CheckKind::Tcp(target) if target.tls.is_some()));
    assert!(matches!(kind("ws://h/ws"), CheckKind::Ws(ws) if ws.target == plain("h", 80) && ws.path == "/ws"));
    assert!(matches!(kind("wss://h"), CheckKind::Ws(ws) if ws.target.tls.is_some() && ws.target.port == 443));
}

#[test]
fn a_table_says_what_the_answer_must_be() {
    let table = r#"{ url = "/h", status = [200, 204], json = { "/a~1b/0" = true, "/n" = 5 }, headers = { Authorization = "s3cret" } }"#;
    let check = http(table);
    assert_eq!(check.status, [200, 204]);
    assert_eq!(check.json, [("/a~1b/0".into(), true.into()), ("/n".into(), 5.into())]);
    assert_eq!(check.headers[0].0, "authorization");
    assert_eq!(check.headers[0].1.expose_secret(), "s3cret");
    assert!(!format!("{check:?}").contains("s3cret"));
}

#[test]
fn a_table_overrides_the_common_rhythm_key_by_key() {
    let check = checks(r#"{ url = "/h", interval = "1s", backoff = { max = "9s" }, rise = 2, fall = 4 }"#).remove(0);
    let (millis, secs) = (Duration::from_millis, Duration::from_secs);
    assert_eq!((check.pacing.interval, check.pacing.timeout), (secs(1), secs(2)));
    assert_eq!((check.pacing.backoff.initial, check.pacing.backoff.max), (millis(10), secs(9)));
    assert_eq!((check.pacing.rise, check.pacing.fall), (2, 4));
    let check = checks(r#"{ url = "/h", breaker = { attempts = 30 } }"#).remove(0);
    assert_eq!((check.pacing.breaker.attempts, check.pacing.breaker.cooldown), (30, secs(10)));
}

#[test]
fn the_query_of_a_check_is_sent_and_never_printed() {
    let check = http("\"https://h/health?token=s3cret\"");
    assert_eq!((check.path.as_str(), check.shown_path()), ("/health?token=s3cret", "/health"));
    let shown = format!("{check:?}");
    assert!(shown.contains("/health") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_body_can_be_asked_for_a_text() {
    assert_eq!(http(r#"{ url = "/h", text = "all well" }"#).text.as_deref(), Some("all well"));
}

#[test]
fn a_list_means_all_of_them_and_each_has_a_name() {
    let all = checks(r#"["/a", { url = "tcp://h:1" }, "/c"]"#);
    let names: Vec<&str> = all.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["upstream", "upstream-2", "upstream-3"]);
}

#[test]
fn another_scheme_is_told_the_known_kinds() {
    for scheme in ["mysql", "unix", "h2c"] {
        let text = problem(&format!("\"{scheme}://:hunter2@h:1/0\""));
        let kinds = "http, https, tcp, tls, ws, wss, redis, rediss, postgres, postgresql, grpc, grpcs";
        let expected = format!("is not a known kind of check; known: {kinds}, or a path on the upstream");
        assert_eq!(text, format!("\"{scheme}\" {expected}"));
    }
}

#[test]
fn places_that_cannot_be_asked_are_refused() {
    assert_begins(&problem("[]"), "upstream.check is an empty list");
    assert_begins(&problem("{ status = [200] }"), "upstream.check has no url");
    assert_begins(&problem("\"health\""), "this check is no URL: it has no scheme");
    assert_begins(&problem("\"tcp://h\""), "a tcp check has no default port");
    assert_begins(&problem("\"tcp://h:1/x\""), "a tcp or tls check has no path");
    assert_begins(&problem("\"http://u:p@h\""), "the URL of a check holds credentials");
    assert_begins(&problem("\"http://h/#a\""), "the URL of a check has a fragment");
    assert_begins(&problem("\"/a b\""), "this check has a character in its path");
}

#[test]
fn expectations_that_cannot_be_met_are_refused() {
    assert_begins(&problem("{ url = \"/h\", status = [99] }"), "99 is no HTTP status; expected 100 to 599");
    assert_begins(&problem("{ url = \"/h\", status = [600] }"), "600 is no HTTP status");
    assert_begins(&problem("{ url = \"/h\", status = [] }"), "status is an empty list");
    assert_begins(&problem("{ url = \"/h\", text = \"\" }"), "text is empty, and every body contains that");
    for pointer in ["status", "", "/a~2", "/a~"] {
        let text = problem(&format!("{{ url = \"/h\", json = {{ \"{pointer}\" = 1 }} }}"));
        assert_begins(&text, &format!("\"{pointer}\" is no JSON pointer"));
    }
    assert_begins(&problem("{ url = \"/h\", headers = { \"a b\" = \"c\" } }"), "\"a b\" is no name of a header");
    let text = problem("{ url = \"/h\", headers = { a = \"s3cret\\n\" } }");
    assert_eq!(text, "the value of header \"a\" holds a control character");
}

#[test]
fn expectations_that_nothing_would_look_at_are_refused() {
    for (url, key) in [
        ("tcp://h:1", "status = [200]"),
        ("tcp://h:1", "headers = { a = \"b\" }"),
        ("ws://h", "status = [101]"),
        ("ws://h", "json = { \"/a\" = 1 }"),
        ("ws://h", "text = \"ok\""),
        ("redis://h", "text = \"ok\""),
        ("grpc://h", "headers = { a = \"b\" }"),
        ("postgres://h", "role = \"primary\""),
        ("/h", "role = \"any\""),
    ] {
        assert!(problem(&format!("{{ url = \"{url}\", {key} }}")).contains("has no effect on this kind of check"));
    }
    assert_begins(&problem("{ url = \"/h\", ca = \"x.pem\" }"), "ca has no effect without TLS");
    assert_begins(&problem("{ url = \"ws://h\", ca = \"x.pem\" }"), "ca has no effect without TLS");
}

#[test]
fn a_bad_url_does_not_hide_what_else_is_wrong_with_the_check() {
    let check = r#"{ url = "mysql://h", status = [700], timeout = "0s", headers = { "a b" = "c" } }"#;
    assert_eq!(problems(&format!("{MINIMAL}check = {check}\n")).len(), 4);
}

#[test]
fn the_rhythm_of_a_check_has_the_same_limits() {
    assert_begins(&problem("{ url = \"/h\", timeout = \"0s\" }"), "this time may not be zero");
    assert_begins(&problem("{ url = \"/h\", fall = 0 }"), "upstream.check.fall = 0 is out of range");
    assert_begins(&problem("[{ url = \"/h\", backoff = { initial = \"5s\" } }]"), "initial 5s is longer than max 1s");
}
