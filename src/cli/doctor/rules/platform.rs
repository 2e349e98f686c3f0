//! What the platform does to WebSockets and to checks unless it is told otherwise. PURE.

use crate::{
    cli::doctor::{
        case::Case,
        finding::{Finding, Rule},
        manifest::Platform,
        yaml::Node,
    },
    config::{Check, CheckKind},
};

/// A port of this name gets HTTP/2 end to end (<https://cloud.google.com/run/docs/configuring/http2>).
const H2C: &str = "h2c";
/// The same for a service of Kubernetes (<https://kubernetes.io/docs/concepts/services-networking/service/>).
const KUBERNETES_H2C: &str = "kubernetes.io/h2c";

/// Seconds of `timeoutSeconds` where nothing is said, and at most
/// (<https://cloud.google.com/run/docs/configuring/request-timeout>).
const DEFAULT_TIMEOUT: u64 = 300;
const MOST_TIMEOUT: u64 = 3600;

const CPU_THROTTLING: &str = "run.googleapis.com/cpu-throttling";

/// Google's front end answers it with 404 (<https://cloud.google.com/run/docs/known-issues#reserved_url_paths>).
const RESERVED: &str = "/healthz";
/// Where that front end stands.
const FRONT_END: &str = ".run.app";

pub(super) fn http2(case: &Case<'_>) -> Vec<Finding> {
    match case.workload.platform {
        Platform::CloudRun => cloud_run_http2(case),
        Platform::Kubernetes => kubernetes_http2(case),
    }
}

fn cloud_run_http2(case: &Case<'_>) -> Vec<Finding> {
    let ports = case.workload.containers.iter().flat_map(|container| container.ports());
    let names = ports.filter_map(|port| port.get("name")).filter(|name| name.text() == Some(H2C));
    let what = "the port is named \"h2c\": Cloud Run then speaks HTTP/2 end to end, which has no WebSocket upgrade, \
                and every handshake fails";
    names.map(|name| case.finding(Rule::Http2, name.spot, what, "name it \"http1\", or leave the name out")).collect()
}

fn kubernetes_http2(case: &Case<'_>) -> Vec<Finding> {
    let protocols = case.service_ports().filter_map(|port| port.get("appProtocol"));
    let what = "appProtocol \"kubernetes.io/h2c\" asks for HTTP/2, which readygate does not speak and which has no \
                WebSocket upgrade";
    let found = protocols.filter(|protocol| protocol.text() == Some(KUBERNETES_H2C));
    found.map(|it| case.finding(Rule::Http2, it.spot, what, "write \"kubernetes.io/ws\", or leave it out")).collect()
}

pub(super) fn timeout(case: &Case<'_>) -> Vec<Finding> {
    if !case.is_on(Platform::CloudRun) {
        return Vec::new();
    }
    let cut = "Cloud Run cuts every WebSocket at that age";
    let (spot, what) = match case.workload.spec("timeoutSeconds") {
        None => (case.workload.spec_spot(), format!("timeoutSeconds is missing, which means {DEFAULT_TIMEOUT}: {cut}")),
        Some(node) => match node.whole() {
            Some(seconds) if seconds <= DEFAULT_TIMEOUT => (node.spot, format!("timeoutSeconds is {seconds}: {cut}")),
            Some(seconds) if seconds > MOST_TIMEOUT => {
                (node.spot, format!("timeoutSeconds is {seconds}: Cloud Run refuses more than {MOST_TIMEOUT}"))
            }
            Some(_) => return Vec::new(),
            None => (node.spot, "timeoutSeconds is no number of seconds".to_owned()),
        },
    };
    vec![case.finding(Rule::Timeout, spot, what, format!("set timeoutSeconds: {MOST_TIMEOUT}, the most there is"))]
}

pub(super) fn throttling(case: &Case<'_>) -> Vec<Finding> {
    let said = case.workload.annotation(CPU_THROTTLING);
    if !case.is_on(Platform::CloudRun) || said.and_then(Node::text) == Some("false") {
        return Vec::new();
    }
    let spot = said.map_or_else(|| case.workload.spec_spot(), |said| said.spot);
    let state = if said.is_some() { "is not \"false\"" } else { "is missing" };
    let what = format!(
        "the annotation {CPU_THROTTLING} {state}: between requests the CPU stops, and the checks with it, so the \
         first client after a pause waits for them"
    );
    vec![case.finding(Rule::Throttling, spot, what, "set it to \"false\" (instance-based billing)")]
}

/// Routes that no client reaches, and checks that Google's front end answers in place of the service.
pub(super) fn reserved_paths(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if case.is_on(Platform::CloudRun) {
        found.extend(reserved_routes(case));
    }
    let config = case.config();
    let dependencies = config.dependencies.iter().map(|dependency| &dependency.check);
    for check in dependencies.filter(|check| is_answered_by_the_front_end(check)) {
        found.push(reserved_check(case, check, &["dependencies", &check.name, "check"]));
    }
    for check in config.upstream.checks.iter().filter(|check| is_answered_by_the_front_end(check)) {
        found.push(reserved_check(case, check, &["upstream", "check"]));
    }
    found
}

fn reserved_routes(case: &Case<'_>) -> impl Iterator<Item = Finding> {
    let routes = case.config().routes.iter().enumerate().filter(|(_, route)| route.path.as_str() == RESERVED);
    routes.map(|(place, _)| {
        let what = format!("the route {RESERVED} is never reached: Google's front end answers that path with 404");
        case.finding_at(Rule::ReservedPath, &["routes", &place.to_string(), "path"], what, "choose another path")
    })
}

fn is_answered_by_the_front_end(check: &Check) -> bool {
    match &check.kind {
        CheckKind::Http(http) | CheckKind::Ws(http) => {
            http.target.host.ends_with(FRONT_END) && http.shown_path() == RESERVED
        }
        CheckKind::Tcp(_) | CheckKind::Redis(_) | CheckKind::Postgres(_) | CheckKind::Grpc(_) => false,
    }
}

fn reserved_check(case: &Case<'_>, check: &Check, key: &[&str]) -> Finding {
    let what = format!(
        "the check {:?} asks for {RESERVED} of a Cloud Run service: Google's front end answers with 404, whatever the \
         service would say",
        check.name
    );
    case.finding_at(Rule::ReservedPath, key, what, "give that service another health path, such as /health")
}
