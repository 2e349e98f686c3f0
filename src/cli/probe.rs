//! `readygate probe`: one GET, for the health checks of images without a shell.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;

use crate::{
    config::{Config, Environment, HttpCheck, Problems, Target},
    probe,
};

/// The port of `http`.
const HTTP_PORT: u16 = 80;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Ask this address, http://host:port/path.
    #[arg(required_unless_present = "admin", conflicts_with = "admin", value_parser = parse_url)]
    pub url: Option<Asked>,
    /// Ask the readygate of this machine, at admin.listen of its configuration.
    #[arg(long)]
    pub admin: bool,
    /// What to ask of it: /readyz, /livez, /startupz or /gate.
    #[arg(long, requires = "admin", conflicts_with = "url", default_value = "/readyz", value_parser = parse_path)]
    pub path: String,
    /// The configuration file, for --admin.
    #[arg(long, short, default_value = "proxy.toml", env = "READYGATE_CONFIG")]
    pub config: PathBuf,
    /// For the whole answer.
    #[arg(long, default_value = "2s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// An address to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    host: String,
    port: u16,
    path: String,
}

/// Asks, and prints what was answered. True for any 2xx within the time.
///
/// # Errors
///
/// Those of writing to `out`.
pub async fn run(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    let asked = match &options.url {
        Some(asked) => asked.clone(),
        None => match admin(&options.config, &options.path) {
            Ok(asked) => asked,
            Err(problems) => {
                writeln!(out, "{problems}")?;
                return Ok(false);
            }
        },
    };
    let target = Target { host: asked.host, port: asked.port, tls: None };
    let shown = format!("http://{}{}", target.authority(), asked.path);
    match probe::passes(&HttpCheck::new(target, asked.path), options.timeout).await {
        Ok(()) => writeln!(out, "{shown}: ok").map(|()| true),
        Err(failure) => writeln!(out, "{shown}: {}", failure.reason).map(|()| false),
    }
}

fn admin(config: &Path, path: &str) -> Result<Asked, Problems> {
    let listen = Config::admin_listen(config, &Environment::of_process())?;
    Ok(Asked { host: reachable(listen).to_string(), port: listen.port(), path: path.to_owned() })
}

/// Where a listener on every address of this machine is found.
fn reachable(listen: SocketAddr) -> IpAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    }
}

fn parse_url(text: &str) -> Result<Asked, String> {
    let form = "write http://host:port/path";
    let uri: Uri = text.parse().map_err(|error| format!("{error}; {form}"))?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(format!("no http address (https is for the platform's own checks); {form}"));
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Asked { host, port: uri.port_u16().unwrap_or(HTTP_PORT), path: path.to_owned() })
}

fn parse_path(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::PathAndQuery>() {
        Ok(_) if text.starts_with('/') => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err("a path begins with /".to_owned()),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("more than nothing".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(format!("{error}; for example 2s or 500ms")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn asked(host: &str, port: u16, path: &str) -> Asked {
        Asked { host: host.to_owned(), port, path: path.to_owned() }
    }

    #[test]
    fn an_address_is_read_whole() {
        assert_eq!(parse_url("http://127.0.0.1:9090/readyz?x=1"), Ok(asked("127.0.0.1", 9090, "/readyz?x=1")));
        assert_eq!(parse_url("http://[::1]:81"), Ok(asked("::1", 81, "/")));
        assert_eq!(parse_url("http://localhost/livez"), Ok(asked("localhost", 80, "/livez")));
    }

    #[test]
    fn what_is_no_http_address_is_refused() {
        for text in ["https://127.0.0.1/", "127.0.0.1:9090", "/readyz", "http://"] {
            assert!(parse_url(text).unwrap_err().ends_with("write http://host:port/path"), "{text}");
        }
        assert!(parse_path("readyz").is_err() && parse_timeout("0s").is_err() && parse_timeout("2").is_err());
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_the_loopback() {
        for (listen, host) in
            [("0.0.0.0:9", "127.0.0.1"), ("[::]:9", "::1"), ("10.0.0.1:9", "10.0.0.1"), ("[::1]:9", "::1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), host, "{listen}");
        }
    }
}
