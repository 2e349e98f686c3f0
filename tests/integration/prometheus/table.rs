//! The table of metrics in the README: it names what the code makes and what is scraped, with type and labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    Busy,
    server::{path, read},
};
use crate::harness::gate::admin;

/// Heads the table.
const HEADER: &str = "| metric | type | labels | what it tells |";

/// Series of a histogram.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Fewer names mean that the reading is broken.
const NAMES_AT_LEAST: usize = 35;

/// Type and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

#[test]
fn the_readme_names_every_metric_that_the_code_makes_and_no_other() {
    let made = names_in(Path::new(&path("src/telemetry")));
    let told: BTreeSet<_> = told().into_keys().filter(|name| name.starts_with("readygate_")).collect();
    assert!(made.len() >= NAMES_AT_LEAST, "only {made:?} were found");
    assert_eq!(made, told, "the code makes the first, the README names the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scraped_has_the_type_and_the_labels_that_the_readme_says() {
    let busy = Busy::scraped().await;
    let shown = shown(admin(busy.process.admin, "/metrics").await.text());
    let told = told();
    for (name, family) in &shown {
        assert_eq!(Some(family), told.get(name), "{name}: scraped is the first, the README says the second");
    }
    let silent: Vec<_> = told.keys().filter(|name| !shown.contains_key(*name)).collect();
    assert!(silent.is_empty(), "the README names what is not scraped: {silent:?}");
}

#[test]
fn alerts_and_dashboard_ask_for_nothing_that_is_not_in_the_readme() {
    let told = told();
    let asked = [read("deploy/prometheus/alerts.yml"), read("deploy/grafana/readygate.json")];
    let names: BTreeSet<_> = asked.iter().flat_map(|text| metrics_in(text)).collect();
    assert!(names.len() >= NAMES_AT_LEAST, "only {names:?} were found");
    let is_told = |name: &str| {
        let family = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
        told.contains_key(name) || family.is_some_and(|family| told.contains_key(family))
    };
    let unknown: Vec<_> = names.iter().filter(|name| !is_told(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_family_is_read_with_all_of_its_labels_but_the_bounds_of_buckets() {
    let text = "# HELP a_b What {it} is.\n# TYPE a_b histogram\na_b_bucket{c=\"x{,y\",le=\"1\"} 0\na_b_sum{c=\"x\"} 0\n\
                # TYPE d counter\nd 1\n";
    let family = |kind: &str, labels: &[&str]| Family {
        kind: kind.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let expected = [("a_b".to_owned(), family("histogram", &["c"])), ("d".to_owned(), family("counter", &[]))];
    assert_eq!(shown(text), BTreeMap::from(expected));
}

/// The rows of the table.
fn told() -> BTreeMap<String, Family> {
    let readme = read("README.md");
    let (_, table) = readme.split_once(HEADER).unwrap_or_else(|| panic!("the README has no table {HEADER}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let name = names(cells[1]).first().unwrap_or_else(|| panic!("no name: {row}")).clone();
        (name, Family { kind: cells[2].to_owned(), labels: names(cells[3]).into_iter().collect() })
    })
    .collect()
}

/// The families of an exposition.
fn shown(text: &str) -> BTreeMap<String, Family> {
    let mut shown = BTreeMap::<String, Family>::new();
    let mut present = String::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            name.clone_into(&mut present);
            kind.clone_into(&mut shown.entry(present.clone()).or_default().kind);
        } else if !line.starts_with('#') {
            let family = shown.get_mut(&present).unwrap_or_else(|| panic!("no type before {line}"));
            family.labels.extend(labels_of(line).into_iter().filter(|label| label != "le"));
        }
    }
    shown
}

/// The names of a sample's labels: what stands before an equals sign and a quotation mark.
fn labels_of(sample: &str) -> Vec<String> {
    let Some((_, labels)) = sample.split_once('{') else { return Vec::new() };
    let before = labels.split("=\"").map(|part| part.rsplit([',', '{', '"']).next().unwrap_or_default());
    let mut names: Vec<_> = before.map(str::to_owned).collect();
    names.pop();
    names
}

/// Literals in a directory's sources that are a metric's name and nothing else.
fn names_in(directory: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        if file.is_dir() {
            names.extend(names_in(&file));
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let literals = text.split('"').filter(|literal| literal.starts_with("readygate_"));
        names.extend(literals.filter(|literal| literal.bytes().all(is_of_a_name)).map(str::to_owned));
    }
    names
}

/// Words in a text that begin as metrics of ours, or of the process, do.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii() || !is_of_a_name(c as u8));
    words.filter(|word| word.starts_with("readygate_") || word.starts_with("process_")).map(str::to_owned).collect()
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}
