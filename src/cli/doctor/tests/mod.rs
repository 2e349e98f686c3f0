//! Every rule, over a manifest in which nothing is wrong and one change of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cloud_run;
mod kubernetes;
mod reading;

use std::fs;

use tempfile::TempDir;

use super::{Diagnosis, Options, Rule, run};

/// A configuration with which nothing is wrong on either platform.
const SETTINGS: &str = "admin.listen = \"0.0.0.0:9090\"\nupstream.url = \"http://127.0.0.1:8081\"\n";

/// A manifest and a configuration beside it.
struct Patient {
    name: &'static str,
    manifest: String,
    settings: String,
    allow: Vec<Rule>,
    container: Option<String>,
}

impl Patient {
    fn new(manifest: &str) -> Self {
        let (manifest, settings) = (manifest.to_owned(), SETTINGS.to_owned());
        Self { name: "pod.yaml", manifest, settings, allow: Vec::new(), container: None }
    }

    /// With another text in place of one that must be there.
    fn with(mut self, old: &str, new: &str) -> Self {
        assert!(self.manifest.contains(old), "{old:?} is not in the manifest");
        self.manifest = self.manifest.replacen(old, new, 1);
        self
    }

    /// With one more line of configuration.
    fn set(mut self, line: &str) -> Self {
        self.settings += line;
        self.settings.push('\n');
        self
    }

    fn allowing(mut self, rule: Rule) -> Self {
        self.allow.push(rule);
        self
    }

    /// What is printed, with the directory cut off.
    fn seen(&self) -> (Diagnosis, String) {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join(self.name);
        fs::write(directory.path().join("proxy.toml"), &self.settings).unwrap();
        fs::write(&file, &self.manifest).unwrap();
        let (allow, container) = (self.allow.clone(), self.container.clone());
        let mut out = Vec::new();
        let diagnosis = run(&Options { file, config: None, container, allow }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap().replace(&format!("{}/", directory.path().display()), "");
        (diagnosis, text)
    }

    fn is_sound(&self) {
        assert_eq!(self.seen(), (Diagnosis::Sound, "pod.yaml: ok\n".to_owned()));
    }

    /// Exactly these lines are found.
    fn has(&self, findings: &[&str]) {
        let (diagnosis, text) = self.seen();
        assert_eq!(text.lines().collect::<Vec<_>>(), findings);
        assert_eq!(diagnosis, Diagnosis::Findings);
    }

    /// It cannot be judged, for this reason.
    fn is_unreadable(&self, reason: &str) {
        assert_eq!(self.seen(), (Diagnosis::Unreadable, format!("{reason}\n")));
    }
}
