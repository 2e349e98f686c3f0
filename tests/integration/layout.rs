//! The layout is a rule, not a habit: imports point one way, what decides is pure, files and functions stay small.
//!
//! The rules are read from the tokens of `src/**/*.rs`, so comments and strings cannot satisfy or break them. Code
//! under `#[cfg(test)]`, in its own file or not, may import what it likes; it is measured all the same.

mod source;

use std::collections::BTreeSet;

use source::{Function, Source};

/// Top to bottom. An import points to a tier further down.
const TIERS: [&[&str]; 8] = [
    &["main", "cli", "app"],
    &["admin", "reload", "listen", "fuzz"],
    &["http"],
    &["session"],
    &["hold", "upstream", "splice", "probe"],
    &["gate", "drain", "dial", "descriptors"],
    &["wire", "telemetry", "stall"],
    &["config", "fields"],
];

/// Imports within one tier: the program starts its commands, and both start the application.
const WITHIN_A_TIER: [(&str, &str); 3] = [("main", "cli"), ("main", "app"), ("cli", "app")];

/// Files that decide. An entry covers `ENTRY.rs` and everything below `ENTRY/`.
const PURE: [&str; 41] = [
    "admin/order",
    "cli/doctor/case",
    "cli/doctor/finding",
    "cli/doctor/manifest",
    "cli/doctor/rules",
    "cli/doctor/yaml",
    "config/diff",
    "config/notices",
    "config/standing",
    "fields",
    "gate/estimate",
    "gate/hand",
    "gate/plan",
    "gate/release",
    "gate/state",
    "gate/suspicion",
    "gate/verdict",
    "hold/head",
    "hold/mod",
    "http/headers",
    "http/refuse",
    "http/upgrade",
    "probe/breaker",
    "probe/latency",
    "probe/schedule",
    "session/confirm",
    "session/event",
    "session/gating",
    "session/ledger",
    "session/notice",
    "session/outbox",
    "session/outcome",
    "session/standing",
    "session/state",
    "splice/flow",
    "telemetry/bucket",
    "telemetry/request",
    "telemetry/trace",
    "upstream/handshake",
    "upstream/retry",
    "upstream/spelling",
];

/// A directory that is pure as a whole.
const PURE_DIRECTORY: &str = "wire/";

/// A file that fits on ten screens can be read in one go.
const FILE_LINES: usize = 400;

/// No function needs more than a page, but for those of [`LONG_FUNCTIONS`].
const FUNCTION_LINES: usize = 60;

/// Half of the functions are at most this long.
const MEDIAN_LINES: usize = 8;

/// Nine in ten functions are at most this long.
const NINE_IN_TEN_LINES: usize = 35;

/// `file::function` of the drivers that may be longer than a page.
const LONG_FUNCTIONS: [&str; 0] = [];

/// Fewer files mean that the reading is broken, not that the program shrank.
const FILES_AT_LEAST: usize = 60;

/// Fewer imports from module to module mean that the parsing is broken.
const EDGES_AT_LEAST: usize = 45;

/// Fewer functions mean that the measuring is broken.
const FUNCTIONS_AT_LEAST: usize = 500;

/// Fewer pure files mean that the mark is not found.
const PURE_AT_LEAST: usize = 12;

#[test]
fn imports_point_strictly_downward() {
    let sources = source::read_all();
    let edges: Vec<Edge> = sources.iter().flat_map(edges_of).collect();
    let wrong: Vec<String> = edges.iter().filter_map(Edge::fault).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(sources.len() >= FILES_AT_LEAST, "only {} files were read", sources.len());
    assert!(edges.len() >= EDGES_AT_LEAST, "only {} edges were found", edges.len());
    println!("{} edges in {} files", edges.len(), sources.len());
}

#[test]
fn pure_files_name_no_runtime_and_no_clock() {
    let pure: Vec<Source> =
        source::read_all().into_iter().filter(|file| is_listed(&file.path) && !file.is_test).collect();
    let wrong: Vec<String> = pure.iter().flat_map(impurities).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(pure.len() >= PURE_AT_LEAST, "only {} pure files were read", pure.len());
    println!("{} pure files", pure.len());
}

