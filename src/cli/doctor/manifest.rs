//! What a manifest says of the pods it makes: Knative services as Cloud Run takes them, and Kubernetes workloads. PURE.

use std::rc::Rc;

use super::yaml::{Node, Spot};

/// The name by which readygate's container is known, as its own name, its image's or its command's.
const READYGATE: &str = "readygate";

/// Units of memory (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).
const UNITS: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// Who runs the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    /// A Knative service.
    CloudRun,
    /// A pod, or whatever makes pods.
    Kubernetes,
}

/// How a container runs beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// As long as the pod.
    Main,
    /// As long as the pod, and started before the main ones: an init container with `restartPolicy: Always`.
    Sidecar,
    /// Must end before the next one starts.
    Init,
}

/// When a probe is asked, and what its failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Until it passes; others wait for it.
    Startup,
    /// From then on; the container is restarted.
    Liveness,
    /// From then on; no traffic comes.
    Readiness,
}

/// A pod in the making.
pub(super) struct Workload<'m> {
    pub(super) platform: Platform,
    /// What it is called, for Cloud Run's own variable.
    pub(super) name: &'m str,
    /// Where the containers are listed.
    pub(super) spot: Spot,
    pub(super) containers: Vec<Container<'m>>,
    template: &'m Node,
}

/// One container of a pod.
#[derive(Clone, Copy)]
pub(super) struct Container<'m> {
    pub(super) name: &'m str,
    pub(super) role: Role,
    pub(super) node: &'m Node,
}

/// One probe of a container.
pub(super) struct Probe<'m> {
    pub(super) stage: Stage,
    /// Where its key stands.
    pub(super) spot: Spot,
    pub(super) node: &'m Node,
    pub(super) action: Action<'m>,
}

/// What a probe does.
pub(super) enum Action<'m> {
    /// A GET.
    Http { path: &'m str, port: Option<&'m Node> },
    /// A connection.
    Tcp { port: Option<&'m Node> },
    /// `grpc.health.v1`.
    Grpc,
    /// A command in the container.
    Exec,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Liveness => "livenessProbe",
            Self::Readiness => "readinessProbe",
        }
    }
}

/// Every pod that the documents make, in order.
pub(super) fn workloads(documents: &[Rc<Node>]) -> Vec<Workload<'_>> {
    objects(documents).filter_map(Workload::of).collect()
}

/// Every object, those of a `List` too.
pub(super) fn objects(documents: &[Rc<Node>]) -> impl Iterator<Item = &Node> {
    documents.iter().flat_map(|document| {
        let is_list = kind(document) == Some("List");
        let items = document.get("items").filter(|_| is_list).into_iter().flat_map(Node::items);
        std::iter::once(&**document).filter(move |_| !is_list).chain(items)
    })
}

pub(super) fn kind(object: &Node) -> Option<&str> {
    object.get("kind")?.text()
}

/// True of a service of Kubernetes, which is no service of Knative.
pub(super) fn is_plain_service(object: &Node) -> bool {
    kind(object) == Some("Service") && object.get("apiVersion").and_then(Node::text) == Some("v1")
}

impl<'m> Workload<'m> {
    fn of(object: &'m Node) -> Option<Self> {
        let (platform, template) = template(object)?;
        let spec = template.get("spec")?;
        let list = spec.entry("containers")?;
        let name = object.find(&["metadata", "name"]).and_then(Node::text).unwrap_or_default();
        let inits = spec.get("initContainers").into_iter().flat_map(Node::items);
        let containers = inits.map(Container::of_init).chain(list.node.items().map(Container::of_main)).collect();
        Some(Self { platform, name, spot: list.spot, containers, template })
    }

    /// The pod's own specification.
    pub(super) fn spec(&self, key: &str) -> Option<&'m Node> {
        self.template.find(&["spec", key])
    }

    /// Where the pod's specification stands.
    pub(super) fn spec_spot(&self) -> Spot {
        self.template.entry("spec").map_or(self.spot, |entry| entry.spot)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&'m Node> {
        self.template.find(&["metadata", "annotations", key])
    }

    /// Whether a service with this selector leads here. One without any labels leads nowhere by itself.
    pub(super) fn is_selected_by(&self, selector: &Node) -> bool {
        let label = |key: &str| self.template.find(&["metadata", "labels", key]).and_then(Node::text);
        let wanted = selector.entries();
        !wanted.is_empty() && wanted.iter().all(|entry| label(&entry.key) == entry.node.text())
    }

    /// The container that runs readygate: `wanted`, or the one that bears its name.
    pub(super) fn readygate(&self, wanted: Option<&str>) -> Option<Container<'m>> {
        let is_it = |container: &&Container<'m>| match wanted {
            Some(name) => container.name == name,
            None => container.is_readygate(),
        };
        self.containers.iter().find(is_it).copied()
    }
}

/// The pod template of an object, where it has one.
fn template(object: &Node) -> Option<(Platform, &Node)> {
    let api = object.get("apiVersion").and_then(Node::text).unwrap_or_default();
    let path: &[&str] = match kind(object)? {
        "Service" if api.starts_with("serving.knative.dev/") => {
            return Some((Platform::CloudRun, object.find(&["spec", "template"])?));
        }
        "Pod" => &[],
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Rollout" => {
            &["spec", "template"]
        }
        _ => return None,
    };
    Some((Platform::Kubernetes, object.find(path)?))
}

impl<'m> Container<'m> {
    fn of_main(node: &'m Node) -> Self {
        Self { name: name_of(node), role: Role::Main, node }
    }

    fn of_init(node: &'m Node) -> Self {
        let stays = node.get("restartPolicy").and_then(Node::text) == Some("Always");
        Self { name: name_of(node), role: if stays { Role::Sidecar } else { Role::Init }, node }
    }

