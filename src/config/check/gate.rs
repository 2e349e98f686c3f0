//! `[gate]`: origins, subprotocols, close codes. A route's own values are judged by the same rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use super::{
    Checker,
    expectations::STATUSES,
    upstream::{HTTP_PORT, HTTPS_PORT},
};
use crate::config::{
    AllowedOrigins, Gate, Rollout,
    key_path::KeyPath,
    raw_policy,
    url::{host_of, is_scheme, split_port},
};

/// More dials at a time than a server has a backlog for (Linux: `net.core.somaxconn`, 4096) only fail.
const MOST_DIALS: u32 = 4096;
/// How an origin is written.
const ORIGIN_FORM: &str = r#"write "https://example.com" or "https://example.com:8443", "same-host", or "*""#;

impl Checker<'_, '_> {
    pub(super) fn gate(&mut self, raw: raw_policy::Gate) -> Gate {
        let at = KeyPath::from("gate");
        let percent = self.rollout_percent(&at, raw.rollout_percent);
        Gate {
            mode: raw.mode,
            rollout: Rollout { percent, key: self.rollout_key(&at, &raw.rollout_key) },
            accept: raw.accept,
            subprotocols: self.subprotocols(&at, raw.subprotocols),
            allowed_origins: self.origins(&at, &raw.allowed_origins),
            hold_timeout: self.time(at.key("hold_timeout"), raw.hold_timeout),
            on_timeout: raw.on_timeout,
            confirm: raw.confirm.and_then(|confirm| self.confirm(&at, confirm)),
            release_concurrency: self.release(&at, &raw.release),
            close_codes: self.close_codes(&at, &raw.close_codes),
        }
    }

    /// `release` of the table at `at`, as everything below.
    pub(super) fn release(&mut self, at: &KeyPath, raw: &raw_policy::Release) -> NonZeroUsize {
        self.non_zero(at.key("release").key("concurrency"), raw.concurrency, MOST_DIALS)
    }

    pub(super) fn subprotocols(&mut self, at: &KeyPath, subprotocols: Vec<String>) -> Vec<String> {
        let mut seen = BTreeSet::new();
        for (index, name) in subprotocols.iter().enumerate() {
            let path = at.key("subprotocols").item(index);
            let quoted = self.quoted(&path, name);
            if !is_token(name) {
                self.push(
                    path,
                    format!("{quoted} is no subprotocol"),
                    "a token: visible ASCII without separators such as , / or a space",
                );
            } else if !seen.insert(name) {
                self.push(path, format!("{quoted} is listed twice"), "the order is the preference: once is enough");
            }
        }
        subprotocols
    }

    pub(super) fn origins(&mut self, at: &KeyPath, listed: &[String]) -> AllowedOrigins {
        let path = at.key("allowed_origins");
        let any = listed.iter().any(|origin| origin == "*");
        if any && listed.len() > 1 {
            self.warn(path.clone(), r#""*" takes all origins: the others in the list have no effect"#, "");
        }
        let same_host = listed.iter().any(|origin| origin == "same-host");
        let mut origins = Vec::new();
        for (index, text) in listed.iter().enumerate().filter(|(_, text)| !matches!(text.as_str(), "*" | "same-host")) {
            match origin(text) {
                Some(origin) => origins.push(origin),
                None => {
                    let path = path.item(index);
                    self.push(path.clone(), format!("{} is no origin", self.quoted(&path, text)), ORIGIN_FORM);
                }
            }
        }
        if any { AllowedOrigins::Any } else { AllowedOrigins::Listed { same_host, origins } }
    }

    pub(super) fn close_codes(&mut self, at: &KeyPath, codes: &BTreeMap<String, u16>) -> Vec<(u16, u16)> {
        let mut good = Vec::new();
        for (status, code) in codes {
            let path = at.key("close_codes").key(status);
            if !may_be_sent(*code) {
                let help = "expected 1001 to 1014 without 1004, 1005 and 1006, or 3000 to 4999";
                self.push(path.clone(), format!("{code} is no close code for a refusal"), help);
            }
            match status.parse() {
                Ok(number) if STATUSES.contains(&number) && number != 101 => good.push((number, *code)),
                Ok(_) | Err(_) => {
                    self.push(
                        path,
                        format!("{status:?} is no HTTP status of a refusal"),
                        "expected 100 to 599, but not 101",
                    );
                }
            }
        }
        good
    }
}

/// RFC 7230 §3.2.6, which RFC 6455 §4.1 asks of a subprotocol.
pub(super) fn is_token(text: &str) -> bool {
    let is_sign = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// In lower case and without a default port, as browsers send it (RFC 6454 §6.2).
fn origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = split_port(authority).ok()?;
    let bracketed = host.starts_with('[');
    let host = host_of(host).ok().filter(|_| is_scheme(scheme))?;
    let host = if bracketed { format!("[{host}]") } else { host };
    let scheme = scheme.to_ascii_lowercase();
    let is_default = matches!((scheme.as_str(), port), ("http", Some(HTTP_PORT)) | ("https", Some(HTTPS_PORT)));
    match port.filter(|_| !is_default) {
        Some(port) => Some(format!("{scheme}://{host}:{port}")),
        None => Some(format!("{scheme}://{host}")),
    }
}

/// RFC 6455 §7.4 and the IANA registry: what an endpoint may put on the wire and a client must accept. 1000 is left
/// out too: a refusal is no success.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1001..=1003 | 1007..=1014 | 3000..=4999)
}
