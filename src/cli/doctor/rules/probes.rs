//! What probes ask, where, and how long they may take. PURE.

use super::order;
use crate::cli::doctor::{
    case::{Case, Target},
    finding::{Finding, Rule},
    manifest::{Action, Container, Platform, Probe, Stage},
    yaml::Node,
};

/// What the admin port answers with 200 at some time.
const ADMIN_PATHS: [&str; 8] = ["/", "/startupz", "/livez", "/readyz", "/gate", "/metrics", "/status", "/sessions"];
/// Answers 503 while the gate is shut.
const GATE: &str = "/gate";
/// Answers 503 while the hold is full.
const READY: &str = "/readyz";

/// Cloud Run refuses a start-up probe whose attempts may take longer
/// (<https://cloud.google.com/run/docs/configuring/healthchecks>).
const MOST_STARTUP_SECONDS: u64 = 240;
/// `periodSeconds` and `failureThreshold` where nothing is said.
const PERIOD: u64 = 10;
const THRESHOLD: u64 = 3;

/// A sidecar that is not the application, by a part of its image's name.
const COLLECTORS: [&str; 3] = ["cloud-run-gmp-sidecar", "otelcol", "opentelemetry-collector"];

/// On Cloud Run the application needs a start-up probe of its own.
pub(super) fn of_the_application(case: &Case<'_>) -> Vec<Finding> {
    if !case.is_on(Platform::CloudRun) {
        return Vec::new();
    }
    let applications = case.others().filter(|container| !is_collector(container));
    let unprobed = applications.filter(|container| container.probe(Stage::Startup).is_none());
    let described = unprobed.map(|container| {
        let what = format!(
            "{:?} has no startupProbe: its boot has the CPU only while a client waits, and a revision whose \
             application never starts replaces one that works",
            container.name
        );
        case.finding(Rule::StartupProbe, container.node.spot, what, "add a startupProbe that asks its own health path")
    });
    let slow = case.others().filter_map(|container| too_long(case, &container.probe(Stage::Startup)?));
    described.chain(slow).collect()
}

fn is_collector(container: &Container<'_>) -> bool {
    container.image().is_some_and(|image| COLLECTORS.iter().any(|collector| image.contains(collector)))
}

pub(super) fn of_readygate(case: &Case<'_>) -> Vec<Finding> {
    case.gate_probes().flat_map(|probe| [asked(case, &probe), too_long(case, &probe)]).flatten().collect()
}

fn too_long(case: &Case<'_>, probe: &Probe<'_>) -> Option<Finding> {
    let number = |key: &str, default: u64| probe.node.get(key).and_then(Node::whole).unwrap_or(default);
    let total = number("periodSeconds", PERIOD).saturating_mul(number("failureThreshold", THRESHOLD));
    if !case.is_on(Platform::CloudRun) || probe.stage != Stage::Startup || total <= MOST_STARTUP_SECONDS {
        return None;
    }
    let what = format!(
        "periodSeconds × failureThreshold is {total}: Cloud Run refuses more than {MOST_STARTUP_SECONDS} s of start-up"
    );
    Some(case.finding(Rule::ProbeTime, probe.spot, what, "lower one of the two"))
}

fn asked(case: &Case<'_>, probe: &Probe<'_>) -> Option<Finding> {
    match (&probe.action, case.target(&probe.action)) {
        (Action::Http { path, .. }, Some(Target::Admin)) => {
            unreachable_admin(case, probe).or_else(|| wrong_path(case, probe, path))
        }
        (Action::Http { .. }, Some(Target::Public)) => Some(through(case, probe)),
        (Action::Tcp { .. }, Some(Target::Admin)) => unreachable_admin(case, probe),
        (Action::Tcp { .. }, Some(Target::Public)) => None,
        (Action::Http { .. } | Action::Tcp { .. }, Some(Target::Other(port))) => Some(elsewhere(case, probe, port)),
        (Action::Grpc, _) => {
            let what = format!("{} asks by gRPC, which readygate does not answer", probe.stage.key());
            Some(case.finding(Rule::ProbePath, probe.spot, what, instead(case, probe.stage)))
        }
        (Action::Exec, _) if case.is_on(Platform::CloudRun) => {
            let what = format!("{} runs a command, which Cloud Run does not do", probe.stage.key());
            Some(case.finding(Rule::ProbePath, probe.spot, what, instead(case, probe.stage)))
        }
        (Action::Exec, _) | (Action::Http { .. } | Action::Tcp { .. }, None) => None,
    }
}

