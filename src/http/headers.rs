//! What a proxy may and must do to headers (RFC 9110 §7.6). PURE.

use std::{borrow::Cow, fmt::Write, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request, uri::Authority};

use crate::fields::{self, Fields, Line};

/// Headers that concern one connection only, beside those that Connection names.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// An IPv6 address in full.
const LONGEST_ADDRESS: usize = 39;

const HANDSHAKE: &str = "sec-websocket-";
const FORWARDED: &str = "x-forwarded-";
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// A request's head, whoever has read it.
#[derive(Debug)]
pub(super) struct Head<'r, F> {
    /// Its method.
    pub(super) method: &'r Method,
    /// Its target.
    pub(super) uri: &'r Uri,
    /// Its version of HTTP.
    pub(super) version: Version,
    /// Its header fields.
    pub(super) fields: &'r F,
}

impl<'r> From<&'r request::Parts> for Head<'r, HeaderMap> {
    fn from(parts: &'r request::Parts) -> Self {
        Self { method: &parts.method, uri: &parts.uri, version: parts.version, fields: &parts.headers }
    }
}

/// Removes what concerns one connection only. `TE: trailers` stays, for trailers are passed on.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let takes_trailers = headers.has_item("te", "trailers");
    let named: Vec<_> = named(headers).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    named.iter().for_each(|name| drop(headers.remove(name)));
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(*name)));
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// All fields but those that concern one connection only.
pub(super) fn end_to_end(fields: &impl Fields) -> impl Iterator<Item = Line<'_>> {
    let named: Vec<_> = named(fields).collect();
    let is_named = move |name: &[u8]| named.iter().any(|other| other.eq_ignore_ascii_case(name));
    fields.lines().filter(move |(name, _)| !is_hop_by_hop(name) && !is_named(name))
}

/// What Connection names beside those.
fn named(fields: &impl Fields) -> impl Iterator<Item = &[u8]> {
    fields.items("connection").filter(|name| !is_hop_by_hop(name) && !is_end_to_end(name))
}

fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|other| fields::is(name, other))
}

/// What nobody may have removed by naming it in Connection: whom the request is for, what outer proxies saw, and the handshake
/// that was judged here.
fn is_end_to_end(name: &[u8]) -> bool {
    let begins_with = |begin: &str| name.get(..begin.len()).is_some_and(|start| fields::is(start, begin));
    begins_with(FORWARDED) || begins_with(HANDSHAKE) || fields::is(name, "host")
}

/// Says on whose behalf a request comes.
pub(super) fn forward(headers: &mut HeaderMap, client: IpAddr, secure: bool) {
    let own = forwarding(headers, client, secure);
    let own = own.map(|(name, value)| Some((name, HeaderValue::from_bytes(&value?).ok()?)));
    for (name, value) in own.into_iter().flatten() {
        headers.insert(name, value);
    }
}

/// What says on whose behalf a request with these `fields` comes, to be set in them: the client's address is appended to
/// X-Forwarded-For; X-Forwarded-Proto and X-Forwarded-Host are set where nobody in front of readygate has, for whoever did
/// saw the client itself.
pub(super) fn forwarding(
    fields: &impl Fields,
    client: IpAddr,
    secure: bool,
) -> [(&'static str, Option<Cow<'_, [u8]>>); 3] {
    let mut chain = String::with_capacity(LONGEST_ADDRESS);
    for before in fields.values(FORWARDED_FOR).filter_map(fields::text) {
        chain.extend([before, ", "]);
    }
    // A string takes whatever is written.
    let _ = write!(chain, "{}", client.to_canonical());
    let scheme: &[u8] = if secure { b"https" } else { b"http" };
    let host = fields.values("host").next();
    [
        (FORWARDED_FOR, Some(Cow::Owned(chain.into_bytes()))),
        (FORWARDED_PROTO, Some(Cow::Borrowed(scheme)).filter(|_| !fields.has(FORWARDED_PROTO))),
        (FORWARDED_HOST, host.map(Cow::Borrowed).filter(|_| !fields.has(FORWARDED_HOST))),
    ]
}

/// Refuses what two servers could read in two ways.
///
/// # Errors
/// What is wrong: Host missing, doubled or at odds with the request target (RFC 9112 §3.2), or a Transfer-Encoding
/// that is not `chunked` once (§6.1; hyper takes `gzip, chunked` and `chunked, chunked`).
pub(super) fn check(request: &Head<impl Fields>) -> Result<(), &'static str> {
    check_target(request)?;
    check_host(request)?;
    let mut encodings = request.fields.items("transfer-encoding");
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(encoding), None) if fields::is(encoding, "chunked") => Ok(()),
        (Some(_), _) => Err("Transfer-Encoding must be chunked, once"),
    }
}

/// RFC 9112 §3.2: a path, an http URL, or `*` for OPTIONS. A proxy for one backend opens no tunnels.
fn check_target(request: &Head<impl Fields>) -> Result<(), &'static str> {
    if *request.method == Method::CONNECT {
        return Err("CONNECT is not offered here");
    }
    if request.uri.path() == "*" && *request.method != Method::OPTIONS {
        return Err("* is a target for OPTIONS only");
    }
    match request.uri.scheme_str() {
        None if request.uri.authority().is_some() => Err("the request target is no path"),
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err("the request target is not HTTP"),
    }
}