#[test]
fn a_file_is_marked_pure_exactly_when_it_is_listed() {
    let wrong: Vec<String> = source::read_all()
        .iter()
        .filter(|file| !file.is_test && !is_index_of_pure_directory(&file.path))
        .filter(|file| file.is_marked_pure() != is_listed(&file.path))
        .map(|file| format!("{}: marked {}, listed {}", file.path, file.is_marked_pure(), is_listed(&file.path)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_can_be_read_in_one_go() {
    let sources = source::read_all();
    let wrong: Vec<String> = sources
        .iter()
        .filter(|file| file.lines > FILE_LINES)
        .map(|file| format!("{}: {} lines, {FILE_LINES} allowed", file.path, file.lines))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let functions = all_functions();
    let wrong: Vec<String> = functions
        .iter()
        .filter(|(path, function)| function.lines > FUNCTION_LINES && !is_driver(path, function))
        .map(|(path, function)| format!("{path}:{}: {} has {} lines", function.line, function.name, function.lines))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    let mut lengths: Vec<usize> = functions.iter().map(|(_, function)| function.lines).collect();
    lengths.sort_unstable();
    assert!(lengths.len() >= FUNCTIONS_AT_LEAST, "only {} functions were found", lengths.len());
    let (median, nine_in_ten) = (lengths[lengths.len() / 2], lengths[lengths.len() * 9 / 10]);
    println!("{} functions, median {median} lines, nine in ten up to {nine_in_ten}", lengths.len());
    assert!(median <= MEDIAN_LINES, "half of the functions have more than {MEDIAN_LINES} lines: {median}");
    assert!(nine_in_ten <= NINE_IN_TEN_LINES, "nine in ten functions reach {nine_in_ten} lines");
}

#[test]
fn the_crate_doc_names_every_module() {
    let sources = source::read_all();
    let library = sources.iter().find(|file| file.path == "lib.rs").expect("lib.rs");
    let declared = library.declared_modules();
    let programs = sources.iter().filter(|file| !file.is_test);
    let on_disk: BTreeSet<String> =
        programs.map(Source::module).filter(|module| module != "main" && module != "lib").collect();
    assert_eq!(declared, on_disk, "lib.rs declares the first, src has the second");
    let unnamed: Vec<&String> = declared.iter().filter(|name| !library.doc.contains(&format!("[`{name}`]"))).collect();
    assert!(unnamed.is_empty(), "the crate doc does not name {unnamed:?}");
    let untiered: Vec<&String> = declared.iter().filter(|name| tier(name).is_none()).collect();
    assert!(untiered.is_empty(), "no tier holds {untiered:?}");
}

#[test]
fn an_upward_edge_is_found() {
    for text in [
        "use crate::session::Outcome;",
        "use crate::{config::Target, session::{self, Outcome}};",
        "fn f() { crate::session::begin(); }",
        "use super::super::session::Outcome;",
        "pub(in crate::session) fn f() {}",
    ] {
        let faults = faults_of("gate/state.rs", text);
        assert_eq!(faults, ["gate/state.rs:1: gate must not import session"], "{text}");
    }
}

#[test]
fn a_sideways_edge_is_found_and_a_listed_one_is_not() {
    assert_eq!(faults_of("dial/mod.rs", "use crate::gate::Gate;"), ["dial/mod.rs:1: dial must not import gate"]);
    assert_eq!(faults_of("main.rs", "use readygate::app;"), [""; 0]);
    assert_eq!(faults_of("app.rs", "use crate::cli;"), ["app.rs:1: app must not import cli"]);
}

#[test]
fn downward_edges_inner_paths_tests_and_prose_pass() {
    for text in [
        "use crate::{config::Target, telemetry::metrics::Metrics};",
        "use crate::gate::Verdict;",
        "use super::release::Queue;",
        "//! Told by [`crate::session`].\nconst A: &str = \"use crate::session::X;\"; // crate::session::Y",
        "#[cfg(test)] mod tests { use crate::session::Outcome; }",
        "const B: (char, &str) = ('\"', r#\"crate::session::X\"#);",
    ] {
        assert_eq!(faults_of("gate/state.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn an_import_after_the_tests_is_still_found() {
    let text = "#[cfg(test)]\nmod tests { fn f() { let _ = '{'; } }\nuse crate::session::X;";
    assert_eq!(faults_of("gate/state.rs", text), ["gate/state.rs:3: gate must not import session"]);
}

#[test]
fn an_impure_line_is_found() {
    for (text, found) in [
        ("use tokio::sync::Notify;", "tokio"),
        ("use tokio_util::sync::CancellationToken;", "tokio_util"),
        ("async fn f() {}", "async"),
        ("fn f() -> Instant { Instant::now() }", "Instant::now"),
        ("fn f() -> SystemTime { std::time::SystemTime::now() }", "SystemTime::now"),
    ] {
        assert_eq!(impurities(&Source::parse("gate/state.rs", text)), [format!("gate/state.rs:1: {found}")]);
    }
    let innocent = "/// Needs no tokio.\nfn f(now: Instant) {}\n#[cfg(test)]\nmod tests { use tokio::time; }";
    assert_eq!(impurities(&Source::parse("gate/state.rs", innocent)), [""; 0]);
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let text = "trait T { fn declared(); }\nfn one() {}\nfn three(a: [u8; 2]) -> u8\n{ match a { _ => 1 }\n}\ntype F = fn(u8);";
    let found: Vec<(String, usize, usize)> =
        Source::parse("x.rs", text).functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("one".into(), 2, 1), ("three".into(), 3, 3)]);
}

/// One import from a top-level module to another.
struct Edge {
    path: String,
    line: usize,
    from: String,
    to: String,
}

impl Edge {
    fn fault(&self) -> Option<String> {
        let (Some(from), Some(to)) = (tier(&self.from), tier(&self.to)) else {
            return Some(format!("{}:{}: no tier holds {} or {}", self.path, self.line, self.from, self.to));
        };
        let allowed = from < to || WITHIN_A_TIER.contains(&(&self.from, &self.to));
        (!allowed).then(|| format!("{}:{}: {} must not import {}", self.path, self.line, self.from, self.to))
    }
}

fn tier(module: &str) -> Option<usize> {
    TIERS.iter().position(|modules| modules.contains(&module))
}

fn edges_of(file: &Source) -> Vec<Edge> {
    let from = file.module();
    if from == "lib" || file.is_test {
        return Vec::new();
    }
    file.imports()
        .into_iter()
        .filter(|(to, _)| *to != from)
        .map(|(to, line)| Edge { path: file.path.clone(), line, from: from.clone(), to })
        .collect()
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    edges_of(&Source::parse(path, text)).iter().filter_map(Edge::fault).collect()
}

fn impurities(file: &Source) -> Vec<String> {
    file.runtime_and_clock_names().into_iter().map(|(name, line)| format!("{}:{line}: {name}", file.path)).collect()
}

fn is_listed(path: &str) -> bool {
    let covers = |entry: &str| path.strip_prefix(entry).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    path.starts_with(PURE_DIRECTORY) || PURE.into_iter().any(covers)
}

fn is_index_of_pure_directory(path: &str) -> bool {
    path.strip_prefix(PURE_DIRECTORY) == Some("mod.rs")
}

fn is_driver(path: &str, function: &Function) -> bool {
    LONG_FUNCTIONS.contains(&format!("{path}::{}", function.name).as_str())
}

fn all_functions() -> Vec<(String, Function)> {
    let with_path =
        |file: Source| file.functions().into_iter().map(move |f| (file.path.clone(), f)).collect::<Vec<_>>();
    source::read_all().into_iter().flat_map(with_path).collect()
}
