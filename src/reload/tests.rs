#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

/// A file in a directory of its own, and what looks after it.
struct Scene {
    directory: TempDir,
    watch: Watch,
    metrics: std::sync::Arc<Metrics>,
    adopted: Vec<Proposal>,
    /// Why the next configuration cannot come into force.
    obstacle: Option<&'static str>,
}

impl Scene {
    fn start(lines: &str) -> Self {
        Self::in_directory(TempDir::new().unwrap(), lines)
    }

    fn in_directory(directory: TempDir, lines: &str) -> Self {
        let path = directory.path().join("proxy.toml");
        fs::write(&path, text(lines)).unwrap();
        let environment = Environment::with_variables([("TIMEOUT", "7s")]);
        let loaded = Config::load_with_warnings(&path, &environment).unwrap();
        let watch = Watch::new(&path, environment, &loaded, Threshold::default());
        Self { directory, watch, metrics: Metrics::new(), adopted: Vec::new(), obstacle: None }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("proxy.toml")
    }

    fn write(&self, lines: &str) {
        fs::write(self.path(), text(lines)).unwrap();
    }

    async fn look(&mut self) -> ReloadOutcome {
        let (adopted, obstacle) = (&mut self.adopted, self.obstacle);
        let mut adopt = |proposal| match obstacle {
            Some(obstacle) => Err(obstacle.to_owned()),
            None => {
                adopted.push(proposal);
                Ok(())
            }
        };
        self.watch.look(&self.metrics, &mut adopt).await
    }

    /// The problems of a refusal.
    async fn refused(&mut self) -> String {
        match self.look().await {
            ReloadOutcome::Refused(problems) => problems.to_string(),
            outcome => panic!("{outcome:?}"),
        }
    }

    async fn changed(&mut self) -> Vec<String> {
        match self.look().await {
            ReloadOutcome::Changed { changed, .. } => changed,
            outcome => panic!("{outcome:?}"),
        }
    }

    fn standing(&self) -> Standing {
        self.watch.standing().borrow().clone()
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|shown| shown == line)
    }
}

