//! The address of the backend.

use super::{MINIMAL, assert_begins, config, only, problems, problems_in};
use crate::config::{ClientTls, Environment, Target};

fn target(url: &str) -> Target {
    config(&format!("[upstream]\nurl = \"{url}\"\n")).upstream.target
}

fn problem(url: &str) -> String {
    only(problems(&format!("[upstream]\nurl = \"{url}\"\n")))
}

#[test]
fn a_url_becomes_host_port_and_tls() {
    assert_eq!(target("http://127.0.0.1:8081"), Target { host: "127.0.0.1".into(), port: 8081, tls: None });
    assert_eq!(target("http://[::1]"), Target { host: "::1".into(), port: 80, tls: None });
    let tls = Some(ClientTls::default());
    assert_eq!(target("HTTPS://App.Internal/"), Target { host: "app.internal".into(), port: 443, tls });
}

#[test]
fn without_a_url_there_is_nothing_to_do() {
    for text in ["", "[upstream]\ncheck = \"/ready\"\n"] {
        assert_begins(&only(problems(text)), "upstream.url is missing: there is no backend to forward to");
    }
}

#[test]
fn credentials_are_refused_and_never_printed() {
    for url in ["http://user:hunter2@h", "http://hunter2@h:80", "http://u:hunter2/@h", "ftp://:hunter2@h"] {
        let found = problems(&format!("[upstream]\nurl = \"{url}\"\n"));
        assert!(!found.is_empty() && !found.concat().contains("hunter2"), "{found:#?}");
    }
    assert_begins(&problem("http://u:p@h"), "upstream.url holds credentials");
}

#[test]
fn a_path_a_query_or_a_fragment_is_refused() {
    for url in ["http://h/app", "http://h?a", "http://h/?a", "http://h#a", "http://h/#"] {
        assert_begins(&problem(url), "upstream.url has a path, a query or a fragment");
    }
}

#[test]
fn another_scheme_is_refused() {
    for scheme in ["ws", "wss", "tcp", "unix", "ftp"] {
        assert_begins(&problem(&format!("{scheme}://h")), &format!("upstream.url has the scheme \"{scheme}\""));
    }
}

#[test]
fn what_is_no_url_is_refused() {
    assert_begins(&problem("127.0.0.1:8081"), "upstream.url is no URL: it has no scheme");
    assert_begins(&problem(""), "upstream.url is no URL: it has no scheme");
    assert_begins(&problem("http://:8081"), "upstream.url has no host");
    assert_begins(&problem("http://h:99999"), "upstream.url has a port that is no number");
}

#[test]
fn a_proxy_may_not_be_its_own_backend() {
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"] {
        let text = problem(&format!("http://{host}:8080"));
        assert_begins(&text, "upstream.url is readygate's own server.listen 0.0.0.0:8080");
    }
    let found = problems_in(MINIMAL, &Environment::with_variables([("PORT", "8081")]));
    assert_begins(&only(found), "upstream.url is readygate's own server.listen 0.0.0.0:8081");
    assert_eq!(target("http://10.0.0.1:8080").port, 8080);
}

#[test]
fn a_ca_without_tls_is_a_mistake() {
    let found = problems("[upstream]\nurl = \"http://h\"\nca = \"ca.pem\"\n");
    assert_begins(&only(found), "ca has no effect without TLS");
}
