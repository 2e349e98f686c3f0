//! The URLs of a configuration: RFC 3986 as far as hosts, ports and paths go.
//!
//! No message of this module repeats what was written: a URL may hold a secret in any of its parts.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::uri::PathAndQuery;

/// Longest DNS name in text form (RFC 1035 §2.3.4 less the root and its length byte).
const LONGEST_NAME: usize = 253;

/// What is wrong with a lone `%`.
const BAD_PERCENT: &str = "has a % without two hexadecimal digits after it (a literal % is %25)";

/// A URL in its parts. Its `Debug` shows scheme, host and port alone.
#[derive(PartialEq, Eq)]
pub(super) struct Url<'u> {
    /// In lower case.
    pub(super) scheme: String,
    /// What stands before the last `@`, still percent-encoded; may be empty.
    pub(super) credentials: Option<&'u str>,
    /// In lower case, IPv6 addresses without brackets.
    pub(super) host: String,
    /// Not 0.
    pub(super) port: Option<u16>,
    /// From the first `/` or `?`; may be empty.
    pub(super) path: &'u str,
    /// True where `#` occurs.
    pub(super) has_fragment: bool,
}

impl<'u> Url<'u> {
    /// Takes a URL apart.
    ///
    /// # Errors
    ///
    /// What is wrong, as a fragment that fits after the name of the key.
    pub(super) fn parse(text: &'u str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("is no URL: it has no scheme")?;
        if !is_scheme(scheme) {
            return Err("is no URL: what stands before :// is no scheme");
        }
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (credentials, host_and_port) = authority.rsplit_once('@').map_or((None, authority), |(c, h)| (Some(c), h));
        let (host, port) = split_port(host_and_port)?;
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            credentials,
            host: host_of(host)?,
            port,
            path,
            has_fragment: fragment.is_some(),
        })
    }
}

impl fmt::Debug for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Url");
        fields.field("scheme", &self.scheme).field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Text with every `%XX` replaced by its byte (RFC 3986 §2.1). A zero byte is refused: it ends a string in the
/// protocols that get this text.
pub(super) fn percent_decoded(text: &str) -> Result<String, &'static str> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(BAD_PERCENT)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex).ok_or(BAD_PERCENT)?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let decoded = String::from_utf8(bytes).map_err(|_| "is no UTF-8 where it is percent-encoded")?;
    if decoded.contains('\0') { Err("holds a zero byte") } else { Ok(decoded) }
}

/// A path with its query, as it goes into a request line.
///
/// # Errors
///
/// What is wrong, as a fragment.
pub(super) fn request_target(path: &str) -> Result<String, &'static str> {
    if path.contains('#') {
        return Err("has a fragment (#…), which is never sent");
    }
    let rooted = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    match rooted.parse::<PathAndQuery>() {
        Ok(target) if target.as_str() == rooted => Ok(rooted),
        Ok(_) | Err(_) => Err("has a character in its path that must be percent-encoded"),
    }
}

/// RFC 3986 §3.1.
pub(super) fn is_scheme(text: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_rest)
}

/// Host and port apart; the brackets of an IPv6 address stay.
pub(super) fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    let Some(colon) = colon else { return Ok((authority, None)) };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port > 0 => Ok((host, Some(port))),
        Ok(_) | Err(_) => Err("has a port that is no number from 1 to 65535"),
    }
}

/// The host as it is dialled.
pub(super) fn host_of(text: &str) -> Result<String, &'static str> {
    if let Some(bracketed) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match bracketed.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("has no IPv6 address between its brackets"),
        };
    }
    if text.is_empty() {
        return Err("has no host");
    }
    let looks_numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if looks_numeric && text.parse::<Ipv4Addr>().is_err() {
        return Err("has a host that is neither a name nor an IPv4 address");
    }
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    match is_name && text.len() <= LONGEST_NAME && !text.starts_with('.') && !text.contains("..") {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("has a host that is no DNS name and no IP address (IPv6 goes in brackets)"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::{Url, percent_decoded, request_target};

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("HTTPS://Auth.Internal:8443/health?deep=1").unwrap();
        assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), ("https", "auth.internal", Some(8443)));
        assert_eq!((url.path, url.credentials, url.has_fragment), ("/health?deep=1", None, false));
    }

    #[test]
    fn an_ipv6_host_loses_its_brackets() {
        let url = Url::parse("http://[::1]:8081").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path), ("::1", Some(8081), ""));
        assert_eq!(Url::parse("http://[::1]").unwrap().port, None);
    }

    #[test]
    fn credentials_and_fragments_are_seen() {
        assert_eq!(Url::parse("http://user@host").unwrap().credentials, Some("user"));
        assert_eq!(Url::parse("http://:p%40s@s@host/").unwrap().credentials, Some(":p%40s@s"));
        assert!(Url::parse("http://host/#top").unwrap().has_fragment);
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for secret in
            ["127.0.0.1:8081", "1http://h", "http://", "http://:80", "http://u:s3/cr@h", "http://h:0", "http://h:x"]
        {
            let error = Url::parse(secret).unwrap_err();
            assert!(!error.contains("s3") && !error.contains("cr@h"), "{error}");
        }
        for host in ["http://[::1", "http://1.2.3", "http://a..b", "http://höst", "http://a b", "http://::1:80"] {
            assert!(Url::parse(host).is_err(), "{host}");
        }
    }

    #[test]
    fn a_path_is_ready_for_a_request_line() {
        assert_eq!(request_target("").unwrap(), "/");
        assert_eq!(request_target("?a=b").unwrap(), "/?a=b");
        assert_eq!(request_target("/health/ready?x=%20").unwrap(), "/health/ready?x=%20");
        for bad in ["/a b", "/a#b", "/a\r\nHost: b"] {
            assert!(request_target(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_percent_encoded_is_decoded() {
        assert_eq!(percent_decoded("p%40ss%2fw%C3%A4rd+%25").unwrap(), "p@ss/wärd+%");
        for bad in ["%", "a%2", "%zz", "%+1", "100%ä", "%ff", "a%00b"] {
            assert!(percent_decoded(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_in_a_log_shows_no_credentials_and_no_query() {
        let shown = format!("{:?}", Url::parse("redis://u:hunter2@h:1/0?token=hunter2").unwrap());
        assert!(shown.contains("\"h\"") && !shown.contains("hunter2"), "{shown}");
    }
}
