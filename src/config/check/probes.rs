//! `upstream.check`: one check or several.

use super::{Checker, location::Site};
use crate::config::{
    Check, CheckKind, ClientTls, Pacing, Target,
    key_path::KeyPath,
    raw_check::{CheckSpec, CheckTable, Checks},
};

impl Checker<'_, '_> {
    /// Without a usable upstream, what goes there is judged all the same, as if it were somewhere.
    pub(super) fn checks(&mut self, checks: Option<Checks>, upstream: Option<&Target>, probe: Pacing) -> Vec<Check> {
        let nowhere = Target { host: String::new(), port: 0, tls: Some(ClientTls::default()) };
        let upstream = upstream.unwrap_or(&nowhere);
        let path = KeyPath::from("upstream.check");
        let specs: Vec<(KeyPath, CheckSpec)> = match checks {
            None => return vec![named(0, CheckKind::Tcp(upstream.clone()), probe)],
            Some(Checks::One(spec)) => vec![(path, spec)],
            Some(Checks::All(specs)) if specs.is_empty() => {
                self.push(path, "upstream.check is an empty list", "leave it out for a TCP check, or name a path");
                Vec::new()
            }
            Some(Checks::All(specs)) => {
                specs.into_iter().enumerate().map(|(index, spec)| (path.item(index), spec)).collect()
            }
        };
        let judge = |(index, (path, spec))| {
            self.one(&path, spec, Some(upstream), probe).map(|(kind, pacing)| named(index, kind, pacing))
        };
        specs.into_iter().enumerate().filter_map(judge).collect()
    }

    /// The check at `path`; without an upstream its URL must be whole.
    pub(super) fn one(
        &mut self,
        path: &KeyPath,
        spec: CheckSpec,
        upstream: Option<&Target>,
        probe: Pacing,
    ) -> Option<(CheckKind, Pacing)> {
        match spec {
            CheckSpec::Location(text) => {
                let site = Site { url: path.clone(), ca_key: path.clone(), ca: None };
                self.location(&site, &text, upstream).map(|kind| (kind, probe))
            }
            CheckSpec::Table(table) => self.table(path, *table, upstream, probe),
        }
    }

    fn table(
        &mut self,
        path: &KeyPath,
        mut table: CheckTable,
        upstream: Option<&Target>,
        probe: Pacing,
    ) -> Option<(CheckKind, Pacing)> {
        let pacing = self.own_pacing(path, &table, probe);
        let site = Site { url: path.key("url"), ca_key: path.key("ca"), ca: table.ca.take() };
        let kind = match table.url.take() {
            Some(url) => self.location(&site, &url, upstream),
            None => {
                let form = if upstream.is_some() { "name a path on the upstream or a URL" } else { "name a URL" };
                self.push(site.url, format!("{path} has no url"), form);
                None
            }
        };
        self.expect(path, table, kind).map(|kind| (kind, pacing))
    }
}

fn named(index: usize, kind: CheckKind, pacing: Pacing) -> Check {
    let name = if index == 0 { "upstream".to_owned() } else { format!("upstream-{}", index + 1) };
    Check { name, kind, pacing }
}