/// What to ask instead.
fn instead(case: &Case<'_>, stage: Stage) -> String {
    format!("ask {} on port {}", path_of(stage), case.config().admin.listen.port())
}

fn path_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Startup => "/startupz",
        Stage::Liveness => "/livez",
        Stage::Readiness => READY,
    }
}

fn unreachable_admin(case: &Case<'_>, probe: &Probe<'_>) -> Option<Finding> {
    let listen = case.config().admin.listen;
    if !listen.ip().is_loopback() {
        return None;
    }
    let what = format!(
        "{} asks port {}, and admin.listen is {listen}: probes come from outside of the container, and never pass",
        probe.stage.key(),
        listen.port()
    );
    let help = format!("set admin.listen = \"0.0.0.0:{}\"", listen.port());
    Some(case.finding(Rule::ProbeReach, probe.spot, what, help))
}

fn wrong_path(case: &Case<'_>, probe: &Probe<'_>, path: &str) -> Option<Finding> {
    let key = probe.stage.key();
    let what = match (path, probe.stage) {
        (GATE, Stage::Startup) => return Some(waiting(case, probe, "asks /gate, which waits for the backend")),
        (GATE, Stage::Liveness) => {
            format!("{key} asks {GATE}: a shut gate restarts readygate, and everybody it holds is lost")
        }
        (GATE, Stage::Readiness) => {
            format!("{key} asks {GATE}: while it is shut no client comes, and holding clients is the job")
        }
        (READY, Stage::Liveness) => {
            format!("{key} asks {READY}: a full hold or a drain restarts readygate, and everybody it holds is lost")
        }
        _ if !ADMIN_PATHS.contains(&path) => format!("{key} asks {path}, which the admin port answers with 404"),
        _ => return None,
    };
    Some(case.finding(Rule::ProbePath, probe.spot, what, instead(case, probe.stage)))
}

/// A GET on the public port is a client's: it goes to the backend, and waits for it.
fn through(case: &Case<'_>, probe: &Probe<'_>) -> Finding {
    let port = case.config().server.listen.port();
    let key = probe.stage.key();
    match probe.stage {
        Stage::Startup => waiting(case, probe, &format!("asks the public port {port}, which waits for the backend")),
        Stage::Liveness => {
            let what = format!("{key} asks the public port {port}: a backend that is down restarts readygate");
            case.finding(Rule::ProbePath, probe.spot, what, instead(case, probe.stage))
        }
        Stage::Readiness => {
            let what =
                format!("{key} asks the public port {port}: while the backend is down no client comes to be held");
            case.finding(Rule::ProbePath, probe.spot, what, instead(case, probe.stage))
        }
    }
}

/// A start-up probe that waits for the backend: a circle where the backend waits for readygate, and else a loss.
fn waiting(case: &Case<'_>, probe: &Probe<'_>, asks: &str) -> Finding {
    let key = probe.stage.key();
    let (rule, what) = match order::somebody_waits_for_readygate(case) {
        Some(name) => {
            (Rule::StartOrder, format!("{key} {asks}, and {name:?} starts after readygate: neither ever starts"))
        }
        None => (Rule::ProbePath, format!("{key} {asks}: until then no client comes, and holding clients is the job")),
    };
    case.finding(rule, probe.spot, what, instead(case, probe.stage))
}

fn elsewhere(case: &Case<'_>, probe: &Probe<'_>, port: Option<u16>) -> Finding {
    let port = port.map_or_else(|| "a port that it does not name".to_owned(), |port| format!("port {port}"));
    let what = format!("{} asks {port}, where readygate does not listen", probe.stage.key());
    case.finding(Rule::ProbeReach, probe.spot, what, instead(case, probe.stage))
}
