//! What stands in `deploy/`, held to rules of our own: no engine runs here that would take these files.

mod containers;
mod manifests;

use std::{fs, path::PathBuf, rc::Rc};

use readygate::cli::doctor::yaml::{Node, documents};

/// A file of `deploy/`.
fn text(file: &str) -> String {
    let path = deploy(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn deploy(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// The documents of a YAML file of `deploy/`.
fn yaml(file: &str) -> Vec<Rc<Node>> {
    documents(&text(file)).unwrap_or_else(|fault| panic!("{file}: {fault:?}"))
}

/// Its lines without comments and what surrounds them.
fn lines(text: &str) -> Vec<&str> {
    let code = text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
    code.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Texts of a list.
fn items<'n>(node: &'n Node, keys: &[&str]) -> Vec<&'n str> {
    node.find(keys).into_iter().flat_map(Node::items).filter_map(Node::text).collect()
}
