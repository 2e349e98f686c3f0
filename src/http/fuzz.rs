//! What a stranger's headers must not do to the handshake, held to a second reading of RFC 6455 §4.2.1.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, request};

pub(crate) use super::head::fuzz::ahead;
use super::{
    headers::{Head, check, forward, strip_hop_by_hop},
    upgrade::{Examined, early, examine, read},
};
use crate::{
    config::{Accept, AllowedOrigins, Config, Environment},
    upstream::handshake::{MOST_HEADERS, write_line},
};

/// RFC 9110 §7.6.1, and what clients send that it has no more.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
];

/// Who asks.
const CLIENT: [u8; 4] = [10, 0, 0, 7];

thread_local! {
    static CONFIG: Config = Config::parse("upstream.url = 'http://localhost:1'", "proxy.toml", &Environment::with_variables([])).unwrap();
}

/// A handshake is taken for a good one exactly where it is one, and nobody of another origin is accepted early.
pub(crate) fn handshake(data: &[u8]) {
    let Some(request) = request(data) else { return };
    let lines = |name: &str| -> Vec<Vec<u8>> {
        request.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    // A line that is not ASCII says nothing.
    let is_text = |line: &&Vec<u8>| line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let names = |name: &str, token: &[u8]| {
        lines(name)
            .iter()
            .filter(is_text)
            .any(|line| line.split(|byte| *byte == b',').any(|item| trim(item).eq_ignore_ascii_case(token)))
    };
    let one = |name: &str| match lines(name).as_slice() {
        [line] if is_text(&line) => Some(trim(line).to_vec()),
        _ => None,
    };
    let is_websocket = names("upgrade", b"websocket");
    let is_good = request.method == Method::GET
        && request.version >= Version::HTTP_11
        && names("connection", b"upgrade")
        && lines("transfer-encoding").is_empty()
        && lines("content-length").first().is_none_or(|length| length == b"0")
        && one("sec-websocket-version").as_deref() == Some(b"13")
        && one("sec-websocket-key").is_some_and(|key| is_key(&key));
    if let Some(written) = written(&request) {
        let is_whole =
            is_websocket && is_good && lines("content-length").is_empty() && check(&Head::from(&request)).is_ok();
        assert_eq!(read(&written, written.len()).is_some(), is_whole, "{request:?}");
    }
    match examine(&Head::from(&request)) {
        Examined::Plain => assert!(!is_websocket),
        Examined::WebSocket(_) => assert!(is_websocket && is_good, "{request:?}"),
        Examined::Malformed(_) => assert!(is_websocket && !is_good, "{request:?}"),
    }
    let mut policy = CONFIG.with(|config| config.gate.clone());
    policy.accept = Accept::Early;
    policy.allowed_origins =
        AllowedOrigins::Listed { same_host: true, origins: vec!["https://good.example".to_owned()] };
    let is_early = early(&request.headers, &policy, false).is_ok();
    if is_early && !lines("origin").is_empty() {
        let origin = one("origin").expect("one Origin").to_ascii_lowercase();
        let host = one("host").unwrap_or_default().to_ascii_lowercase();
        let is_of_host = !name(&host).is_empty() && origin.windows(name(&host).len()).any(|part| part == name(&host));
        assert!(origin == b"https://good.example" || is_of_host, "{request:?}");
    }
}

/// What is passed on has one Host and one meaning, says nothing of the client's own connection, and whoever asked for it.
pub(crate) fn forwarding(data: &[u8]) {
    let Some(mut request) = request(data) else { return };
    let lines = |headers: &HeaderMap, name: &str| -> Vec<Vec<u8>> {
        headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    let items = |name: &str| -> Vec<String> {
        let text = lines(&request.headers, name).into_iter().filter_map(|line| String::from_utf8(line).ok());
        let text: Vec<String> = text.filter(|line| line.is_ascii() && !line.contains('\x7f')).collect();
        let all = text.iter().flat_map(|line| line.split(',')).map(|item| item.trim().to_ascii_lowercase());
        all.filter(|item| !item.is_empty()).collect()
    };
    if check(&Head::from(&request)).is_ok() {
        let hosts = lines(&request.headers, "host");
        assert!(hosts.len() == 1 || hosts.is_empty() && request.version == Version::HTTP_10);
        assert!(!hosts.concat().iter().any(|byte| b" \t,/@?#\\".contains(byte) || !byte.is_ascii()), "{hosts:?}");
        assert!(matches!(items("transfer-encoding").as_slice(), [] | [_]));
    }
    let (named, before, takes_trailers) =
        (items("connection"), request.headers.clone(), items("te").contains(&"trailers".to_owned()));
    strip_hop_by_hop(&mut request.headers);
    let is_kept = |name: &str| {
        let is_of_request = name == "host" || name.starts_with("x-forwarded-") || name.starts_with("sec-websocket-");
        !HOP_BY_HOP.contains(&name) && (is_of_request || !named.iter().any(|other| other == name))
    };
    for name in before.keys().filter(|name| *name != "te") {
        let expected = if is_kept(name.as_str()) { lines(&before, name.as_str()) } else { Vec::new() };
        assert_eq!(lines(&request.headers, name.as_str()), expected, "{name}");
    }
    assert_eq!(lines(&request.headers, "te").concat(), if takes_trailers { b"trailers".as_slice() } else { b"" });
    forward(&mut request.headers, CLIENT.into(), false);
    let chain = lines(&request.headers, "x-forwarded-for").concat();
    assert!(chain.ends_with(b"10.0.0.7") && !lines(&request.headers, "x-forwarded-proto").is_empty());
}

/// As a client would write it. None where a parser counts what the map does not.
fn written(request: &request::Parts) -> Option<Bytes> {
    let mut text = format!("{} / {:?}\r\n", request.method, request.version).into_bytes();
    for (name, value) in &request.headers {
        write_line(&mut text, name.as_str().as_bytes(), value.as_bytes());
    }
    text.extend(b"\r\n");
    (request.headers.len() <= MOST_HEADERS).then_some(text.into())
}

/// A host without its port.
fn name(host: &[u8]) -> &[u8] {
    let port = host.iter().rposition(|byte| *byte == b':').filter(|at| !host[*at..].contains(&b']'));
    &host[..port.unwrap_or(host.len())]
}

/// A key is 16 bytes; base64 leaves some bits of its last digit unsaid, and nobody must mind them.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==").filter(|digits| digits.len() == 22) else { return false };
    STANDARD.decode([&digits[..21], b"A=="].concat()).is_ok_and(|bytes| bytes.len() == 16)
        && (digits[21].is_ascii_alphanumeric() || b"+/".contains(&digits[21]))
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Two bytes for the method and the version, then a header a line. What no server would parse is left out.
fn request(data: &[u8]) -> Option<request::Parts> {
    let (&[method, version], head) = data.split_first_chunk()?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = if method.is_ascii_uppercase() { Method::POST } else { Method::GET };
    parts.version = if version.is_ascii_uppercase() { Version::HTTP_10 } else { Version::HTTP_11 };
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let named = HeaderName::from_bytes(&line[..colon]).ok();
        let valued = HeaderValue::from_bytes(trim(&line[colon + 1..])).ok();
        if let (Some(name), Some(value)) = (named, valued) {
            parts.headers.append(name, value);
        }
    }
    Some(parts)
}
