//! One pod that runs readygate, with the configuration it will run with: what every rule looks at. PURE.

use std::rc::Rc;

use super::{
    finding::{Finding, Rule},
    manifest::{Action, Container, Platform, Probe, Stage, Workload, is_plain_service, objects},
    settings::Settings,
    yaml::{Node, Spot},
};
use crate::config::{Config, Place, Problem};

/// The port of an ingress container that names none (<https://cloud.google.com/run/docs/container-contract#port>).
pub(super) const CLOUD_RUN_PORT: u16 = 8080;

/// A pod, its readygate and the rest of the manifest.
pub(super) struct Case<'c> {
    /// The manifest as it was named on the command line.
    pub(super) file: &'c str,
    /// All that the manifest holds.
    pub(super) documents: &'c [Rc<Node>],
    pub(super) workload: &'c Workload<'c>,
    /// The container that runs readygate.
    pub(super) gate: Container<'c>,
    pub(super) settings: &'c Settings,
}

/// What a probe of readygate's container reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `admin.listen`
    Admin,
    /// `server.listen`
    Public,
    /// No port of readygate's.
    Other(Option<u16>),
}

impl<'c> Case<'c> {
    pub(super) fn config(&self) -> &'c Config {
        &self.settings.config
    }

    pub(super) fn is_on(&self, platform: Platform) -> bool {
        self.workload.platform == platform
    }

    /// A finding in the manifest.
    pub(super) fn finding(&self, rule: Rule, spot: Spot, what: impl Into<String>, help: impl Into<String>) -> Finding {
        let place = Place::Text { file: self.file.to_owned(), line: spot.line, column: spot.column };
        Finding { rule, problem: Problem { place, what: what.into(), help: help.into() } }
    }

    /// A finding in proxy.toml, at a key.
    pub(super) fn finding_at(
        &self,
        rule: Rule,
        key: &[&str],
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        let place = self.settings.place_of(key);
        Finding { rule, problem: Problem { place, what: what.into(), help: help.into() } }
    }

    /// Every container but readygate's.
    pub(super) fn others(&self) -> impl Iterator<Item = Container<'c>> {
        self.workload.containers.iter().copied().filter(|container| !std::ptr::eq(container.node, self.gate.node))
    }

    /// Ports of the services of Kubernetes that lead here.
    pub(super) fn service_ports(&self) -> impl Iterator<Item = &'c Node> {
        let leads_here = |service: &&Node| {
            let selector = service.find(&["spec", "selector"]);
            is_plain_service(service) && selector.is_some_and(|selector| self.workload.is_selected_by(selector))
        };
        let services = objects(self.documents).filter(leads_here);
        services.filter_map(|service| service.find(&["spec", "ports"])).flat_map(Node::items)
    }

    pub(super) fn gate_probes(&self) -> impl Iterator<Item = Probe<'c>> {
        Stage::ALL.into_iter().filter_map(|stage| self.gate.probe(stage))
    }

    /// What a probe reaches; none where it names no port of its own accord.
    pub(super) fn target(&self, action: &Action<'_>) -> Option<Target> {
        let (Action::Http { port, .. } | Action::Tcp { port }) = action else { return None };
        let number = match port {
            Some(port) => self.gate.port_number(port),
            // Without one, Cloud Run asks the port of the clients.
            None => Some(self.config().server.listen.port()),
        };
        Some(match number {
            Some(number) if number == self.config().admin.listen.port() => Target::Admin,
            Some(number) if number == self.config().server.listen.port() => Target::Public,
            Some(_) | None => Target::Other(number),
        })
    }
}
