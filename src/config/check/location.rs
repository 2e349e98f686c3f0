//! The URL of a check: its scheme is the kind.

use std::path::PathBuf;

use super::{
    Checker,
    upstream::{HTTP_PORT, HTTPS_PORT},
};
use crate::config::{
    CheckKind, ClientTls, HttpCheck, Target,
    key_path::KeyPath,
    url::{Url, request_target},
};

/// The schemes of check URLs, for messages.
const KINDS: &str = "http, https, tcp, tls, ws, wss, redis, rediss, postgres, postgresql, grpc, grpcs";
/// The port registered for Redis.
const REDIS_PORT: u16 = 6379;
/// The port registered for PostgreSQL.
const POSTGRES_PORT: u16 = 5432;

/// Where a check's URL stands, and the private CA beside it.
pub(super) struct Site {
    /// The URL's own place.
    pub(super) url: KeyPath,
    /// The place of `ca`.
    pub(super) ca_key: KeyPath,
    /// `ca` itself.
    pub(super) ca: Option<PathBuf>,
}

/// What a check speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Http,
    Ws,
    Redis,
    Postgres,
    Grpc,
}

/// Whether a check encrypts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Plain,
    /// Where the server can.
    Preferred,
    Tls,
}

/// Protocol, security and default port of a scheme; none where it is not a known kind of check. The security of
/// PostgreSQL is what `sslmode` makes of it.
fn kind_of(scheme: &str) -> Option<(Protocol, Security, Option<u16>)> {
    match scheme {
        "http" => Some((Protocol::Http, Security::Plain, Some(HTTP_PORT))),
        "https" => Some((Protocol::Http, Security::Tls, Some(HTTPS_PORT))),
        "ws" => Some((Protocol::Ws, Security::Plain, Some(HTTP_PORT))),
        "wss" => Some((Protocol::Ws, Security::Tls, Some(HTTPS_PORT))),
        "tcp" => Some((Protocol::Tcp, Security::Plain, None)),
        "tls" => Some((Protocol::Tcp, Security::Tls, None)),
        "redis" => Some((Protocol::Redis, Security::Plain, Some(REDIS_PORT))),
        "rediss" => Some((Protocol::Redis, Security::Tls, Some(REDIS_PORT))),
        "postgres" | "postgresql" => Some((Protocol::Postgres, Security::Preferred, Some(POSTGRES_PORT))),
        "grpc" => Some((Protocol::Grpc, Security::Plain, Some(HTTP_PORT))),
        "grpcs" => Some((Protocol::Grpc, Security::Tls, Some(HTTPS_PORT))),
        _ => None,
    }
}

impl Checker<'_, '_> {
    /// The check that the URL `text` asks for, without expectations. A path needs an upstream to be on.
    pub(super) fn location(&mut self, site: &Site, text: &str, upstream: Option<&Target>) -> Option<CheckKind> {
        if text.starts_with('/') {
            return self.on_the_upstream(site, text, upstream);
        }
        match Url::parse(text) {
            Ok(url) => self.elsewhere(site, &url, upstream.is_some()),
            Err(what) => {
                let help = match (text.contains('@'), upstream) {
                    (true, _) => "in a user or password, write / ? # and % as %2F %3F %23 and %25",
                    (false, Some(_)) => r#"write a path such as "/health/ready", or a URL"#,
                    (false, None) => r#"write a URL such as "redis://10.0.0.3:6379""#,
                };
                self.push(site.url.clone(), format!("this check {what}"), help);
                None
            }
        }
    }

    /// The upstream's own target, with the check's own `ca` where it has one.
    fn on_the_upstream(&mut self, site: &Site, text: &str, upstream: Option<&Target>) -> Option<CheckKind> {
        let Some(upstream) = upstream else {
            let help = r#"write one such as "http://10.0.0.4/health"; a path alone belongs to upstream.check"#;
            self.push(site.url.clone(), "a dependency needs a whole URL, not a path", help);
            return None;
        };
        let mut target = upstream.clone();
        match (&mut target.tls, site.ca.clone()) {
            (_, None) => {}
            (None, ca) => self.push_useless_ca(site.ca_key.clone(), ca.as_ref()),
            (Some(tls), ca) => tls.ca = self.ca(site.ca_key.clone(), ca),
        }
        let path = self.request_target(&site.url, text)?;
        Some(CheckKind::Http(HttpCheck::new(target, path)))
    }

