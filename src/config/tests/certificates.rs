//! Certificates and keys, good and bad.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::{MINIMAL, config_with, nothing_set, only, problems, problems_in};
use crate::config::Environment;

/// The certificates of these tests are valid in 2020 alone.
const IN_2020: u64 = 1_590_000_000;
const IN_2019: u64 = 1_560_000_000;
const IN_2021: u64 = 1_620_000_000;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (certificate, key) = pair();
        fs::write(directory.path().join("cert.pem"), certificate).unwrap();
        fs::write(directory.path().join("key.pem"), key).unwrap();
        Self(directory)
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.path().join(name), text).unwrap();
        self
    }

    fn toml(&self) -> String {
        let path = |name: &str| self.0.path().join(name).display().to_string();
        format!("{MINIMAL}[server]\ntls = {{ cert = \"{}\", key = \"{}\" }}\n", path("cert.pem"), path("key.pem"))
    }

    fn problem(&self) -> String {
        only(problems_in(&self.toml(), &at(IN_2020)))
    }
}

fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["gate.test".into()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn at(seconds: u64) -> Environment {
    Environment { now: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), ..nothing_set() }
}

#[test]
fn a_pair_that_is_valid_today_is_taken() {
    assert_eq!(problems_in(&Files::new().toml(), &at(IN_2020)), Vec::<String>::new());
}

#[test]
fn an_expired_certificate_is_refused() {
    let found = only(problems_in(&Files::new().toml(), &at(IN_2021)));
    assert!(found.contains("the certificate expired on Jan  1 00:00:00 2021"), "{found}");
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    let found = only(problems_in(&Files::new().toml(), &at(IN_2019)));
    assert!(found.contains("the certificate is not valid before Jan  1 00:00:00 2020"), "{found}");
}

#[test]
fn files_that_cannot_be_read_are_named_both_at_once() {
    let found = problems(&format!("{MINIMAL}[server]\ntls = {{ cert = \"/nowhere/c\", key = \"/nowhere/k\" }}\n"));
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("proxy.toml:4:16: /nowhere/c cannot be read: No such file"), "{found:#?}");
    assert!(found[1].starts_with("proxy.toml:4:36: /nowhere/k cannot be read: No such file"), "{found:#?}");
}

#[test]
fn a_pair_needs_both() {
    let found = problems(&format!("{MINIMAL}[server]\ntls = {{}}\n"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("server.tls has no cert") && found[1].contains("server.tls has no key"));
}

#[test]
fn what_is_no_pem_is_refused_without_being_shown() {
    let found = Files::new().with("key.pem", "hunter2").problem();
    assert!(found.contains("key.pem holds no private key in PEM") && !found.contains("hunter2"), "{found}");
    let found = Files::new().with("cert.pem", "").problem();
    assert!(found.contains("cert.pem holds no certificate in PEM"), "{found}");
    let found = Files::new().with("key.pem", "-----BEGIN PRIVATE KEY-----\nhunter2").problem();
    assert!(found.contains("key.pem is damaged") && !found.contains("hunter2"), "{found}");
}

#[test]
fn a_pem_of_the_wrong_kind_is_refused() {
    let (certificate, key) = pair();
    let found = Files::new().with("key.pem", certificate).problem();
    assert!(found.contains("key.pem holds no private key in PEM"), "{found}");
    let found = Files::new().with("cert.pem", key).problem();
    assert!(found.contains("cert.pem holds no certificate in PEM"), "{found}");
}

#[test]
fn what_only_looks_like_a_certificate_or_a_key_is_refused() {
    let block = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let found = problems_in(&Files::new().with("cert.pem", block("CERTIFICATE")).toml(), &at(IN_2020));
    assert!(found.concat().contains("cert.pem: the first certificate is no X.509"), "{found:#?}");
    let found = Files::new().with("key.pem", block("PRIVATE KEY")).problem();
    assert!(found.starts_with("key and certificate cannot be used: "), "{found}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let found = Files::new().with("key.pem", pair().1).problem();
    assert!(found.starts_with("the key does not belong to the certificate"), "{found}");
}

#[test]
fn the_ca_of_the_upstream_and_of_a_check_must_hold_certificates() {
    let files = Files::new().with("ca.pem", "no");
    let ca = files.0.path().join("ca.pem").display().to_string();
    let text =
        format!("[upstream]\nurl = \"https://h\"\nca = \"{ca}\"\ncheck = {{ url = \"/h\", ca = \"/nowhere\" }}\n");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("ca.pem holds no certificate in PEM"), "{found:#?}");
    assert!(found[1].contains("/nowhere cannot be read"), "{found:#?}");
}

#[test]
fn the_ca_of_a_check_takes_the_place_of_that_of_the_upstream() {
    let files = Files::new();
    let ca = files.0.path().join("cert.pem");
    let text = format!("[upstream]\nurl = \"https://h\"\ncheck = {{ url = \"/h\", ca = \"{}\" }}\n", ca.display());
    let upstream = super::config(&text).upstream;
    let crate::config::CheckKind::Http(check) = &upstream.checks[0].kind else { panic!("not http") };
    assert_eq!(check.target.tls.as_ref().unwrap().ca.as_deref(), Some(Path::new(&ca)));
    assert_eq!(upstream.target.tls.unwrap().ca, None);
    assert!(config_with("").server.tls.is_none());
}
