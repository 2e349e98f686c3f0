//! Which keys differ between two readings of a configuration, and which of them need a restart. PURE.
//!
//! Readings are compared as trees of keys, so that no key can be left out. What is told are names, never values: any of
//! them may be a secret.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};

use super::{Config, key_path::KeyPath, raw::RawConfig};

/// Keys whose values are fixed at the start. A bound port cannot move without a moment in which clients or probes find
/// nobody; the threads of a runtime are made once; and whoever reads the log was set up for one format.
const NEED_RESTART: [&str; 4] = ["admin.listen", "log.format", "server.listen", "server.workers"];

/// Every key with its value, defaults included.
#[derive(Clone, PartialEq)]
pub struct Settings(Value);

/// A key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Its name, dotted: `gate.hold_timeout`, `routes[0].connection_bytes`.
    pub key: String,
    /// When the new value counts.
    pub effect: Effect,
}

/// When a new value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// For what begins from here on.
    Live,
    /// After a restart.
    NeedsRestart,
}

impl Settings {
    /// As the file and the environment have it.
    pub(super) fn of(raw: &RawConfig) -> Self {
        Self(serde_json::to_value(raw).unwrap_or_default())
    }

    /// With the values that are not the file's alone as they are in force: `PORT` decides on a port, and the machine on
    /// the number of workers.
    pub(super) fn resolved(mut self, config: &Config) -> Self {
        if let Some(Value::Object(server)) = self.0.get_mut("server") {
            server.insert("listen".to_owned(), config.server.listen.to_string().into());
            server.insert("workers".to_owned(), config.server.workers.get().into());
        }
        self
    }

    /// The keys whose values differ from those of `before`, in order.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut keys = BTreeSet::new();
        collect(&KeyPath::default(), &before.0, &self.0, &mut keys);
        keys.into_iter().map(Change::of).collect()
    }
}

impl Config {
    /// Leaves the keys that need a restart as they are in `running`.
    pub fn keep_until_restart(&mut self, running: &Self) {
        self.server.listen = running.server.listen;
        self.server.workers = running.server.workers;
        self.admin.listen = running.admin.listen;
        self.log.format = running.log.format;
    }
}

impl Change {
    /// Of the key `key`.
    #[must_use]
    pub fn of(key: String) -> Self {
        let effect = match NEED_RESTART.contains(&key.as_str()) {
            true => Effect::NeedsRestart,
            false => Effect::Live,
        };
        Self { key, effect }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings")
    }
}

/// Down to the first key that only one side has, or whose two values are not both tables or lists of one length.
fn collect(path: &KeyPath, before: &Value, after: &Value, keys: &mut BTreeSet<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => collect_tables(path, before, after, keys),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() && before.iter().all(is_table) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                collect(&path.item(index), before, after, keys);
            }
        }
        (before, after) if before == after => {}
        (_, _) => {
            keys.insert(path.to_string());
        }
    }
}

fn collect_tables(
    path: &KeyPath,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    keys: &mut BTreeSet<String>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let absent = &Value::Null;
        let (before, after) = (before.get(name).unwrap_or(absent), after.get(name).unwrap_or(absent));
        collect(&path.key(name), before, after, keys);
    }
}

fn is_table(value: &Value) -> bool {
    value.is_object()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::config::{Environment, Loaded};

    fn loaded<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Loaded {
        let text = format!("upstream.url = \"http://h:1\"\n{text}");
        Config::parse_with_warnings(&text, "proxy.toml", &Environment::with_variables(variables)).unwrap()
    }

    fn changes(before: &str, after: &str) -> Vec<Change> {
        loaded(after, []).settings.changes_since(&loaded(before, []).settings)
    }

    fn keys(before: &str, after: &str) -> Vec<String> {
        changes(before, after).into_iter().map(|change| change.key).collect()
    }

    #[test]
    fn a_key_that_differs_is_named_and_one_that_says_its_default_is_not() {
        assert_eq!(keys("", "gate.hold_timeout = \"10s\""), ["gate.hold_timeout"]);
        assert_eq!(keys("gate.hold_timeout = \"10s\"", "gate.hold_timeout = \"5s\""), ["gate.hold_timeout"]);
        assert_eq!(keys("", "gate.hold_timeout = \"30s\"\nserver.workers = 1"), [""; 0]);
        assert_eq!(keys("gate.hold_timeout = \"10s\"", "gate.hold_timeout = \"10000ms\""), [""; 0]);
    }

    #[test]
    fn a_secret_that_changes_is_told_by_its_key() {
        let check = |token: &str| {
            format!("[dependencies.a]\ncheck = {{ url = \"http://h/\", headers = {{ b = \"{token}\" }} }}")
        };
        let changes = changes(&check("hunter2"), &check("hunter3"));
        assert_eq!(changes, [Change { key: "dependencies.a.check.headers.b".to_owned(), effect: Effect::Live }]);
        assert_eq!(format!("{:?}", loaded(&check("hunter2"), []).settings), "Settings");
    }

    #[test]
    fn tables_that_come_and_go_are_named_as_a_whole() {
        let cache = "[dependencies.cache]\ncheck = \"redis://h\"";
        assert_eq!(keys("", cache), ["dependencies"]);
        let both = format!("{cache}\n[dependencies.llm]\ncheck = \"tcp://h:2\"");
        assert_eq!(keys(cache, &both), ["dependencies.llm"]);
        assert_eq!(keys(&both, cache), ["dependencies.llm"]);
    }

    #[test]
    fn a_key_of_a_route_is_named_with_the_routes_place() {
        let route = |timeout| format!("[[routes]]\npath = \"/a\"\nhold_timeout = \"{timeout}\"");
        let more = format!("{}\n[[routes]]\npath = \"/b\"", route("1s"));
        assert_eq!(keys(&route("1s"), &route("2s")), ["routes[0].hold_timeout"]);
        assert_eq!(keys(&route("1s"), &more), ["routes"]);
    }

    #[test]
    fn ports_threads_and_the_logs_format_need_a_restart() {
        let all = "server.listen = \"127.0.0.1:1\"\nserver.workers = 3\nadmin.listen = \"127.0.0.1:2\"\n\
                   log = { format = \"text\", level = \"warn\" }";
        let waiting: Vec<_> = changes("", all).into_iter().filter(|c| c.effect == Effect::NeedsRestart).collect();
        let keys: Vec<_> = waiting.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["admin.listen", "log.format", "server.listen", "server.workers"]);
        let mut config = loaded(all, []).config;
        let running = loaded("", []).config;
        config.keep_until_restart(&running);
        assert_eq!((config.server.listen, config.admin.listen), (running.server.listen, running.admin.listen));
        assert_eq!((config.server.workers, config.log.format), (running.server.workers, running.log.format));
        assert_eq!(config.log.level, tracing::Level::WARN);
    }

    #[test]
    fn a_port_that_the_environment_decides_on_does_not_change_with_the_file() {
        let with_port = |text| loaded(text, [("PORT", "80")]).settings;
        let changes = with_port("server.listen = \"0.0.0.0:9000\"").changes_since(&with_port(""));
        assert_eq!(changes, []);
    }
}
