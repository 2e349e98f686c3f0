//! The other files that a configuration names: certificates, keys and private CAs.

use std::path::{Path, PathBuf};

use super::{Config, Target};

/// A file that a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The key, dotted.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// It says whom we trust; otherwise it says who we are.
    pub is_trust: bool,
}

impl Config {
    /// Every one of them, in the order of the file.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile> {
        let own = self.server.tls.iter().flat_map(|tls| [("server.tls.cert", &tls.cert), ("server.tls.key", &tls.key)]);
        let own = own.map(|(key, path)| NamedFile { key: key.to_owned(), path: path.clone(), is_trust: false });
        let upstream = ca(&self.upstream.target, "upstream.ca");
        let checks = self.upstream.checks.iter().filter_map(|check| ca(check.kind.target(), "upstream.check.ca"));
        let dependencies = self.dependencies.iter().filter_map(|dependency| {
            let check = &dependency.check;
            ca(check.kind.target(), &format!("dependencies.{}.check.ca", check.name))
        });
        own.chain(upstream).chain(checks).chain(dependencies).collect()
    }
}

fn ca(target: &Target, key: &str) -> Option<NamedFile> {
    let path: &Path = target.tls.as_ref()?.ca.as_deref()?;
    Some(NamedFile { key: key.to_owned(), path: path.to_owned(), is_trust: true })
}
