//! `readygate doctor FILE`: reads a Cloud Run service or Kubernetes manifests beside proxy.toml and names what will
//! hurt, with the line, the reason and the remedy.
//!
//! `yaml` reads the text with its places, `manifest` finds the pods in it, `settings` the configuration that readygate
//! will run with there; a `case` is one pod with all of that, `rules` judge it, and what they say is a `finding`.

mod case;
mod finding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod manifest;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
pub mod yaml;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    rc::Rc,
};

pub use self::finding::{Finding, Rule};
use self::{
    case::Case,
    manifest::{Container, Workload},
    settings::Settings,
    yaml::Node,
};
use crate::config::{Place, Problem};

/// What is to be judged.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A Cloud Run service.yaml, or Kubernetes manifests (several documents in one file are fine).
    pub file: PathBuf,
    /// The configuration that readygate runs with [default: that of a ConfigMap in FILE, else proxy.toml beside FILE].
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// The container that runs readygate [default: the one whose name, image or command is readygate].
    #[arg(long)]
    pub container: Option<String>,
    /// A rule whose findings are meant so, by the name in brackets; may be given several times.
    #[arg(long, value_name = "RULE")]
    pub allow: Vec<Rule>,
}

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// Nothing will hurt.
    Sound,
    /// Something will.
    Findings,
    /// The file, or the configuration, could not be read as what it should be.
    Unreadable,
}

/// Prints every finding on a line, or that there is none.
///
/// # Errors
///
/// Those of writing to `out`.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<Diagnosis> {
    let findings = match examine(options) {
        Ok(findings) => findings,
        Err(reason) => {
            writeln!(out, "{reason}")?;
            return Ok(Diagnosis::Unreadable);
        }
    };
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    if findings.is_empty() {
        writeln!(out, "{}: ok", options.file.display())?;
        return Ok(Diagnosis::Sound);
    }
    Ok(Diagnosis::Findings)
}

/// All findings, in the order of the places; or why there can be none.
fn examine(options: &Options) -> Result<Vec<Finding>, String> {
    let file = options.file.display().to_string();
    let text = fs::read_to_string(&options.file).map_err(|error| unreadable(&file, &error))?;
    if is_configuration(&options.file, &text) {
        return Err(format!(
            "{file}: this is a configuration of readygate's, and no manifest: `readygate check --config {file}` judges it; \
             doctor wants the Cloud Run service or the Kubernetes manifests, and takes it by --config"
        ));
    }
    diagnose(options, &file, &text)
}

fn diagnose(options: &Options, file: &str, text: &str) -> Result<Vec<Finding>, String> {
    let documents = yaml::documents(text).map_err(|fault| {
        let place = Place::Text { file: file.to_owned(), line: fault.spot.line, column: fault.spot.column };
        Problem { place, what: fault.what, help: String::new() }.to_string()
    })?;
    let workloads = manifest::workloads(&documents);
    let wanted = options.container.as_deref();
    let with_gate = workloads.iter().filter_map(|workload| Some((workload, workload.readygate(wanted)?)));
    let pods: Vec<(&Workload<'_>, Container<'_>)> = with_gate.collect();
    if pods.is_empty() {
        return Err(nothing_to_judge(file, workloads.is_empty()));
    }
    let mut found = Vec::new();
    for (workload, gate) in pods {
        found.extend(examine_pod(options, file, &documents, workload, gate)?);
    }
    found.retain(|finding| !options.allow.contains(&finding.rule));
    found.sort_by(|a, b| (&a.problem, a.rule).cmp(&(&b.problem, b.rule)));
    found.dedup();
    Ok(found)
}

fn examine_pod(
    options: &Options,
    file: &str,
    documents: &[Rc<Node>],
    workload: &Workload<'_>,
    gate: Container<'_>,
) -> Result<Vec<Finding>, String> {
    let given = options.config.as_deref();
    let settings = Settings::read(given, Path::new(file), documents, workload, &gate);
    let settings = settings.map_err(|problems| problems.to_string())?;
    Ok(rules::findings(&Case { file, documents, workload, gate, settings: &settings }))
}

/// By its name, or because no manifest is a TOML table with something in it.
fn is_configuration(file: &Path, text: &str) -> bool {
    file.extension().is_some_and(|extension| extension == "toml")
        || text.parse::<toml::Table>().is_ok_and(|table| !table.is_empty())
}

fn unreadable(file: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{file}: no such file"),
        _ => format!("{file}: cannot be read: {error}"),
    }
}

fn nothing_to_judge(file: &str, no_pod: bool) -> String {
    if no_pod {
        return format!("{file}: no Cloud Run service and no Kubernetes workload is in it");
    }
    format!("{file}: no container runs readygate; name it with --container")
}
