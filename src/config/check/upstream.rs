//! `[upstream]`: where the backend is.

use std::{net::IpAddr, path::PathBuf};

use super::Checker;
use crate::config::{ClientTls, Pacing, Server, Target, Upstream, raw, url::Url};

/// How an upstream is written.
const URL_FORM: &str = r#"write url = "http://127.0.0.1:8081" (https:// for TLS)"#;
/// The default port of `http`.
pub(super) const HTTP_PORT: u16 = 80;
/// The default port of `https`.
pub(super) const HTTPS_PORT: u16 = 443;

impl Checker<'_, '_> {
    /// None without a usable `url`.
    pub(super) fn upstream(&mut self, raw: raw::Upstream, probe: Pacing, server: &Server) -> Option<Upstream> {
        let target = self.upstream_target(raw.url.as_deref(), raw.ca);
        if let Some(target) = &target {
            self.push_loop(target, server);
        }
        let check_is_guess = raw.check.is_none();
        let checks = self.checks(raw.check, target.as_ref(), probe);
        let connect_timeout = self.time("upstream.connect_timeout", raw.connect_timeout);
        let handshake_timeout = self.time("upstream.handshake_timeout", raw.handshake_timeout);
        let backoff = self.backoff("upstream.backoff", raw.backoff.initial, raw.backoff.max);
        Some(Upstream { target: target?, checks, check_is_guess, connect_timeout, handshake_timeout, backoff })
    }

    fn upstream_target(&mut self, url: Option<&str>, ca: Option<PathBuf>) -> Option<Target> {
        let Some(url) = url else {
            self.push("upstream.url", "upstream.url is missing: there is no backend to forward to", URL_FORM);
            return None;
        };
        let url = match Url::parse(url) {
            Ok(url) => url,
            Err(what) => {
                self.push("upstream.url", format!("upstream.url {what}"), URL_FORM);
                return None;
            }
        };
        self.push_extras(&url);
        let (tls, port) = self.upstream_tls(&url.scheme, ca)?;
        Some(Target { host: url.host, port: url.port.unwrap_or(port), tls })
    }

    /// A client's own path and query are forwarded as they are, so the upstream can have none.
    fn push_extras(&mut self, url: &Url<'_>) {
        if url.credentials.is_some() {
            let what = "upstream.url holds credentials, which are not forwarded";
            self.push("upstream.url", what, "leave them out: clients send their own");
        }
        if !matches!(url.path, "" | "/") || url.has_fragment {
            let what = "upstream.url has a path, a query or a fragment";
            self.push("upstream.url", what, "give scheme, host and port only: the client's path is forwarded as it is");
        }
    }

    fn upstream_tls(&mut self, scheme: &str, ca: Option<PathBuf>) -> Option<(Option<ClientTls>, u16)> {
        match scheme {
            "http" => {
                self.push_useless_ca("upstream.ca", ca.as_ref());
                Some((None, HTTP_PORT))
            }
            "https" => Some((Some(ClientTls { ca: self.ca("upstream.ca", ca) }), HTTPS_PORT)),
            other => {
                let what = format!("upstream.url has the scheme {other:?}, which is not known");
                self.push("upstream.url", what, "known: http, https; WebSockets are forwarded over either");
                None
            }
        }
    }

    /// A proxy that is its own backend answers every request with another one, until the ports run out.
    fn push_loop(&mut self, target: &Target, server: &Server) {
        let here = server.listen.ip();
        let is_here = match target.host.parse::<IpAddr>() {
            Ok(host) => host == here || ((host.is_loopback() || host.is_unspecified()) && here.is_unspecified()),
            Err(_) => target.host == "localhost" && (here.is_loopback() || here.is_unspecified()),
        };
        if is_here && target.port == server.listen.port() {
            let what = format!("upstream.url is readygate's own server.listen {}", server.listen);
            self.push_between("upstream.url", "server.listen", what, "let the backend listen on another port");
        }
    }
}