/// Mends a response whose length is told twice, and refuses one that cannot be passed on.
///
/// # Errors
/// What is wrong: a transfer coding beside `chunked`, which stripping would leave in the body without a name.
pub(super) fn check_response(headers: &mut HeaderMap) -> Result<(), &'static str> {
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    // RFC 9112 §6.3: Transfer-Encoding overrides Content-Length.
    headers.remove(header::CONTENT_LENGTH);
    let chunked = headers.items("transfer-encoding").all(|coding| fields::is(coding, "chunked"));
    if chunked { Ok(()) } else { Err("transfer coding beside chunked") }
}

fn check_host(request: &Head<impl Fields>) -> Result<(), &'static str> {
    let mut hosts = request.fields.values("host");
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if request.version < Version::HTTP_11 => return Ok(()),
        (None, _) => return Err("Host is missing"),
        (Some(_), Some(_)) => return Err("more than one Host"),
        (Some(host), None) => host,
    };
    if !is_host(host) {
        return Err("Host is no host");
    }
    match request.uri.authority() {
        Some(authority) if !fields::is(host, authority.as_str()) => Err("Host differs from the request target"),
        Some(_) | None => Ok(()),
    }
}

/// A host and perhaps a port (RFC 9112 §3.2), or nothing, which says that the target has no host. Whoever else reads it,
/// in front or behind, would have to guess what a path, a name or a second host in it means.
fn is_host(value: &[u8]) -> bool {
    // RFC 3986 takes a comma for part of a name; whoever joins two Hosts into one line puts it between them.
    let Some(text) = fields::text(value).filter(|text| !text.contains(',')) else { return false };
    let Ok(authority) = text.parse::<Authority>() else { return text.is_empty() };
    let port =
        text.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':').or(rest.is_empty().then_some("")));
    port.is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(uri: &str, lines: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn checked(request: &request::Parts) -> Result<(), &'static str> {
        check(&request.into())
    }

    #[test]
    fn what_concerns_one_connection_is_stripped_with_what_connection_names() {
        let mut headers = parts(
            "/",
            &[
                ("connection", "keep-alive, X-Private"),
                ("connection", "x-other"),
                ("x-private", "1"),
                ("x-other", "1"),
                ("keep-alive", "timeout=5"),
                ("te", "gzip, trailers"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("x-kept", "1"),
            ],
        )
        .headers;
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("te", "trailers"), ("x-kept", "1")]);
    }

    #[test]
    fn the_client_is_appended_and_what_an_outer_proxy_saw_is_kept() {
        let lines = [("host", "example.org"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")];
        let mut headers = parts("/", &lines).headers;
        forward(&mut headers, "::ffff:10.0.0.1".parse().unwrap(), false);
        assert_eq!(headers[FORWARDED_FOR], "1.2.3.4, 10.0.0.1");
        assert_eq!(headers[FORWARDED_PROTO], "https");
        assert_eq!(headers[FORWARDED_HOST], "example.org");
    }

    #[test]
    fn nobody_can_have_host_or_what_proxies_saw_or_the_handshake_removed() {
        let kept = [("host", "a"), ("x-forwarded-for", "1.2.3.4"), ("sec-websocket-key", "a")];
        let named = ("connection", "Host, X-Forwarded-For, Sec-WebSocket-Key");
        let mut headers = parts("/", &[&kept[..], &[named]].concat()).headers;
        assert_eq!(end_to_end(&headers).count(), kept.len());
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), kept.len());
    }

    #[test]
    fn a_response_whose_length_is_told_twice_keeps_the_one_that_counts() {
        let mut headers = parts("/", &[("content-length", "3"), ("transfer-encoding", "chunked")]).headers;
        assert_eq!(check_response(&mut headers), Ok(()));
        assert!(!headers.contains_key("content-length"));
        assert!(check_response(&mut parts("/", &[("transfer-encoding", "gzip, chunked")]).headers).is_err());
    }

    #[test]
    fn a_target_that_is_no_path_and_no_http_url_is_refused() {
        for uri in ["ftp://a/", "*", "a"] {
            assert!(checked(&parts(uri, &[("host", "a")])).is_err(), "{uri}");
        }
        let mut connect = parts("a:80", &[("host", "a:80")]);
        connect.method = Method::CONNECT;
        assert!(checked(&connect).is_err());
    }

    #[test]
    fn a_host_is_a_host_and_perhaps_a_port() {
        for good in ["a", "a.example:80", "a_b.example", "[::1]", "[::1]:8080", "10.0.0.1", "a:", ""] {
            assert_eq!(checked(&parts("/", &[("host", good)])), Ok(()), "{good}");
        }
        for bad in
            ["a b", "a, b", "a,b", "a,", "a/b", "b@a", "a:b", "a:80:80", "a?b", "a#b", "[::1", "[::1]b", "\u{e9}"]
        {
            assert!(checked(&parts("/", &[("host", bad)])).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_that_two_servers_could_read_differently_is_refused() {
        let host = ("host", "a");
        assert_eq!(checked(&parts("/", &[host])), Ok(()));
        assert_eq!(checked(&parts("http://A/", &[host])), Ok(()));
        assert_eq!(checked(&parts("/", &[host, ("transfer-encoding", "Chunked")])), Ok(()));
        for bad in [
            parts("/", &[]),
            parts("/", &[host, ("host", "b")]),
            parts("http://b/", &[host]),
            parts("/", &[host, ("transfer-encoding", "gzip")]),
            parts("/", &[host, ("transfer-encoding", "gzip, chunked")]),
            parts("/", &[host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
        ] {
            assert!(checked(&bad).is_err(), "{bad:?}");
        }
    }
}
