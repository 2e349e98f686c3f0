//! A real process whose file changes: what comes into force, when, and what becomes of a file that cannot be used.

mod generations;
mod load;

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness::{
    eventually,
    gate::{admin, metric, metric_is, post},
    head::Response,
    process::{FILE, Process, text},
    tls::{certificate, tls_connect},
    upstream::{Health, Upstream},
};

/// A check that is slow on a busy machine has not failed.
const PATIENT: [(&str, &str); 2] =
    [("READYGATE_PROBE__TIMEOUT", "20s"), ("READYGATE_FEATURES__ADAPTIVE_TIMING", "false")];

const USABLE: &str = "readygate_config_last_reload_successful";
const RESTART: &str = "readygate_config_restart_needed";
const OPEN: &str = r#"readygate_gate_verdict{route="*",verdict="open"}"#;
const REFUSED: &str = "configuration refused: the old one stays in force";

#[tokio::test]
async fn a_changed_file_is_in_force_without_a_signal() {
    let scene = Scene::start("").await;
    assert_eq!(scene.status().await["file"], scene.path().to_str().unwrap());
    let hash = scene.write("gate.hold_timeout = \"77s\"");
    let config = scene.in_force(&hash).await;
    assert_eq!((&config["hold_timeout_ms"], &config["changed"]), (&json!(77000.0), &json!(["gate.hold_timeout"])));
    assert_eq!(config["last_error"], json!(null));
}

#[tokio::test]
async fn a_hangup_has_the_file_looked_at() {
    let mut scene = Scene::start("").await;
    let hash = scene.write("gate.hold_timeout = \"77s\"");
    scene.process.signal("HUP").await;
    let line = scene.process.logged("configuration reloaded").await;
    assert_eq!(line["changed"], "gate.hold_timeout");
    scene.in_force(&hash).await;
}

