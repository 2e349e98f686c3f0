//! `[[routes]]`: paths, what they need, where they differ.

use std::time::Duration;

use super::{MINIMAL, assert_begins, config, config_with, only, problem_with, problems, warnings_with};
use crate::config::{Accept, AllowedOrigins, OnTimeout, Route, WhenFull};

const TWO: &str = "[dependencies.cache]\ncheck = \"redis://h\"\n[dependencies.llm]\ncheck = \"grpc://h\"\n";

fn routes(more: &str) -> Vec<Route> {
    config_with(more).routes
}

fn paths(routes: &[Route]) -> Vec<&str> {
    routes.iter().map(|route| route.path.as_str()).collect()
}

/// Routes with these paths and nothing else.
fn at(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("[[routes]]\npath = \"{path}\"\n")).collect()
}

#[test]
fn without_routes_there_is_one_for_everything_that_needs_all() {
    let all = routes(&format!("{TWO}[gate]\nhold_timeout = \"9s\"\n"));
    assert_eq!(paths(&all), ["*"]);
    assert_eq!((all[0].depends_on.as_slice(), all[0].gate.hold_timeout), ([0, 1].as_slice(), Duration::from_secs(9)));
    assert_eq!(paths(&config(MINIMAL).routes), ["*"]);
}

#[test]
fn everything_else_has_a_route_unless_the_last_one_is_for_it() {
    assert_eq!(paths(&routes(&at(&["/b/*", "/a"]))), ["/b/*", "/a", "*"]);
    assert_eq!(paths(&routes(&at(&["/a", "*"]))), ["/a", "*"]);
    assert_eq!(paths(&routes(&at(&["/*"]))), ["/*", "*"]);
}

#[test]
fn a_route_needs_what_it_names_and_otherwise_every_dependency() {
    let text = format!(
        "{TWO}[[routes]]\npath = \"/a\"\ndepends_on = [\"llm\"]\n[[routes]]\npath = \"/b\"\ndepends_on = []\n{}",
        at(&["/c"])
    );
    let needs: Vec<Vec<usize>> = routes(&text).into_iter().map(|route| route.depends_on).collect();
    assert_eq!(needs, [vec![1], vec![], vec![0, 1], vec![0, 1]]);
}

#[test]
fn an_unknown_dependency_is_named_with_the_nearest() {
    let problem = |list: &str| problem_with(&format!("{TWO}[[routes]]\npath = \"/a\"\ndepends_on = {list}\n"));
    assert_eq!(problem("[\"cach\"]"), "there is no dependency \"cach\"; did you mean \"cache\"?");
    assert_eq!(problem("[\"zzz\"]"), "there is no dependency \"zzz\"; known here: cache, llm");
    assert_eq!(problem("[\"llm\", \"llm\"]"), "\"llm\" is listed twice; once is enough");
    let alone = problem_with("[[routes]]\npath = \"/a\"\ndepends_on = [\"cache\"]\n");
    assert_eq!(alone, "there is no dependency \"cache\"; the file has no [dependencies]");
}

#[test]
fn any_key_of_gate_and_hold_about_one_session_may_be_set_for_a_route() {
    let keys = r#"accept = "early"
        subprotocols = ["a"]
        allowed_origins = ["*"]
        hold_timeout = "24h"
        on_timeout = "pass"
        release = { concurrency = 3 }
        close_codes = { "404" = 4004 }
        connection_bytes = "2KiB"
        connection_frames = 5
        when_full = "close"
        frame_timeout = "6s"
        ping_interval = "7s"
        "#;
    let route = routes(&format!("[[routes]]\npath = \"/a\"\n{keys}")).remove(0);
    let (gate, hold) = (route.gate, route.hold);
    assert_eq!((gate.accept, gate.on_timeout), (Accept::Early, OnTimeout::Pass));
    assert_eq!((gate.subprotocols, gate.allowed_origins), (vec!["a".to_owned()], AllowedOrigins::Any));
    assert_eq!((gate.hold_timeout.as_secs(), gate.release_concurrency.get()), (86_400, 3));
    assert_eq!(gate.close_codes, [(404, 4004)]);
    assert_eq!((hold.connection_bytes, hold.connection_frames, hold.when_full), (2048, 5, WhenFull::Close));
    assert_eq!((hold.frame_timeout.as_secs(), hold.ping_interval.as_secs()), (6, 7));
}

#[test]
fn what_a_route_leaves_out_is_that_of_gate_and_hold() {
    let common = "[gate]\naccept = \"deferred\"\nclose_codes = {}\n[hold]\nping_interval = \"3s\"\nsessions = 7\n";
    let config = config_with(&format!("{common}[[routes]]\npath = \"/a\"\nhold_timeout = \"2m\"\n"));
    let (route, rest) = (&config.routes[0], &config.routes[1]);
    assert_eq!((route.gate.hold_timeout.as_secs(), rest.gate.hold_timeout.as_secs()), (120, 30));
    assert_eq!((route.gate.accept, route.gate.close_codes.len()), (Accept::Deferred, 0));
    assert_eq!((route.hold.ping_interval.as_secs(), route.hold.sessions), (3, 7));
    assert_eq!(format!("{:?}{:?}", rest.gate, rest.hold), format!("{:?}{:?}", config.gate, config.hold));
}

