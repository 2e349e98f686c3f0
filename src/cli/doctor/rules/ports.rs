//! Whether the clients come to readygate, and not round it. PURE.

use std::net::IpAddr;

use crate::cli::doctor::{
    case::Case,
    finding::{Finding, Rule},
    manifest::{Container, Platform},
    yaml::{Node, Spot},
};

/// Of Cloud Run: exactly one container has ports, and the clients go there.
pub(super) fn ingress(case: &Case<'_>) -> Vec<Finding> {
    if !case.is_on(Platform::CloudRun) {
        return Vec::new();
    }
    let with_ports: Vec<&Container<'_>> =
        case.workload.containers.iter().filter(|container| container.ports().next().is_some()).collect();
    let help = format!("give ports to {:?} alone", case.gate.name);
    let is_gate = |container: &Container<'_>| std::ptr::eq(container.node, case.gate.node);
    match with_ports.as_slice() {
        [] if case.workload.containers.len() == 1 => Vec::new(),
        [] => {
            let what = "no container has ports: Cloud Run cannot tell which one takes the clients";
            vec![case.finding(Rule::Ports, case.workload.spot, what, help)]
        }
        [only] if is_gate(only) => Vec::new(),
        [only] => {
            let what = format!("the ports are those of {:?}: clients go round readygate", only.name);
            vec![case.finding(Rule::Ports, ports_spot(only), what, help)]
        }
        several => {
            let others = several.iter().filter(|container| !is_gate(container));
            others.map(|other| second(case, other, &help)).collect()
        }
    }
}

fn second(case: &Case<'_>, other: &Container<'_>, help: &str) -> Finding {
    let what = format!("{:?} has ports too: Cloud Run takes them on one container only", other.name);
    case.finding(Rule::Ports, ports_spot(other), what, help)
}

fn ports_spot(container: &Container<'_>) -> Spot {
    container.node.entry("ports").map_or(container.node.spot, |entry| entry.spot)
}

/// Of Kubernetes: no service points past readygate.
pub(super) fn services(case: &Case<'_>) -> Vec<Finding> {
    if !case.is_on(Platform::Kubernetes) {
        return Vec::new();
    }
    let targets = case.service_ports().filter_map(|port| port.get("targetPort").or_else(|| port.get("port")));
    targets.filter_map(|target| past(case, target)).collect()
}

fn past(case: &Case<'_>, target: &Node) -> Option<Finding> {
    if case.gate.port_number(target).is_some_and(|number| is_ours(case, number)) {
        return None;
    }
    let owner = case.others().find(|container| owns(container, target));
    let whose = owner.map(|container| format!("a port of {:?}", container.name));
    let whose = whose.or_else(|| is_upstream(case, target).then(|| "that of upstream.url".to_owned()))?;
    let text = target.text().unwrap_or_default();
    let what = format!("targetPort {text} is {whose}: clients go round readygate");
    let help = format!("point it to readygate's {}", case.config().server.listen.port());
    Some(case.finding(Rule::Ports, target.spot, what, help))
}

/// The backend's port in this very pod.
fn is_upstream(case: &Case<'_>, target: &Node) -> bool {
    let upstream = &case.config().upstream.target;
    let is_here = upstream.host == "localhost" || upstream.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    is_here && target.whole() == Some(upstream.port.into())
}

fn is_ours(case: &Case<'_>, number: u16) -> bool {
    [case.config().server.listen.port(), case.config().admin.listen.port()].contains(&number)
}

fn owns(container: &Container<'_>, target: &Node) -> bool {
    let wanted = container.port_number(target);
    let mut declared = container.ports().filter_map(|port| port.get("containerPort")?.whole());
    wanted.is_some_and(|wanted| declared.any(|port| port == u64::from(wanted)))
}

/// A public port that only the pod itself can reach.
pub(super) fn loopback(case: &Case<'_>) -> Vec<Finding> {
    let listen = case.config().server.listen;
    if !listen.ip().is_loopback() {
        return Vec::new();
    }
    let what = format!("server.listen is {listen}: clients come from outside of the container, and cannot reach it");
    vec![case.finding_at(Rule::Ports, &["server", "listen"], what, format!("listen on 0.0.0.0:{}", listen.port()))]
}