#[tokio::test]
async fn whoever_posts_is_told_what_changed_or_what_is_wrong() {
    let scene = Scene::start("").await;
    let unchanged = scene.reload().await;
    assert_eq!((unchanged.status(), unchanged.json()), (200, json!({ "result": "unchanged", "changed": [] })));
    // Where the timer was faster there is nothing to tell, and the next one counts.
    let mut sessions = 5;
    let changed = eventually("an answer about a change", async || {
        sessions += 1;
        scene.write(&format!("gate.hold_timeout = \"{sessions}s\"\nhold.sessions = {sessions}"));
        let answer = scene.reload().await;
        (answer.json()["result"] == "changed").then_some(answer)
    })
    .await;
    let keys = ["gate.hold_timeout", "hold.sessions"];
    let expected = json!({ "result": "changed", "changed": keys, "restart_needed": [] });
    assert_eq!((changed.status(), changed.json()), (200, expected));
    assert_eq!(scene.all_status().await["hold"]["sessions_limit"], sessions);
    scene.write("gate.hold_timeot = \"1s\"\nhold.sessions = true");
    let refused = scene.reload().await;
    assert_eq!(refused.status(), 422);
    assert_eq!(refused.head.get("content-type"), Some("text/plain; charset=utf-8"));
    let lines: Vec<&str> = refused.text().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("did you mean \"hold_timeout\"?"), "{lines:?}");
    let get = admin(scene.process.admin, "/reload").await;
    assert_eq!((get.status(), get.head.get("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn a_swapped_link_is_a_change_as_kubernetes_makes_it() {
    let (health, upstream) = (Health::start(true).await, Upstream::start().await);
    let directory = TempDir::new().unwrap();
    let [first, second] = ["..1", "..2"].map(|name| directory.path().join(name));
    for (data, lines) in [(&first, ""), (&second, "gate.hold_timeout = \"77s\"")] {
        fs::create_dir(data).unwrap();
        fs::write(data.join(FILE), whole(&upstream, &health, lines)).unwrap();
    }
    let data = directory.path().join("..data");
    symlink(&first, &data).unwrap();
    symlink(data.join(FILE), directory.path().join(FILE)).unwrap();
    let process = Process::start_in(directory, &[]).await;
    let scene = Scene { process, health, upstream };
    let next = scene.process.directory().join("..next");
    symlink(&second, &next).unwrap();
    fs::rename(next, data).unwrap();
    let config = scene.in_force(&hash(&fs::read_to_string(second.join(FILE)).unwrap())).await;
    assert_eq!(config["changed"], json!(["gate.hold_timeout"]));
}

#[tokio::test]
async fn a_half_written_file_changes_nothing_until_it_is_whole() {
    let mut scene = Scene::start("").await;
    let before = scene.status().await;
    let whole = scene.text("gate.hold_timeout = \"77s\"");
    let cut = whole.rfind("77").unwrap();
    put(&scene.process, &whole[..cut]);
    let line = scene.process.logged(REFUSED).await;
    assert_eq!(line["severity"], "ERROR");
    let config = scene.status().await;
    assert_eq!((&config["hash"], &config["hold_timeout_ms"]), (&before["hash"], &before["hold_timeout_ms"]));
    let problem = &config["last_error"]["problems"][0];
    let last_line = whole[..cut].lines().count();
    assert_eq!(problem["line"], last_line, "{problem}");
    assert!(problem["column"].is_u64() && problem["problem"].as_str().unwrap().contains(FILE), "{problem}");
    assert_eq!(metric(scene.process.admin, USABLE).await, 0.0);
    let hash = put(&scene.process, &whole);
    let config = scene.in_force(&hash).await;
    assert_eq!((&config["hold_timeout_ms"], &config["last_error"]), (&json!(77000.0), &json!(null)));
    metric_is(scene.process.admin, USABLE, 1.0).await;
}

#[tokio::test]
async fn a_missing_file_changes_nothing_and_is_said_once() {
    let mut scene = Scene::start("").await;
    let before = scene.status().await;
    fs::remove_file(scene.path()).unwrap();
    for _ in 0..3 {
        let refused = scene.reload().await;
        assert!(refused.status() == 422 && refused.text().contains("no such file"), "{}", refused.text());
    }
    assert_eq!(scene.status().await["hash"], before["hash"]);
    scene.write("");
    assert_eq!(scene.reload().await.json()["result"], "unchanged");
    scene.process.signal("TERM").await;
    let log = scene.process.everything().await;
    assert_eq!(log.matches(REFUSED).count(), 1, "{log}");
}

#[tokio::test]
async fn a_secret_that_is_missing_in_the_moment_of_the_swap_is_tried_again() {
    let mut scene = Scene::start("").await;
    let (cert, key) = certificate(|_| {});
    let [chain, secret] = ["cert.pem", "key.pem"].map(|name| scene.process.directory().join(name));
    fs::write(&chain, &cert).unwrap();
    let hash = scene.write(&format!("server.tls = {{ cert = {chain:?}, key = {secret:?} }}"));
    let line = scene.process.logged(REFUSED).await;
    assert!(line["problems"].as_str().unwrap().contains("key.pem cannot be read"), "{line}");
    fs::write(&secret, key).unwrap();
    scene.in_force(&hash).await;
    tls_connect(scene.process.public, &cert).await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_clients_and_a_broken_pair_to_nobody() {
    let directory = TempDir::new().unwrap();
    let [chain, secret] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    let (first, key) = certificate(|_| {});
    fs::write(&chain, &first).unwrap();
    fs::write(&secret, key).unwrap();
    let lines = format!("server.tls = {{ cert = {chain:?}, key = {secret:?} }}");
    let mut scene = Scene::start(&lines).await;
    tls_connect(scene.process.public, &first).await.unwrap();
    let (second, key) = certificate(|_| {});
    fs::write(&chain, &second).unwrap();
    scene.process.logged(REFUSED).await;
    tls_connect(scene.process.public, &first).await.unwrap();
    assert!(tls_connect(scene.process.public, &second).await.is_err());
    fs::write(&secret, key).unwrap();
    let config = eventually("the new pair", async || {
        let config = scene.status().await;
        (config["changed"] == json!(["server.tls.cert", "server.tls.key"])).then_some(config)
    })
    .await;
    assert_eq!(config["last_error"], json!(null));
    tls_connect(scene.process.public, &second).await.unwrap();
    assert!(tls_connect(scene.process.public, &first).await.is_err());
}

#[tokio::test]
async fn what_needs_a_restart_keeps_its_value_and_is_told_and_the_rest_is_in_force() {
    let mut scene = Scene::start("").await;
    let before = scene.status().await;
    let lines = "gate.hold_timeout = \"77s\"\nserver.workers = 3\nlog.format = \"text\"";
    let config = scene.reload_to(lines).await;
    assert_eq!(config["changed"], json!(["gate.hold_timeout", "log.format", "server.workers"]));
    assert_eq!(config["restart_needed"], json!(["log.format", "server.workers"]));
    let line = scene.process.logged("these keys keep their old values until a restart").await;
    assert_eq!((&line["severity"], &line["keys"]), (&json!("WARNING"), &json!("log.format, server.workers")));
    assert_eq!((&config["hold_timeout_ms"], &config["workers"]), (&json!(77000.0), &before["workers"]));
    assert_eq!(metric(scene.process.admin, RESTART).await, 1.0);
    assert_eq!(scene.reload_to("").await["restart_needed"], json!([]));
    assert_eq!(metric(scene.process.admin, RESTART).await, 0.0);
}

#[tokio::test]
async fn another_port_waits_for_a_restart() {
    let scene = Scene::start("").await;
    let text = scene.text("").replacen("server.listen = \"127.0.0.1:0\"", "server.listen = \"127.0.0.2:0\"", 1);
    let hash = put(&scene.process, &text);
    let config = scene.in_force(&hash).await;
    assert_eq!(config["restart_needed"], json!(["server.listen"]));
    assert_eq!(config["listen"], "127.0.0.1:0");
    scene.process.client().await;
}

#[tokio::test]
async fn the_environment_of_the_start_counts_at_a_reload_too() {
    let (health, upstream) = (Health::start(true).await, Upstream::start().await);
    let lines = format!("upstream.check = \"http://{}/\"", health.address);
    let variables = [("READYGATE_GATE__HOLD_TIMEOUT", "66s"), ("WAIT", "33s")];
    let process = Process::start(upstream.address, &lines, &variables).await;
    let scene = Scene { process, health, upstream };
    let config = scene.reload_to("gate.hold_timeout = \"77s\"\ndrain.timeout = \"${WAIT}\"").await;
    assert_eq!(config["changed"], json!(["drain.timeout"]));
    assert_eq!((&config["hold_timeout_ms"], &config["drain_timeout_ms"]), (&json!(66000.0), &json!(33000.0)));
}

#[tokio::test]
async fn the_logs_level_follows_the_file() {
    let mut scene = Scene::start("").await;
    scene.write("log.level = \"error\"");
    assert_eq!(scene.reload().await.status(), 200);
    // Answered, this has written what it has to write.
    assert_eq!(scene.reload().await.status(), 200);
    scene.write("log.level = \"info\"\ngate.hold_timeout = \"77s\"");
    assert_eq!(scene.reload().await.status(), 200);
    assert_eq!(
        scene.process.next_of(&["configuration reloaded", "configuration unchanged"]).await["changed"],
        "gate.hold_timeout, log.level"
    );
}

/// A process with an open gate, and the file that it runs on.
struct Scene {
    process: Process,
    health: Health,
    upstream: Upstream,
}

impl Scene {
    async fn start(lines: &str) -> Self {
        let (health, upstream) = (Health::start(true).await, Upstream::start().await);
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join(FILE), whole(&upstream, &health, lines)).unwrap();
        let process = Process::start_in(directory, &PATIENT).await;
        metric_is(process.admin, OPEN, 1.0).await;
        Self { process, health, upstream }
    }

    fn path(&self) -> PathBuf {
        self.process.directory().join(FILE)
    }

    fn text(&self, lines: &str) -> String {
        whole(&self.upstream, &self.health, lines)
    }

    fn write(&self, lines: &str) -> String {
        put(&self.process, &self.text(lines))
    }

    /// Has these lines come into force, and gives what is told of it. The timer may have been faster than the request.
    async fn reload_to(&self, lines: &str) -> Value {
        let hash = self.write(lines);
        let answer = self.reload().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let config = self.status().await;
        assert_eq!(config["hash"], hash);
        config
    }

    async fn reload(&self) -> Response {
        post(self.process.admin, "/reload").await
    }

    async fn all_status(&self) -> Value {
        admin(self.process.admin, "/status").await.json()
    }

    async fn status(&self) -> Value {
        self.all_status().await["config"].clone()
    }

    /// Waits until the text with this hash is in force.
    async fn in_force(&self, hash: &str) -> Value {
        eventually("the new configuration", async || {
            let config = self.status().await;
            (config["hash"] == hash).then_some(config)
        })
        .await
    }
}

fn whole(upstream: &Upstream, health: &Health, lines: &str) -> String {
    text(upstream.address, &format!("upstream.check = \"http://{}/\"\n{lines}", health.address))
}

/// Writes the file anew, in one step, and gives its hash.
fn put(process: &Process, text: &str) -> String {
    let next = process.directory().join("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, process.directory().join(FILE)).unwrap();
    hash(text)
}

/// As `sha256sum` says it.
fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