#[test]
fn the_values_of_a_route_have_the_same_limits_and_are_named_where_they_stand() {
    let cases = [
        ("subprotocols = [\"a b\"]", "\"a b\" is no subprotocol"),
        ("allowed_origins = [\"x\"]", "\"x\" is no origin"),
        ("hold_timeout = \"0s\"", "this time may not be zero"),
        ("hold_timeout = \"25h\"", "routes[0].hold_timeout = \"90000s\" is longer than a day"),
        ("release = { concurrency = 0 }", "routes[0].release.concurrency = 0 is out of range"),
        ("close_codes = { \"404\" = 1000 }", "1000 is no close code"),
        ("connection_bytes = \"0B\"", "routes[0].connection_bytes is zero"),
        ("connection_bytes = \"1GiB\"", "one session may hold 1GiB, all together only 256MiB"),
        ("connection_frames = 0", "routes[0].connection_frames = 0 is out of range"),
        ("frame_timeout = \"0s\"", "this time may not be zero"),
        ("ping_interval = \"0s\"", "this time may not be zero"),
        ("accept = \"x\"", "routes[0].accept: unknown variant `x`"),
    ];
    for (key, expected) in cases {
        let found = only(problems(&format!("{MINIMAL}[[routes]]\npath = \"/a\"\n{key}\n")));
        assert_begins(&found, expected);
    }
}

#[test]
fn what_bounds_all_routes_together_belongs_to_no_route() {
    for key in ["total_bytes = \"1MiB\"", "sessions = 5"] {
        let text = problem_with(&format!("[[routes]]\npath = \"/a\"\n{key}\n"));
        let name = key.split(' ').next().unwrap();
        let help = "it bounds the sessions of all routes together: set it in [hold]";
        assert_eq!(text, format!("{name} cannot be set in routes[0]; {help}"));
    }
    let text = problem_with("[[routes]]\npath = \"/a\"\nhold_timeot = \"1s\"\n");
    assert_eq!(text, "unknown key \"hold_timeot\" in routes[0]; did you mean \"hold_timeout\"?");
}

#[test]
fn a_path_begins_with_a_slash_or_is_a_star() {
    assert_begins(&problem_with("[[routes]]\n"), "routes[0] has no path; write path = \"/ws/*\"");
    for bad in ["", "ws", "*/ws", "**", "http://h/ws"] {
        assert_begins(&problem_with(&at(&[bad])), &format!("\"{bad}\" is no path: it does not begin with /"));
    }
    for bad in ["/ws?a=b", "/ws#a"] {
        assert_begins(&problem_with(&at(&[bad])), &format!("\"{bad}\" has a query or a fragment"));
    }
}

#[test]
fn a_route_that_can_never_be_chosen_is_an_error() {
    let cases = [
        (["*", "/ws"], "\"/ws\" can never be chosen: \"*\" before it"),
        (["/*", "/ws/*"], "\"/ws/*\" can never be chosen: \"/*\" before it"),
        (["/ws/*", "/ws/a*b"], "\"/ws/a*b\" can never be chosen: \"/ws/*\" before it"),
        (["/ws", "/ws"], "\"/ws\" is there twice"),
        (["/ws/*", "/ws/*"], "\"/ws/*\" is there twice"),
        (["*", "*"], "\"*\" is there twice"),
    ];
    for (paths, expected) in cases {
        assert_begins(&problem_with(&at(&paths)), &format!("the route {expected}"));
    }
    assert_eq!(paths(&routes(&at(&["/ws/a", "/ws/*", "/w*", "/*/x", "/*"]))).len(), 6);
}

#[test]
fn a_dependency_that_no_route_needs_is_doubtful() {
    let last = "[[routes]]\npath = \"*\"\ndepends_on = [\"llm\"]\n";
    assert_eq!(warnings_with(&format!("{TWO}{last}")), ["no route depends on \"cache\""]);
    assert_eq!(warnings_with(TWO), Vec::<String>::new());
}

#[test]
fn a_hold_that_is_over_before_one_attempt_may_be_is_doubtful() {
    let slow = "[dependencies.slow]\ncheck = { url = \"tcp://h:1\", timeout = \"40s\" }\n";
    let tail = "is over before one attempt of the check \"slow\" (40s) may be";
    assert_eq!(warnings_with(slow), [format!("gate.hold_timeout = \"30s\" {tail}")]);
    assert_eq!(warnings_with(&format!("{slow}[gate]\nhold_timeout = \"24h\"\n")), Vec::<String>::new());
    let route = "[gate]\nhold_timeout = \"2m\"\n[[routes]]\npath = \"/a\"\nhold_timeout = \"9s\"\n";
    assert_eq!(warnings_with(&format!("{slow}{route}")), [format!("routes[0].hold_timeout = \"9s\" {tail}")]);
    assert_eq!(warnings_with(&format!("{slow}{route}depends_on = []\n")), Vec::<String>::new());
}

#[test]
fn a_path_that_no_request_can_have_is_told_with_its_place_and_what_clients_send() {
    for (path, stranger) in [
        (r"/ws\n", r"'\n'"),
        (r"/ws\u0000*", r"'\0'"),
        (r"/a\tb", r"'\t'"),
        ("/my chat", "' '"),
        ("/<name>", "'<'"),
        ("/`", "'`'"),
    ] {
        let expected = format!(
            "proxy.toml:4:8: \"{path}\" can never be chosen: no request's path has {stranger} in it; write it as clients \
             send it, percent-encoded: a space is %20"
        );
        assert_eq!(problems(&format!("{MINIMAL}{}", at(&[path]))), [expected.replace(r"\u0000", r"\0")]);
    }
    assert_eq!(
        paths(&routes(&at(&["/caf%C3%A9", "/café", "/a:b@c;d,e=f!$&'()*+~[x]{y}|^"])))[..2],
        ["/caf%C3%A9", "/café"]
    );
}
