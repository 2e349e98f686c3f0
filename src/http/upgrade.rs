//! The server's half of the opening handshake (RFC 6455 §4.2), and what an early accept may answer. PURE.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use httparse::{Request, Status};
use tungstenite::handshake::derive_accept_key;

use super::{
    headers::{self, Head},
    refuse::Refusal,
};
use crate::{
    config::{self, Accept, AllowedOrigins},
    fields::{Fields, Lines, Places},
    session::deferral::Deferral,
    upstream::handshake::MOST_HEADERS,
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
    WebSocket(String),
    /// A handshake that breaks RFC 6455.
    Malformed(Refusal),
}

/// A request that is a good handshake.
#[derive(Debug)]
pub(super) struct Opening {
    /// Its target.
    pub(super) uri: Uri,
    /// Its header fields.
    pub(super) lines: Lines,
    /// The Sec-WebSocket-Accept that answers it.
    pub(super) accept: String,
}

/// Reads a handshake of `most` bytes or less, and says how long it is. None where `bytes` do not begin with a whole and good
/// one: to say what they are instead takes an HTTP server.
#[must_use]
pub(super) fn read(bytes: &Bytes, most: usize) -> Option<(Opening, usize)> {
    let mut room = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut request = Request::new(&mut []);
    let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(bytes, &mut room) else { return None };
    if length > most || request.method != Some("GET") || request.version != Some(1) {
        return None;
    }
    let uri = Uri::from_maybe_shared(bytes.slice_ref(request.path?.as_bytes())).ok()?;
    let lines = Lines::new(bytes.clone(), Places::of(bytes, request.headers));
    let head = Head { method: &Method::GET, uri: &uri, version: Version::HTTP_11, fields: &lines };
    headers::check(&head).ok()?;
    match examine(&head) {
        Examined::WebSocket(accept) if !lines.has("content-length") => Some((Opening { uri, lines, accept }, length)),
        Examined::WebSocket(_) | Examined::Malformed(_) | Examined::Plain => None,
    }
}

/// Tells WebSocket handshakes from other requests, and good ones from bad ones.
#[must_use]
pub(super) fn examine(request: &Head<impl Fields>) -> Examined {
    if !request.fields.has_item("upgrade", "websocket") {
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
    fields: &impl Fields,
    policy: &config::Gate,
    secure: bool,
) -> Result<Option<HeaderValue>, Deferral> {
    if policy.accept == Accept::Deferred {
        return Err(Deferral::Policy);
    }
    if !origin_is_allowed(fields, &policy.allowed_origins, secure) {
        return Err(Deferral::Origin);
    }
    let offered: Vec<&[u8]> = fields.items("sec-websocket-protocol").collect();
    // What cannot be read may be what the backend chooses.
    let is_read = fields.values("sec-websocket-protocol").all(<[u8]>::is_ascii);
    let answer = policy.subprotocols.iter().find(|known| offered.contains(&known.as_bytes()));
    match (answer, policy.accept) {
        (Some(answer), _) => HeaderValue::try_from(answer).map(Some).map_err(|_| Deferral::Subprotocol),
        (None, Accept::Early) => Ok(None),
        (None, Accept::Auto | Accept::Deferred) if offered.is_empty() && is_read => Ok(None),
        (None, Accept::Auto | Accept::Deferred) => Err(Deferral::Subprotocol),
    }
}

fn check(request: &Head<impl Fields>) -> Result<String, Refusal> {
    if *request.method != Method::GET {
        return Err(bad("a WebSocket handshake is a GET request"));
    }
    if request.version < Version::HTTP_11 {
        return Err(bad("a WebSocket handshake needs HTTP/1.1"));
    }
    if !request.fields.has_item("connection", "upgrade") {
        return Err(bad("Connection does not name Upgrade"));
    }
    if has_body(request.fields) {
        return Err(bad("a WebSocket handshake has no body"));
    }
    check_version(request.fields)?;
    let key = request.fields.one("sec-websocket-key").filter(|key| is_key(key));
    let key = key.ok_or_else(|| bad("Sec-WebSocket-Key must be 16 bytes in base64, once"))?;
    Ok(derive_accept_key(key.as_bytes()))
}

fn check_version(fields: &impl Fields) -> Result<(), Refusal> {
    match fields.one("sec-websocket-version") {
        Some(version) if version == VERSION => Ok(()),
        Some(_) | None => Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here")
            .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))),
    }
}

fn has_body(fields: &impl Fields) -> bool {
    let length = fields.values("content-length").next().is_some_and(|length| length != b"0");
    length || fields.has("transfer-encoding")
}

fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    key.len() == KEY_LENGTH && digits.bytes().all(|digit| digit.is_ascii_alphanumeric() || b"+/".contains(&digit))
}

/// RFC 6455 §10.2: browsers send Origin, and whoever answers the handshake owns the decision.
fn origin_is_allowed(fields: &impl Fields, allowed: &AllowedOrigins, secure: bool) -> bool {
    if !fields.has("origin") {
        return true;
    }
    let (same_host, origins) = match allowed {
        AllowedOrigins::Any => return true,
        AllowedOrigins::Listed { same_host, origins } => (*same_host, origins),
    };
    let Some(origin) = fields.one("origin").map(str::to_ascii_lowercase) else { return false };
    origins.contains(&origin) || (same_host && is_same_host(&origin, fields, secure))
}

/// The origin's host and port are those of the request. The scheme may differ: whoever ended TLS in front of readygate
/// knows it, readygate may not. A port left out is the default one of either scheme.
fn is_same_host(origin: &str, fields: &impl Fields, secure: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Some(host) = fields.one("host") else { return false };
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