    fn is_readygate(&self) -> bool {
        let command = self.node.get("command").and_then(|command| command.items().next()).and_then(Node::text);
        self.name == READYGATE
            || self.image().is_some_and(|image| image_name(image) == READYGATE)
            || command.is_some_and(|command| command.rsplit('/').next() == Some(READYGATE))
    }

    pub(super) fn image(&self) -> Option<&'m str> {
        self.node.get("image")?.text()
    }

    pub(super) fn probe(&self, stage: Stage) -> Option<Probe<'m>> {
        let entry = self.node.entry(stage.key())?;
        let node = &*entry.node;
        let port = |action: &'m Node| action.get("port");
        let action = match (node.get("httpGet"), node.get("tcpSocket"), node.get("grpc")) {
            (Some(http), _, _) => {
                let path = http.get("path").and_then(Node::text).unwrap_or("/");
                Action::Http { path: path.split('?').next().unwrap_or(path), port: port(http) }
            }
            (None, Some(tcp), _) => Action::Tcp { port: port(tcp) },
            (None, None, Some(_)) => Action::Grpc,
            (None, None, None) => Action::Exec,
        };
        Some(Probe { stage, spot: entry.spot, node, action })
    }

    /// Its ports, each an object.
    pub(super) fn ports(&self) -> impl Iterator<Item = &'m Node> + use<'m> {
        self.node.get("ports").into_iter().flat_map(Node::items)
    }

    /// The number of a port that is given as a number, or by its name among this container's ports.
    pub(super) fn port_number(&self, port: &Node) -> Option<u16> {
        let text = port.text()?;
        let named = || {
            let mut ports = self.ports();
            let found = ports.find(|port| port.get("name").and_then(Node::text) == Some(text))?;
            found.get("containerPort")?.whole()
        };
        port.whole().or_else(named).and_then(|number| u16::try_from(number).ok())
    }

    /// Bytes, with the place of the limit.
    pub(super) fn memory_limit(&self) -> Option<(u64, Spot)> {
        let limit = self.node.find(&["resources", "limits", "memory"])?;
        Some((quantity(limit.text()?)?, limit.spot))
    }

    /// Variables by name; the value is missing where it comes from a secret, a map or the pod itself.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'m str, Option<&'m str>)> + use<'m> {
        let list = self.node.get("env").into_iter().flat_map(Node::items);
        list.filter_map(|variable| {
            let value = variable.get("value").map(|value| value.text().unwrap_or_default());
            let is_indirect = variable.get("valueFrom").is_some();
            Some((variable.get("name")?.text()?, value.or(if is_indirect { None } else { Some("") })))
        })
    }

    /// Arguments of its command line, those of `command` first.
    pub(super) fn arguments(&self) -> Vec<&'m str> {
        let list = |key| self.node.get(key).into_iter().flat_map(Node::items).filter_map(Node::text);
        list("command").chain(list("args")).collect()
    }
}

fn name_of(node: &Node) -> &str {
    node.get("name").and_then(Node::text).unwrap_or_default()
}

/// `readygate` of `registry:5000/team/readygate:1.0@sha256:…`.
fn image_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(['@', ':']).next().unwrap_or(last)
}

/// Bytes of `512Mi`, `1.5G` or `1000000`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn quantity(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    Some((number * *unit as f64) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::cli::doctor::yaml::documents;

    fn names(text: &str) -> Vec<String> {
        let all = documents(text).unwrap();
        workloads(&all).iter().map(|w| format!("{:?} {} {}", w.platform, w.name, w.containers.len())).collect()
    }

    #[test]
    fn pods_are_found_in_whatever_makes_them() {
        let spec = "spec: {containers: [{name: a}, {name: b}], initContainers: [{name: c}]}";
        let text = format!(
            "{{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {{name: run}}, spec: {{template: {{{spec}}}}}}}\n\
             ---\n{{kind: Deployment, metadata: {{name: web}}, spec: {{template: {{{spec}}}}}}}\n\
             ---\n{{kind: List, items: [{{kind: Pod, metadata: {{name: one}}, {spec}}}]}}\n\
             ---\n{{apiVersion: v1, kind: Service, spec: {{}}}}\n"
        );
        assert_eq!(names(&text), ["CloudRun run 3", "Kubernetes web 3", "Kubernetes one 3"]);
    }

    #[test]
    fn the_container_is_known_by_name_image_or_command() {
        let found = |container: &str, wanted: Option<&str>| {
            let text = format!("{{kind: Pod, spec: {{containers: [{{name: app}}, {container}]}}}}");
            let all = documents(&text).unwrap();
            workloads(&all)[0].readygate(wanted).is_some()
        };
        for container in [
            "{name: readygate}",
            "{name: x, image: \"eu.gcr.io:443/p/readygate:1@sha256:ab\"}",
            "{name: x, command: [/usr/bin/readygate, run]}",
        ] {
            assert!(found(container, None), "{container}");
        }
        assert!(!found("{name: x, image: example/not-readygate}", None));
        assert!(found("{name: x}", Some("x")) && !found("{name: readygate}", Some("x")));
    }

    #[test]
    fn quantities_are_bytes() {
        let all = ["512Mi", "1Gi", "1.5G", "64000", "2Ti", "10k", "0", "x", "-1Mi", "1e3"].map(quantity);
        let expected = [
            Some(512 << 20),
            Some(1 << 30),
            Some(1_500_000_000),
            Some(64_000),
            Some(2 << 40),
            Some(10_000),
            Some(0),
            None,
            None,
            Some(1000),
        ];
        assert_eq!(all, expected);
    }
}
