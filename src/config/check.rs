//! From what TOML says to what the program runs on: every problem is noted, and only a configuration without one
//! comes out.
//!
//! A function here notes what is wrong with its value and returns a stand-in, so that the next value is judged too.
//! Stand-ins never leave the module: any problem at all means no configuration.

mod confirm;
mod dependencies;
mod expectations;
mod files;
mod gate;
mod listen;
mod location;
mod notices;
mod numbers;
mod pacing;
mod probes;
mod rollout;
mod routes;
mod stores;
mod upstream;

use super::{
    Config, Drain, Features, Flood, Http, Log,
    document::Document,
    environment::Environment,
    key_path::KeyPath,
    raw::{self, LogLevel, RawConfig},
};

/// As good as no limit: no log takes a million lines a second.
const MOST_LINES: u32 = 1_000_000;

/// A document whose values are being judged, and the machine on which they must hold.
struct Checker<'c, 't> {
    document: &'c mut Document<'t>,
    environment: &'c Environment,
}

/// Judges everything. What is wrong is noted in the document; the result may only be used where nothing was.
pub(super) fn check(document: &mut Document<'_>, raw: RawConfig, environment: &Environment) -> Option<Config> {
    let mut checker = Checker { document, environment };
    let (server, admin) = checker.listeners(raw.server, &raw.admin);
    let probe = checker.pacing(&raw.probe);
    let upstream = checker.upstream(raw.upstream, probe, &server);
    let (names, dependencies) = checker.dependencies(raw.dependencies, probe);
    let (gate, hold) = (checker.gate(raw.gate), checker.hold(&raw.hold));
    let routes = checker.routes(raw.routes, &names, &gate, &hold);
    let profile = checker.profile(raw.probe.profile);
    let features = features(&raw.features);
    let notices = checker.notices(&raw.notices, features.client_notices);
    let http = Http {
        when_shut: raw.http.when_shut,
        wait_for: raw.http.wait_for,
        response_timeout: checker.time("http.response_timeout", raw.http.response_timeout),
    };
    let drain = Drain { timeout: checker.time("drain.timeout", raw.drain.timeout) };
    let (upstream, log) = (upstream?, checker.log(&raw.log));
    checker.warn_of_an_idle_rollout(&KeyPath::from("gate"), &gate);
    checker.warn_of_doubtful_routes(&routes, &upstream.checks, &dependencies);
    Some(Config {
        server,
        admin,
        upstream,
        gate,
        hold,
        http,
        drain,
        log,
        dependencies,
        routes,
        features,
        notices,
        profile,
    })
}

fn features(raw: &raw::Features) -> Features {
    let raw::Features { dependency_checks, adaptive_timing, early_accept, degraded_mode, client_notices } = *raw;
    Features { dependency_checks, adaptive_timing, early_accept, degraded_mode, client_notices }
}

impl Checker<'_, '_> {
    fn log(&mut self, raw: &raw::Log) -> Log {
        let level = match raw.level {
            LogLevel::Error => tracing::Level::ERROR,
            LogLevel::Warn => tracing::Level::WARN,
            LogLevel::Info => tracing::Level::INFO,
            LogLevel::Debug => tracing::Level::DEBUG,
            LogLevel::Trace => tracing::Level::TRACE,
        };
        let flood = Flood {
            burst: self.count("log.flood.burst", raw.flood.burst, 1..=MOST_LINES),
            per_second: self.count("log.flood.per_second", raw.flood.per_second, 1..=MOST_LINES),
        };
        Log { format: raw.format, level, requests: raw.requests, flood }
    }

    /// Notes a problem of the value at `path`.
    fn push(&mut self, path: impl Into<KeyPath>, what: impl AsRef<str>, help: impl AsRef<str>) {
        self.document.push(&path.into(), what, help);
    }

    /// Notes a problem between the values at two paths, at the first of them that is no default; not at all where
    /// either was found wrong before.
    fn push_between(
        &mut self,
        path: impl Into<KeyPath>,
        other: impl Into<KeyPath>,
        what: impl AsRef<str>,
        help: impl AsRef<str>,
    ) {
        let (path, other) = (path.into(), other.into());
        if self.document.is_sound(&path) && self.document.is_sound(&other) {
            let at = if self.document.was_given(&path) || !self.document.was_given(&other) { path } else { other };
            self.push(at, what, help);
        }
    }

    /// Notes something doubtful.
    fn warn(&mut self, path: impl Into<KeyPath>, what: impl AsRef<str>, help: impl AsRef<str>) {
        let place = self.document.place_of(&path.into());
        self.document.warn_at(place, what, help);
    }

    /// The string at `path` in quotes, as it was written: completed from the environment it may hold a secret.
    fn quoted(&self, path: &KeyPath, text: &str) -> String {
        format!("{:?}", self.document.as_written(path).unwrap_or(text))
    }
}
