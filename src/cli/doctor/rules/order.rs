//! Containers that start after one another: `run.googleapis.com/container-dependencies`, and init containers. PURE.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::doctor::{
    case::Case,
    finding::{Finding, Rule},
    manifest::{Container, Platform, Role, Stage},
    yaml::Node,
};

/// <https://cloud.google.com/run/docs/configuring/services/containers#container-ordering>
const DEPENDENCIES: &str = "run.googleapis.com/container-dependencies";

/// Whom each container waits for.
type Order = BTreeMap<String, Vec<String>>;

pub(super) fn dependencies(case: &Case<'_>) -> Vec<Finding> {
    match case.workload.platform {
        Platform::CloudRun => {
            case.workload.annotation(DEPENDENCIES).map_or_else(Vec::new, |said| annotated(case, said))
        }
        Platform::Kubernetes => plain_init(case).into_iter().collect(),
    }
}

/// Whether some container starts only once readygate's start-up probe has passed.
pub(super) fn somebody_waits_for_readygate(case: &Case<'_>) -> Option<String> {
    match case.workload.platform {
        Platform::CloudRun => {
            let order = order(case.workload.annotation(DEPENDENCIES)?)?;
            order.keys().find(|name| waits_for(&order, name, case.gate.name)).cloned()
        }
        Platform::Kubernetes if case.gate.role == Role::Sidecar => {
            case.others().find(|other| other.role == Role::Main).map(|other| other.name.to_owned())
        }
        Platform::Kubernetes => None,
    }
}

fn annotated(case: &Case<'_>, said: &Node) -> Vec<Finding> {
    let Some(order) = order(said) else {
        let what = format!("the annotation {DEPENDENCIES} is no JSON object of lists of names");
        return vec![case.finding(Rule::StartOrder, said.spot, what, r#"write '{"app":["readygate"]}'"#)];
    };
    let find = |name: &str| case.workload.containers.iter().find(|container| container.name == name);
    let mut found = Vec::new();
    for name in order.iter().flat_map(|(name, needed)| std::iter::once(name).chain(needed)).collect::<BTreeSet<_>>() {
        if find(name).is_none() {
            let what = format!("{name:?} in the start order is no container of this service");
            found.push(case.finding(Rule::StartOrder, said.spot, what, "name containers by their name"));
        }
    }
    let circular = order.keys().find(|name| waits_for(&order, name, name));
    found.extend(circular.map(|name| {
        let what = format!("{name:?} waits for itself in the start order: none of that circle ever starts");
        case.finding(Rule::StartOrder, said.spot, what, "leave one of them out")
    }));
    let needed: BTreeSet<&String> = order.values().flatten().collect();
    found.extend(needed.iter().filter_map(|name| find(name)).filter_map(|container| unprobed(case, container)));
    found.extend(gate_last(case, &order, said));
    found
}

fn order(said: &Node) -> Option<Order> {
    serde_json::from_str(said.text()?).ok()
}

/// Whether `name` starts after `other`, however many stand between them.
fn waits_for(order: &Order, name: &str, other: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![name]);
    while let Some(name) = open.pop() {
        for needed in order.get(name).into_iter().flatten() {
            if needed == other {
                return true;
            }
            if seen.insert(needed) {
                open.push(needed);
            }
        }
    }
    false
}

fn unprobed(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    if container.probe(Stage::Startup).is_some() {
        return None;
    }
    let what = format!("others start after {:?}, which has no startupProbe to pass", container.name);
    Some(case.finding(Rule::StartupProbe, container.node.spot, what, "add a startupProbe to it"))
}

fn gate_last(case: &Case<'_>, order: &Order, said: &Node) -> Option<Finding> {
    let gate = case.gate.name;
    let awaited = case.others().find(|other| waits_for(order, gate, other.name))?;
    let what = format!(
        "{gate:?} starts after {:?}: until that one is up nobody listens, and clients are kept out rather than held",
        awaited.name
    );
    Some(case.finding(Rule::StartOrder, said.spot, what, "let readygate start first, or leave the order out"))
}

/// An init container must end before the pod goes on, and readygate does not end.
fn plain_init(case: &Case<'_>) -> Option<Finding> {
    if case.gate.role != Role::Init {
        return None;
    }
    let what = format!("{:?} is an init container that never ends: the pod never starts", case.gate.name);
    Some(case.finding(Rule::StartOrder, case.gate.node.spot, what, "give it restartPolicy: Always"))
}
