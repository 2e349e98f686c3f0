#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use http::{Request, request};
use std::{num::NonZeroUsize, time::Duration};

/// The example of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const GOOD: [(&str, &str); 5] = [
    ("host", "chat.example.org"),
    ("upgrade", "WebSocket"),
    ("connection", "keep-alive, Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

fn parts(lines: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().uri("/ws");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn good_but(name: &str, values: &[&str]) -> request::Parts {
    let kept = GOOD.iter().copied().filter(|(kept, _)| *kept != name);
    parts(&kept.chain(values.iter().map(|value| (name, *value))).collect::<Vec<_>>())
}

fn good_and(extra: &[(&str, &str)]) -> request::Parts {
    parts(&[&GOOD[..], extra].concat())
}

fn refused(request: &request::Parts) -> u16 {
    match examined(request) {
        Examined::Malformed(refusal) => refusal.status.as_u16(),
        other => panic!("{other:?} for {request:?}"),
    }
}

fn examined(request: &request::Parts) -> Examined {
    examine(&request.into())
}

fn policy(accept: Accept, subprotocols: &[&str]) -> config::Gate {
    config::Gate {
        mode: config::Mode::Enforce,
        rollout: config::Rollout::default(),
        accept,
        subprotocols: subprotocols.iter().map(|name| (*name).to_owned()).collect(),
        allowed_origins: AllowedOrigins::Listed { same_host: true, origins: vec!["https://app.example.org".into()] },
        hold_timeout: Duration::from_secs(30),
        on_timeout: config::OnTimeout::Close,
        confirm: None,
        release_concurrency: NonZeroUsize::MIN,
        close_codes: vec![],
    }
}

fn origin_passes(origin: &str) -> bool {
    early(&good_and(&[("origin", origin)]).headers, &policy(Accept::Auto, &[]), true).is_ok()
}

#[test]
fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
    match examined(&parts(&GOOD)) {
        Examined::WebSocket(accept) => assert_eq!(accept, ACCEPT),
        other => panic!("{other:?}"),
    }
}

#[test]
fn connection_and_upgrade_are_lists_over_any_number_of_lines() {
    let mut request = good_but("connection", &["keep-alive", "UPGRADE"]);
    request.headers.append("upgrade", HeaderValue::from_static("h2c"));
    assert!(matches!(examined(&request), Examined::WebSocket(_)));
}

#[test]
fn a_request_that_asks_for_another_protocol_or_none_is_plain() {
    assert!(matches!(examined(&good_but("upgrade", &[])), Examined::Plain));
    assert!(matches!(examined(&good_but("upgrade", &["h2c"])), Examined::Plain));
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    for versions in [&["8"][..], &[], &["13", "13"]] {
        let Examined::Malformed(refusal) = examined(&good_but("sec-websocket-version", versions)) else {
            panic!("{versions:?} passed")
        };
        assert_eq!(refusal.status, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(refusal.headers[0], (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
}

#[test]
fn every_other_breach_of_section_4_2_is_a_bad_request() {
    let mut post = parts(&GOOD);
    post.method = Method::POST;
    let mut old = parts(&GOOD);
    old.version = Version::HTTP_10;
    for request in [
        post,
        old,
        good_but("connection", &[]),
        good_but("connection", &["keep-alive"]),
        good_but("sec-websocket-key", &[]),
        good_but("sec-websocket-key", &["c2hvcnQ="]),
        good_but("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==", KEY]),
        good_but("sec-websocket-key", &["not*base64*at*all****=="]),
        good_and(&[("content-length", "5")]),
        good_and(&[("transfer-encoding", "chunked")]),
    ] {
        assert_eq!(refused(&request), 400, "{request:?}");
    }
}

#[test]
fn an_early_accept_needs_an_allowed_origin_or_none() {
    assert!(early(&parts(&GOOD).headers, &policy(Accept::Auto, &[]), true).is_ok());
    for origin in ["https://chat.example.org", "https://CHAT.example.org:443", "https://app.example.org"] {
        assert!(origin_passes(origin), "{origin}");
    }
    for origin in
        ["https://evil.example", "https://chat.example.org.evil.example", "https://chat.example.org:8443", "null", ""]
    {
        assert!(!origin_passes(origin), "{origin}");
    }
    let two = good_and(&[("origin", "https://chat.example.org"), ("origin", "https://evil.example")]);
    assert_eq!(early(&two.headers, &policy(Accept::Early, &[]), true), Err(Deferral::Origin));
}

#[test]
fn behind_a_proxy_that_ended_tls_the_same_host_is_still_the_same_host() {
    let request = good_and(&[("origin", "https://chat.example.org")]);
    assert!(early(&request.headers, &policy(Accept::Auto, &[]), false).is_ok());
}

#[test]
fn a_subprotocol_is_answered_in_the_operators_order_or_not_early_at_all() {
    let offer = good_and(&[("sec-websocket-protocol", "bearer, TOKEN"), ("sec-websocket-protocol", "v2")]);
    let known = policy(Accept::Auto, &["v2", "bearer"]);
    assert_eq!(early(&offer.headers, &known, true), Ok(Some(HeaderValue::from_static("v2"))));
    assert_eq!(early(&offer.headers, &policy(Accept::Auto, &["other"]), true), Err(Deferral::Subprotocol));
    assert_eq!(early(&offer.headers, &policy(Accept::Early, &["other"]), true), Ok(None));
    let unread = good_and(&[("sec-websocket-protocol", "bearer, \u{e9}")]);
    assert_eq!(early(&unread.headers, &known, true), Err(Deferral::Subprotocol));
}

#[test]
fn a_deferring_policy_defers_everybody() {
    assert_eq!(early(&parts(&GOOD).headers, &policy(Accept::Deferred, &[]), true), Err(Deferral::Policy));
}

#[test]
fn what_has_a_port_that_nobody_can_read_is_not_of_the_same_host() {
    for (host, origin) in
        [("a.example:x", "https://a.example:y"), ("[::7]>8", "http://[::0x"), ("a.example", "https://a.example:")]
    {
        let mut request = good_and(&[("origin", origin)]);
        request.headers.insert(header::HOST, HeaderValue::from_static(host));
        assert!(early(&request.headers, &policy(Accept::Auto, &[]), true).is_err(), "{origin} at {host}");
    }
}

/// The good handshake as it is written, with something changed.
fn written(change: impl FnOnce(String) -> String) -> Bytes {
    let lines = GOOD.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    change(format!("GET /ws?id=%20 HTTP/1.1\r\n{lines}\r\n")).into()
}

fn is_read(bytes: &Bytes) -> bool {
    read(bytes, bytes.len()).is_some()
}

#[test]
fn a_whole_handshake_is_read_and_what_follows_is_left() {
    let whole = written(|text| text.replace("host", "HOST") + "\u{1}frames");
    let (opening, length) = read(&whole, 1 << 10).unwrap();
    assert_eq!((&whole[length..], opening.accept.as_str()), (&b"\x01frames"[..], ACCEPT));
    assert_eq!(opening.uri, "/ws?id=%20");
    let lines =
        opening.lines.lines().map(|(name, value)| format!("{}: {}\r\n", name.escape_ascii(), value.escape_ascii()));
    assert_eq!(
        lines.collect::<String>(),
        GOOD.map(|(name, value)| format!("{name}: {value}\r\n")).concat().replace("host", "HOST")
    );
}

#[test]
fn a_handshake_that_is_not_whole_or_too_long_is_left_to_the_server() {
    let whole = written(|text| text);
    for length in 0..whole.len() {
        assert!(read(&whole.slice(..length), whole.len()).is_none(), "{length}");
    }
    assert!(is_read(&whole) && read(&whole, whole.len() - 1).is_none());
}

#[test]
fn whatever_an_http_server_has_to_judge_is_left_to_it() {
    let many = format!("host: a\r\n{}", "x: y\r\n".repeat(MOST_HEADERS));
    for (from, to) in [
        ("GET", "POST"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("HTTP/1.1", "HTTP/2.0"),
        (" /ws", " ws"),
        ("upgrade: WebSocket", "upgrade: h2c"),
        ("host: chat.example.org\r\n", ""),
        ("host:", "host : "),
        ("host:", "host: a\r\nhost:"),
        ("host: chat.example.org", "host: chat.example.org\r\n folded"),
        ("host:", "content-length: 0\r\nhost:"),
        ("host:", "transfer-encoding: chunked\r\nhost:"),
        ("version: 13", "version: 12"),
        (KEY, "short"),
        ("host: chat.example.org\r\n", &many),
    ] {
        let changed = written(|text| text.replacen(from, to, 1));
        assert_ne!(changed, written(|text| text), "{from} is not in it");
        assert!(!is_read(&changed), "{}", String::from_utf8_lossy(&changed));
    }
}
