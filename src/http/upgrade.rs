//! The server's half of the opening handshake (RFC 6455 §4.2), and what an early accept may answer. PURE.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{self, HeaderName},
    request,
};
use httparse::{EMPTY_HEADER, Status};
use tungstenite::handshake::derive_accept_key;

use super::{headers, refuse::Refusal};
use crate::{
    config::{self, Accept, AllowedOrigins},
    session::deferral::Deferral,
    upstream::{
        handshake::MOST_HEADERS,
        has_token,
        spelling::{self, Spelling},
        tokens,
    },
};

/// The only version there is (RFC 6455 §4.1).
const VERSION: &str = "13";

/// The length of 16 bytes in base64 (RFC 6455 §4.1).
const KEY_LENGTH: usize = 24;

/// What a request turns out to be.
#[derive(Debug)]
pub(super) enum Examined {
    /// No WebSocket.
    Plain,
    /// A handshake that may be answered with this Sec-WebSocket-Accept.
    WebSocket(HeaderValue),
    /// A handshake that breaks RFC 6455.
    Malformed(Refusal),
}

/// A request that is a good handshake.
#[derive(Debug)]
pub(super) struct Opening {
    /// Its head.
    pub(super) head: request::Parts,
    /// How the names in it came.
    pub(super) spelling: Spelling,
    /// The Sec-WebSocket-Accept that answers it.
    pub(super) accept: HeaderValue,
}

/// Reads a handshake of `most` bytes or less, and says how long it is. None where `bytes` do not begin with a whole and good
/// one: to say what they are instead takes an HTTP server.
#[must_use]
pub(super) fn read(bytes: &Bytes, most: usize) -> Option<(Opening, usize)> {
    let mut lines = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    let Ok(Status::Complete(length)) = request.parse(bytes) else { return None };
    if length > most || request.method != Some("GET") || request.version != Some(1) {
        return None;
    }
    let spelling = Spelling::at(bytes.clone(), spelling::places(bytes, request.headers));
    let (mut head, ()) = Request::new(()).into_parts();
    head.uri = Uri::from_maybe_shared(bytes.slice_ref(request.path?.as_bytes())).ok()?;
    head.headers.reserve(request.headers.len());
    for line in request.headers {
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?;
        head.headers.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, value);
    }
    headers::check(&head).ok()?;
    match examine(&head) {
        Examined::WebSocket(accept) if !head.headers.contains_key(header::CONTENT_LENGTH) => {
            Some((Opening { head, spelling, accept }, length))
        }
        Examined::WebSocket(_) | Examined::Malformed(_) | Examined::Plain => None,
    }
}

/// Tells WebSocket handshakes from other requests, and good ones from bad ones.
#[must_use]
pub(super) fn examine(request: &request::Parts) -> Examined {
    if !has_token(&request.headers, header::UPGRADE, "websocket") {
        return Examined::Plain;
    }
    match check(request) {
        Ok(accept) => Examined::WebSocket(accept),
        Err(refusal) => Examined::Malformed(refusal),
    }
}

/// The subprotocol with which this handshake may be answered early: none where none was offered.
///
/// # Errors
/// Why the backend has to answer it.
pub(super) fn early(
    request: &request::Parts,
    policy: &config::Gate,
    secure: bool,
) -> Result<Option<HeaderValue>, Deferral> {
    if policy.accept == Accept::Deferred {
        return Err(Deferral::Policy);
    }
    if !origin_is_allowed(&request.headers, &policy.allowed_origins, secure) {
        return Err(Deferral::Origin);
    }
    let offered: Vec<&str> = tokens(&request.headers, header::SEC_WEBSOCKET_PROTOCOL).collect();
    let answer = policy.subprotocols.iter().find(|known| offered.contains(&known.as_str()));
    match (answer, policy.accept) {
        (Some(answer), _) => HeaderValue::try_from(answer).map(Some).map_err(|_| Deferral::Subprotocol),
        (None, Accept::Early) => Ok(None),
        (None, Accept::Auto | Accept::Deferred) if offered.is_empty() => Ok(None),
        (None, Accept::Auto | Accept::Deferred) => Err(Deferral::Subprotocol),
    }
}

fn check(request: &request::Parts) -> Result<HeaderValue, Refusal> {
    if request.method != Method::GET {
        return Err(bad("a WebSocket handshake is a GET request"));
    }
    if request.version < Version::HTTP_11 {
        return Err(bad("a WebSocket handshake needs HTTP/1.1"));
    }
    if !has_token(&request.headers, header::CONNECTION, "upgrade") {
        return Err(bad("Connection does not name Upgrade"));
    }
    if has_body(&request.headers) {
        return Err(bad("a WebSocket handshake has no body"));
    }
    check_version(&request.headers)?;
    let key = one(&request.headers, header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let key = key.ok_or_else(|| bad("Sec-WebSocket-Key must be 16 bytes in base64, once"))?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| bad("Sec-WebSocket-Key cannot be answered"))
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match one(headers, header::SEC_WEBSOCKET_VERSION) {
        Some(version) if version == VERSION => Ok(()),
        Some(_) | None => Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here")
            .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    length || headers.contains_key(header::TRANSFER_ENCODING)
}

fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    key.len() == KEY_LENGTH && digits.bytes().all(|digit| digit.is_ascii_alphanumeric() || b"+/".contains(&digit))
}

fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok().map(str::trim),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// RFC 6455 §10.2: browsers send Origin, and whoever answers the handshake owns the decision.
fn origin_is_allowed(headers: &HeaderMap, allowed: &AllowedOrigins, secure: bool) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let (same_host, origins) = match allowed {
        AllowedOrigins::Any => return true,
        AllowedOrigins::Listed { same_host, origins } => (*same_host, origins),
    };
    let Some(origin) = one(headers, header::ORIGIN).map(str::to_ascii_lowercase) else { return false };
    origins.contains(&origin) || (same_host && is_same_host(&origin, headers, secure))
}

/// The origin's host and port are those of the request. The scheme may differ: whoever ended TLS in front of readygate
/// knows it, readygate may not. A port left out is the default one of either scheme.
fn is_same_host(origin: &str, headers: &HeaderMap, secure: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Some(host) = one(headers, header::HOST) else { return false };
    let default = |https: bool| if https { 443 } else { 80 };
    let asked = host.to_ascii_lowercase();
    let Some((origin_host, origin_port)) = split_port(authority) else { return false };
    let Some((host, port)) = split_port(&asked) else { return false };
    let origin_port = origin_port.unwrap_or_else(|| default(scheme == "https"));
    let port_agrees = match port {
        Some(port) => port == origin_port,
        None => origin_port == default(secure) || origin_port == default(scheme == "https"),
    };
    !host.is_empty() && origin_host == host && port_agrees
}

/// None where what stands behind the last colon is no port: two things that nobody can read are not the same.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((host, Some(port.parse().ok()?))),
        Some(_) | None => Some((authority, None)),
    }
}

fn bad(what: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, what)
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
