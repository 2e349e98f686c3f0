//! A Prometheus of its own data directory, and its tool.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    dependencies::process::{ATTEMPTS, Process, free_port},
    harness::{eventually, gate::admin},
};

const HINT: &str = "install the Debian package prometheus, or run tests/run";

/// Between two scrapes, and the most that one may take: it takes some milliseconds, and longer on a busy machine.
const SCRAPE: &str = "1s";

/// Between two questions: scrapes are rarer by far.
const LOOK: Duration = Duration::from_millis(50);

/// A Prometheus on loopback that scrapes one target.
pub(super) struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts with the rules of `deploy`, and waits until it is ready.
    pub(super) fn start(target: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let rules = path("deploy/prometheus/alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: {SCRAPE}, scrape_timeout: {SCRAPE}, evaluation_interval: {SCRAPE} }}\n\
             rule_files: [ {rules:?} ]\n\
             scrape_configs: [ {{ job_name: readygate, static_configs: [ {{ targets: [ \"{target}\" ] }} ] }} ]\n"
        );
        std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        for _ in 0..ATTEMPTS {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let process = launch(directory.path(), address);
            if process.log().reached("Server is ready to receive web requests").is_some() {
                return Self { address, _process: process, _directory: directory };
            }
            assert!(process.log().text().contains("address already in use"), "{}", process.log().text());
        }
        panic!("no port to be had");
    }

    /// The values of the series that an expression gives at this moment.
    async fn query(&self, expression: &str) -> Vec<f64> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let answer = admin(self.address, &path).await.json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        assert_eq!(answer["data"]["resultType"], "vector", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap().iter();
        series.map(|one| one["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Waits until an expression gives at least one series whose value is as wanted.
    pub(super) async fn shows(&self, expression: &str, wanted: impl Fn(f64) -> bool) {
        eventually(expression, async || {
            let found = self.query(expression).await.into_iter().any(&wanted);
            if !found {
                sleep(LOOK).await;
            }
            found.then_some(())
        })
        .await;
    }

    /// The rules of the one group, once each has been evaluated.
    pub(super) async fn rules(&self) -> Vec<Value> {
        eventually("evaluated rules", async || {
            let answer = admin(self.address, "/api/v1/rules").await.json();
            let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
            rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
        })
        .await
    }
}

/// A path from the root of the repository.
pub(super) fn path(relative: &str) -> String {
    format!("{}/{relative}", env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Runs promtool with `input`, and says whether it had no complaint, and what it said.
pub(super) fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("promtool: {error}; {HINT}"));
    // A tool that has seen enough reads no further.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn launch(directory: &Path, address: SocketAddr) -> Process {
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", directory.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    Process::start(&mut command, Signal::KILL, HINT)
}

/// As the value of a query parameter.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}
