//! `[dependencies.NAME]`: names and checks.

use std::collections::BTreeMap;

use super::Checker;
use crate::config::{Check, Dependency, Pacing, document::overlay::folded, key_path::KeyPath, raw};

/// How a dependency is written.
const CHECK_FORM: &str = r#"write check = "redis://10.0.0.3:6379", or a table with url"#;
/// The name of the upstream's own check; a list of them goes on with `upstream-2`.
const UPSTREAM: &str = "upstream";

impl Checker<'_, '_> {
    /// The names of all dependencies, in the order of the file, and those that are sound. Where all are, the places in
    /// both lists agree.
    pub(super) fn dependencies(
        &mut self,
        raw: BTreeMap<String, raw::Dependency>,
        probe: Pacing,
    ) -> (Vec<String>, Vec<Dependency>) {
        let at = KeyPath::from("dependencies");
        let mut raw: Vec<(String, raw::Dependency)> = raw.into_iter().collect();
        raw.sort_by_key(|(name, _)| self.document.place_of_key(&at.key(name)));
        let names: Vec<String> = raw.iter().map(|(name, _)| name.clone()).collect();
        for (index, name) in names.iter().enumerate() {
            self.push_name(&at.key(name), name, &names[..index]);
        }
        let judge = |(name, raw): (String, raw::Dependency)| self.dependency(&at.key(&name), name, raw, probe);
        let dependencies = raw.into_iter().filter_map(judge).collect();
        (names, dependencies)
    }

    fn dependency(&mut self, at: &KeyPath, name: String, raw: raw::Dependency, probe: Pacing) -> Option<Dependency> {
        let path = at.key("check");
        let Some(check) = raw.check else {
            self.push(path, format!("{at} has no check"), CHECK_FORM);
            return None;
        };
        let (kind, pacing) = self.one(&path, check.0, None, probe)?;
        Some(Dependency { check: Check { name, kind, pacing }, required: raw.required })
    }

    /// A name is a label in metrics and a part of the names of environment variables.
    fn push_name(&mut self, at: &KeyPath, name: &str, earlier: &[String]) {
        let place = self.document.place_of_key(at);
        let (what, help) = if !is_name(name) {
            (format!("{name:?} is no name of a dependency"), r#"letters, digits, "-", "_" and ".", at least one"#)
        } else if is_reserved(name) {
            (format!("{name:?} is the name of the upstream's own check"), "give the dependency another name")
        } else if let Some(other) = earlier.iter().find(|other| folded(other) == folded(name)) {
            let what = format!("the dependencies {other:?} and {name:?} are one name to environment variables");
            (what, r#"capitals, "-", "_" and "." do not tell names apart"#)
        } else {
            return;
        };
        self.document.push_at(place, what, help);
    }
}

fn is_name(text: &str) -> bool {
    let is_sign = |byte: u8| matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// `upstream`, and `upstream-2` and so on, however they are capitalised.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let Some(rest) = name.strip_prefix(UPSTREAM) else { return false };
    let number = rest.strip_prefix('-').unwrap_or_default();
    rest.is_empty() || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
