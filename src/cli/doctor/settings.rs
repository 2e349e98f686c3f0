//! The configuration that readygate will run with in a pod: the file, and over it the variables of its container.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    case::CLOUD_RUN_PORT,
    manifest::{Container, Platform, Workload, kind, objects},
    yaml::Node,
};
use crate::config::{Config, Environment, Place, Problems};

/// The configuration's name where nothing says another.
const FILE: &str = "proxy.toml";
/// How readygate is told of another.
const CONFIG_VARIABLE: &str = "READYGATE_CONFIG";
/// What sets a key of the configuration. Where its value is a secret, the file's own value stands in.
const PREFIX: &str = "READYGATE_";
/// In place of a secret: any text will do as a password, and a digit as a port, too.
const PLACEHOLDER: &str = "1";
/// The memory of a container that sets no limit
/// (<https://cloud.google.com/run/docs/configuring/services/memory-limits>).
pub(super) const CLOUD_RUN_MEMORY: u64 = 512 << 20;

/// A configuration and where its values stand.
pub(super) struct Settings {
    pub(super) config: Config,
    file: String,
    text: String,
    environment: Environment,
}

/// A text and what to call it.
struct Source {
    file: String,
    text: String,
}

impl Settings {
    /// Reads `given`; without it, what a ConfigMap of the manifest holds; without that, the file beside the manifest.
    pub(super) fn read(
        given: Option<&Path>,
        manifest: &Path,
        documents: &[Rc<Node>],
        workload: &Workload<'_>,
        gate: &Container<'_>,
    ) -> Result<Self, Problems> {
        let mut environment = environment(workload, gate);
        let file = file_of(gate);
        let embedded = || embedded(documents, workload, &file, manifest);
        let source = match given.map_or_else(embedded, |_| None) {
            Some(source) => source,
            None => {
                let beside = || manifest.parent().unwrap_or(Path::new("")).join(&file);
                from_file(&given.map_or_else(beside, Path::to_path_buf), &environment)?
            }
        };
        let parse = |environment: &Environment| Config::parse(&source.text, &source.file, environment);
        let config = match parse(&environment) {
            Ok(config) => config,
            Err(problems) => {
                // More than the memory there is: the rule that compares the two says so in terms of the manifest.
                environment.memory = None;
                parse(&environment).map_err(|_| problems)?
            }
        };
        Ok(Self { config, file: source.file, text: source.text, environment })
    }

    /// Where a key stands, or the nearest thing to it.
    pub(super) fn place_of(&self, key: &[&str]) -> Place {
        Config::place_of(&self.text, &self.file, &self.environment, key)
    }
}

/// Reading it as a configuration says best why a file cannot be read.
fn from_file(path: &Path, environment: &Environment) -> Result<Source, Problems> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Source { file: path.display().to_string(), text }),
        Err(_) => {
            Config::load(path, environment).map(|_| Source { file: path.display().to_string(), text: String::new() })
        }
    }
}

/// The name of the file that the container's command line or variables ask for.
fn file_of(gate: &Container<'_>) -> PathBuf {
    let arguments = gate.arguments();
    let behind = arguments.iter().zip(arguments.iter().skip(1)).find(|(flag, _)| matches!(**flag, "--config" | "-c"));
    let joined = || arguments.iter().find_map(|argument| argument.strip_prefix("--config="));
    let variable = || gate.variables().find(|(name, _)| *name == CONFIG_VARIABLE).and_then(|(_, value)| value);
    let path = behind.map(|(_, path)| *path).or_else(joined).or_else(variable).unwrap_or(FILE);
    Path::new(path).file_name().map_or_else(|| PathBuf::from(FILE), PathBuf::from)
}

/// Of the maps that the pod mounts; of all where it mounts none.
fn embedded(documents: &[Rc<Node>], workload: &Workload<'_>, file: &Path, manifest: &Path) -> Option<Source> {
    let key = file.to_str()?;
    let volumes = workload.spec("volumes").into_iter().flat_map(Node::items);
    let mounted: Vec<&str> = volumes.filter_map(|volume| volume.find(&["configMap", "name"])?.text()).collect();
    let name = |map: &Node| map.find(&["metadata", "name"]).and_then(Node::text).unwrap_or_default().to_owned();
    let is_mounted = |map: &Node| mounted.is_empty() || mounted.contains(&name(map).as_str());
    let mut maps = objects(documents).filter(|object| kind(object) == Some("ConfigMap") && is_mounted(object));
    let text = maps.find_map(|map| map.find(&["data", key])?.text())?;
    Some(Source { file: format!("{}#{key}", manifest.display()), text: text.to_owned() })
}

/// What the container will find itself in.
fn environment(workload: &Workload<'_>, gate: &Container<'_>) -> Environment {
    let mut variables = BTreeMap::new();
    for (name, value) in gate.variables() {
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None if name.starts_with(PREFIX) => None,
            None => variables.insert(name.to_owned(), PLACEHOLDER.to_owned()),
        };
    }
    let limit = gate.memory_limit().map(|(bytes, _)| bytes);
    let memory = match workload.platform {
        Platform::CloudRun => {
            variables.insert("K_SERVICE".to_owned(), workload.name.to_owned());
            variables.extend(public_port(workload, gate).map(|port| ("PORT".to_owned(), port.to_string())));
            Some(limit.unwrap_or(CLOUD_RUN_MEMORY))
        }
        Platform::Kubernetes => {
            variables.insert("KUBERNETES_SERVICE_HOST".to_owned(), PLACEHOLDER.to_owned());
            limit
        }
    };
    Environment { variables, memory, ..Environment::with_variables([]) }
}

/// What Cloud Run puts into PORT, which the ingress container alone is given.
fn public_port(workload: &Workload<'_>, gate: &Container<'_>) -> Option<u64> {
    let declared = gate.ports().next();
    let is_alone = workload.containers.len() == 1;
    let number = declared.and_then(|port| port.get("containerPort")).and_then(Node::whole);
    number.or_else(|| (is_alone || declared.is_some()).then_some(CLOUD_RUN_PORT.into()))
}