    fn elsewhere(&mut self, site: &Site, url: &Url<'_>, has_upstream: bool) -> Option<CheckKind> {
        let Some((protocol, security, default_port)) = kind_of(&url.scheme) else {
            let or = if has_upstream { ", or a path on the upstream" } else { "" };
            let what = format!("{:?} is not a known kind of check", url.scheme);
            self.push(site.url.clone(), what, format!("known: {KINDS}{or}"));
            return None;
        };
        self.push_unsendable(&site.url, protocol, url);
        let security = if protocol == Protocol::Postgres { self.sslmode(&site.url, url)? } else { security };
        let tls = self.client_tls(site, security);
        let port = url.port.or(default_port);
        if port.is_none() {
            self.push(site.url.clone(), format!("a {} check has no default port", url.scheme), "write host:port");
        }
        let target = Target { host: url.host.clone(), port: port.unwrap_or_default(), tls };
        let kind = match protocol {
            Protocol::Tcp => self.without_path(&site.url, url).map(|()| CheckKind::Tcp(target)),
            Protocol::Http => self.http(&site.url, url, target).map(CheckKind::Http),
            Protocol::Ws => self.http(&site.url, url, target).map(CheckKind::Ws),
            Protocol::Redis => self.redis(&site.url, url, target).map(CheckKind::Redis),
            Protocol::Postgres => {
                self.postgres(&site.url, url, target, security == Security::Preferred).map(CheckKind::Postgres)
            }
            Protocol::Grpc => self.grpc(&site.url, url, target).map(CheckKind::Grpc),
        };
        port.and(kind)
    }

    fn client_tls(&mut self, site: &Site, security: Security) -> Option<ClientTls> {
        match security {
            Security::Plain => {
                self.push_useless_ca(site.ca_key.clone(), site.ca.as_ref());
                None
            }
            Security::Preferred | Security::Tls => {
                Some(ClientTls { ca: self.ca(site.ca_key.clone(), site.ca.clone()) })
            }
        }
    }

    fn push_unsendable(&mut self, path: &KeyPath, protocol: Protocol, url: &Url<'_>) {
        let help = match protocol {
            Protocol::Http | Protocol::Ws => r#"send them as a header: headers = { authorization = "Basic …" }"#,
            Protocol::Tcp | Protocol::Grpc => "leave them out: this kind of check logs in nowhere",
            Protocol::Redis | Protocol::Postgres => "",
        };
        if url.credentials.is_some() && !help.is_empty() {
            self.push(path.clone(), "the URL of a check holds credentials", help);
        }
        if url.has_fragment {
            let help = "leave it out; a # in a user or password is %23";
            self.push(path.clone(), "the URL of a check has a fragment (#…), which is never sent", help);
        }
    }

    fn without_path(&mut self, path: &KeyPath, url: &Url<'_>) -> Option<()> {
        if matches!(url.path, "" | "/") {
            return Some(());
        }
        self.push(path.clone(), "a tcp or tls check has no path", "use http or https to ask for one");
        None
    }

    fn http(&mut self, path: &KeyPath, url: &Url<'_>, target: Target) -> Option<HttpCheck> {
        self.request_target(path, url.path).map(|path| HttpCheck::new(target, path))
    }

    fn request_target(&mut self, path: &KeyPath, text: &str) -> Option<String> {
        self.or_push(path, request_target(text), "")
    }

    /// The value, or none where it is noted what is wrong with the URL.
    pub(super) fn or_push<T>(&mut self, path: &KeyPath, parsed: Result<T, &'static str>, help: &str) -> Option<T> {
        parsed.map_err(|what| self.push(path.clone(), format!("this check {what}"), help)).ok()
    }
}