fn text(lines: &str) -> String {
    format!("upstream.url = \"http://127.0.0.1:1\"\n{lines}\n")
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_came_through_a_pipe_is_not_looked_for_again_until_somebody_asks() {
    let scene = Scene::start("");
    let environment = Environment::with_variables([]);
    let loaded = Config::load_with_warnings(&scene.path(), &environment).unwrap();
    // No more a regular file than a pipe is.
    let watch = Watch::new(Path::new("/dev/null"), environment, &loaded, Threshold::default());
    let (asker, standing, metrics) = (watch.asker(), watch.standing(), Metrics::new());
    let running = tokio::spawn(async move { watch.run(&metrics, |_| Ok(())).await });
    tokio::time::sleep(10 * LOOK_EVERY).await;
    assert!(standing.borrow().refusal.is_none());
    let (answer, outcome) = oneshot::channel();
    asker.send(answer).await.unwrap();
    assert!(matches!(outcome.await, Ok(ReloadOutcome::Refused(_))));
    assert!(standing.borrow().refusal.is_some());
    running.abort();
}

#[tokio::test]
async fn a_touched_file_is_unchanged_and_an_edited_one_comes_into_force() {
    let mut scene = Scene::start("");
    let first = scene.standing();
    scene.write("");
    assert_eq!(scene.look().await, ReloadOutcome::Unchanged);
    scene.write("gate.hold_timeout = \"${TIMEOUT}\"");
    assert_eq!(scene.changed().await, ["gate.hold_timeout"]);
    assert_eq!(scene.adopted[0].config.gate.hold_timeout, Duration::from_secs(7));
    let standing = scene.standing();
    assert!(standing.hash != first.hash && standing.loaded_at >= first.loaded_at);
    assert_eq!((standing.changed, standing.refusal), (vec!["gate.hold_timeout".to_owned()], None));
    assert_eq!(scene.look().await, ReloadOutcome::Unchanged);
    assert_eq!(scene.adopted.len(), 1);
    assert!(scene.shows("readygate_config_reloads_total{result=\"changed\"} 1"));
}

#[tokio::test]
async fn words_that_change_no_key_build_nothing() {
    let mut scene = Scene::start("");
    let before = scene.standing().hash;
    scene.write("# a remark");
    assert_eq!((scene.changed().await.len(), scene.adopted.len()), (0, 0));
    assert_ne!(scene.standing().hash, before);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_counts_once() {
    let mut scene = Scene::start("");
    let hash = scene.standing().hash;
    scene.write("gate.hold_timeout = ");
    let first = scene.refused().await;
    assert!(first.contains("proxy.toml:2:"), "{first}");
    assert_eq!(scene.refused().await, first);
    assert!(scene.shows("readygate_config_reloads_total{result=\"refused\"} 1"));
    assert!(scene.shows("readygate_config_last_reload_successful 0"));
    scene.write("gate.hold_timeout = 5");
    assert_ne!(scene.refused().await, first);
    assert!(scene.shows("readygate_config_reloads_total{result=\"refused\"} 2"));
    let standing = scene.standing();
    assert!(standing.hash == hash && standing.refusal.is_some() && scene.adopted.is_empty());
    scene.write("");
    assert_eq!(scene.look().await, ReloadOutcome::Unchanged);
    assert_eq!(scene.standing().refusal, None);
    assert!(scene.shows("readygate_config_last_reload_successful 1"));
}

#[tokio::test]
async fn missing_long_and_strange_files_are_refused_each_by_its_name() {
    let mut scene = Scene::start("");
    fs::remove_file(scene.path()).unwrap();
    assert!(scene.refused().await.contains("no such file"));
    fs::create_dir(scene.path()).unwrap();
    assert!(scene.refused().await.contains("is no regular file"));
    fs::remove_dir(scene.path()).unwrap();
    fs::write(scene.path(), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(scene.refused().await.contains("is longer than 1048576 bytes"));
    fs::write(scene.path(), [0xff]).unwrap();
    assert!(scene.refused().await.contains("it is not UTF-8"));
    assert!(scene.adopted.is_empty());
}

#[tokio::test]
async fn what_cannot_be_built_is_refused_and_tried_again() {
    let mut scene = Scene::start("");
    scene.write("gate.hold_timeout = \"9s\"");
    scene.obstacle = Some("no luck");
    assert!(scene.refused().await.ends_with("no luck"));
    assert!(scene.refused().await.ends_with("no luck"));
    scene.obstacle = None;
    assert_eq!(scene.changed().await, ["gate.hold_timeout"]);
}

#[tokio::test]
async fn what_needs_a_restart_is_told_until_it_is_taken_back() {
    let mut scene = Scene::start("");
    scene.write("server.workers = 3\nlog.format = \"text\"");
    scene.changed().await;
    assert_eq!(scene.standing().restart_needed, ["log.format", "server.workers"]);
    scene.write("server.workers = 3\ngate.hold_timeout = \"9s\"");
    assert_eq!(scene.changed().await, ["gate.hold_timeout", "log.format"]);
    assert_eq!(scene.standing().restart_needed, ["server.workers"]);
    assert!(scene.shows("readygate_config_restart_needed 1"));
    scene.write("");
    scene.changed().await;
    assert!(scene.standing().restart_needed.is_empty() && scene.shows("readygate_config_restart_needed 0"));
}

#[tokio::test]
async fn a_link_that_points_elsewhere_is_a_change() {
    let directory = TempDir::new().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    for (data, lines) in [(&one, ""), (&other, "gate.hold_timeout = \"9s\"")] {
        fs::create_dir(data).unwrap();
        fs::write(data.join("proxy.toml"), text(lines)).unwrap();
    }
    let mut scene = Scene::in_directory(directory, "");
    let link = scene.directory.path().join("..data");
    std::os::unix::fs::symlink(&one, &link).unwrap();
    fs::remove_file(scene.path()).unwrap();
    std::os::unix::fs::symlink(link.join("proxy.toml"), scene.path()).unwrap();
    assert_eq!(scene.look().await, ReloadOutcome::Unchanged);
    let next = scene.directory.path().join("..next");
    std::os::unix::fs::symlink(&other, &next).unwrap();
    fs::rename(next, link).unwrap();
    assert_eq!(scene.changed().await, ["gate.hold_timeout"]);
}

#[tokio::test]
async fn a_certificate_that_changes_alone_is_a_change_once_its_key_has_come_too() {
    let directory = TempDir::new().unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| directory.path().join(name));
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&chain, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    let lines = format!("server.tls = {{ cert = {chain:?}, key = {key:?} }}");
    let mut scene = Scene::in_directory(directory, &lines);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&chain, cert.pem()).unwrap();
    assert!(scene.refused().await.contains("the key does not belong to the certificate"));
    fs::remove_file(&key).unwrap();
    assert!(scene.refused().await.contains("key.pem cannot be read"));
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    assert_eq!(scene.changed().await, ["server.tls.cert", "server.tls.key"]);
    assert!(!scene.adopted[0].trust_changed);
    assert_eq!(scene.look().await, ReloadOutcome::Unchanged);
}

#[tokio::test]
async fn a_private_ca_that_changes_is_a_change_of_trust() {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    let pem = || generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    fs::write(&ca, pem()).unwrap();
    let mut scene =
        Scene::in_directory(directory, &format!("dependencies.a.check = {{ url = \"tls://h:1\", ca = {ca:?} }}"));
    fs::write(&ca, pem()).unwrap();
    assert_eq!(scene.changed().await, ["dependencies.a.check.ca"]);
    assert!(scene.adopted[0].trust_changed);
}

#[tokio::test]
async fn whoever_asks_is_answered_at_once() {
    let Scene { watch, metrics, directory: _kept, .. } = Scene::start("");
    let asker = watch.asker();
    let running = tokio::spawn(async move { watch.run(&metrics, |_| Ok(())).await });
    let (sender, answer) = oneshot::channel();
    asker.send(sender).await.unwrap();
    assert_eq!(answer.await.unwrap(), ReloadOutcome::Unchanged);
    running.abort();
}
