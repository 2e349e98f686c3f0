//! The README tells nothing that does not work: its configuration is taken, its commands are understood, its orders are
//! obeyed, its links lead somewhere.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::LazyLock};

use crate::harness::{
    gate::{Setup, admin, post},
    process::{FILE, run},
    tls::certificate,
    upstream::nowhere,
};

static TEXT: LazyLock<String> = LazyLock::new(|| fs::read_to_string(at("README.md")).unwrap());

/// The one key without a default, for configuration that does not set it.
const UPSTREAM: &str = "upstream.url = \"http://127.0.0.1:8081\"\n";

/// What the examples take from the environment.
const VARIABLES: [(&str, &str); 2] = [("REDIS_PASSWORD", "secret"), ("DB_PASSWORD", "secret")];

/// Where the examples have their certificates.
const DIRECTORY: &str = "/etc/readygate/";

/// The admin port in examples.
const ADMIN: &str = "localhost:9090";

/// Beginnings of shell words that are readygate.
const PROGRAMS: [&str; 2] = ["readygate", "./target/release/readygate"];

#[tokio::test]
async fn every_piece_of_configuration_is_taken() {
    let (cert, key) = certificate(|_| {});
    let pieces: Vec<_> = blocks("toml").into_iter().chain(here_documents()).chain(settings()).collect();
    assert!(pieces.len() > 15, "only {} were found", pieces.len());
    for piece in pieces {
        let has_upstream = piece.contains("url = \"http") && piece.contains("[upstream]");
        let text = [if has_upstream { "" } else { UPSTREAM }, &piece.replace(DIRECTORY, "")].concat();
        let files = [(FILE, text.as_str()), ("chain.pem", &cert), ("key.pem", &key), ("ca.pem", &cert)];
        let ended = run(&["check"], &VARIABLES, &files).await;
        assert_eq!(ended.code, Some(0), "{piece}\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn every_command_line_of_readygate_is_understood() {
    let spans = spans().into_iter().map(str::to_owned);
    let lines: Vec<_> = shell_lines().into_iter().chain(spans).filter_map(|line| arguments(&line)).collect();
    assert!(lines.len() > 5, "only {lines:?} were found");
    for line in lines {
        // With --help behind the rest, clap complains of what it does not know and runs nothing.
        let with_help: Vec<_> = line.iter().map(String::as_str).chain(["--help"]).collect();
        let ended = run(&with_help, &[], &[]).await;
        assert_eq!(ended.code, Some(0), "{line:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn every_request_to_the_admin_port_is_answered() {
    let requests: Vec<_> = shell_lines().iter().filter_map(|line| request(line)).collect();
    assert!(requests.len() > 5, "only {requests:?} were found");
    let gate = Setup::shut(nowhere().await).with("routes = [{ path = \"/ws/*\" }]").start().await;
    // As they stand: the drain, after which nothing answers, is the last.
    for (is_order, path) in requests {
        let answer = if is_order { post(gate.admin, &path).await } else { admin(gate.admin, &path).await };
        let is_known = ![400, 404, 405].contains(&answer.status()) || path.starts_with("/sessions/");
        assert!(is_known, "{path}: {} {}", answer.status(), answer.text());
    }
}

#[test]
fn every_link_leads_somewhere() {
    let headings: BTreeSet<_> =
        TEXT.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ')).map(anchor).collect();
    let links: Vec<_> = TEXT.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20, "only {links:?} were found");
    for link in links {
        let is_there = match link.strip_prefix('#') {
            Some(heading) => headings.contains(heading),
            None => link.starts_with("https://") || at(link).exists(),
        };
        assert!(is_there, "{link}");
    }
}

#[test]
fn what_the_doctor_is_quoted_to_say_is_what_it_says() {
    let said = include_str!("doctor/cloud-run/expected.txt");
    let quoted: Vec<_> = TEXT.lines().filter(|line| line.starts_with("service.yaml:")).collect();
    assert!(!quoted.is_empty());
    for line in quoted {
        assert!(said.lines().any(|known| known.ends_with(line)), "{line}");
    }
}

/// A file of the repository.
fn at(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Contents of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    TEXT.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).map(|block| format!("{block}\n")).collect()
}

/// Files that the shell is told to write.
fn here_documents() -> Vec<String> {
    let shell = blocks("sh").concat();
    let documents = shell.split("<<'TOML'\n").skip(1).filter_map(|rest| rest.split("\nTOML\n").next());
    documents.map(str::to_owned).collect()
}

/// Commands, with continued lines joined and without what is no command.
fn shell_lines() -> Vec<String> {
    let mut shell = blocks("sh").concat().replace("\\\n", " ");
    for document in here_documents() {
        shell = shell.replace(&document, "");
    }
    let commands = shell.lines().flat_map(|line| line.split(" ; ").collect::<Vec<_>>().into_iter());
    commands.map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned()).collect()
}

/// Text between backticks, outside of blocks.
fn spans() -> Vec<&'static str> {
    let prose = TEXT.split("\n```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// Keys of tables that are set to something, as `gate.mode = "off"`.
fn settings() -> impl Iterator<Item = String> {
    let is_key =
        |key: &str| key.contains('.') && key.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
    let settings = spans().into_iter().filter(move |span| span.split_once(" = ").is_some_and(|(key, _)| is_key(key)));
    settings.map(|span| format!("{span}\n"))
}

/// What readygate is called with, if it is.
fn arguments(line: &str) -> Option<Vec<String>> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let program = words.next()?;
    let is_called = PROGRAMS.contains(&program.as_str()) && !line.contains('|');
    is_called.then(|| words.collect())
}

/// A request of curl's to the admin port: whether it is an order, and its target.
fn request(line: &str) -> Option<(bool, String)> {
    let line = line.strip_prefix("curl ")?.replace('\'', "");
    let (options, target) = line.split_once(ADMIN)?;
    Some((options.contains("-X POST"), target.to_owned()))
}

/// A heading's anchor.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
