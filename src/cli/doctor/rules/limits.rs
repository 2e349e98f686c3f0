//! Open files, memory and time against what the platform grants. PURE.

use std::time::Duration;

use crate::cli::doctor::{
    case::Case,
    finding::{Finding, Rule},
    manifest::Platform,
    settings::CLOUD_RUN_MEMORY,
    yaml::{Node, Spot},
};

/// Open files of an instance (<https://cloud.google.com/run/quotas>).
const DESCRIPTORS: u64 = 25_000;
/// The client's socket and the backend's.
const FILES_PER_SESSION: u64 = 2;
/// Requests at a time that an instance may be given (<https://cloud.google.com/run/docs/about-concurrency>).
const MOST_CONCURRENCY: u64 = 1000;

/// Of the memory limit, what may be held: three quarters. The rest is for the process, the heads of waiting requests
/// (outside of the budget) and the sessions that are open.
const HOLD_SHARE: (u64, u64) = (3, 4);

/// From SIGTERM to SIGKILL on Cloud Run (<https://cloud.google.com/run/docs/container-contract#instance-shutdown>).
const CLOUD_RUN_GRACE: Duration = Duration::from_secs(10);
/// `terminationGracePeriodSeconds` where nothing is said.
const KUBERNETES_GRACE: u64 = 30;

const MIB: u64 = 1 << 20;

pub(super) fn descriptors(case: &Case<'_>) -> Vec<Finding> {
    if !case.is_on(Platform::CloudRun) {
        return Vec::new();
    }
    let mut found: Vec<Finding> = concurrency(case).into_iter().collect();
    let sessions = case.config().hold.sessions;
    if u64::try_from(sessions).is_ok_and(|sessions| sessions > DESCRIPTORS) {
        let what = format!("hold.sessions is {sessions}: each is an open file, and an instance has {DESCRIPTORS}");
        let help = "lower it: no more than containerConcurrency are ever there";
        found.push(case.finding_at(Rule::Descriptors, &["hold", "sessions"], what, help));
    }
    found
}

fn concurrency(case: &Case<'_>) -> Option<Finding> {
    let node = case.workload.spec("containerConcurrency")?;
    let concurrency = node.whole()?;
    let files = concurrency.saturating_mul(FILES_PER_SESSION);
    let what = if files > DESCRIPTORS {
        format!(
            "containerConcurrency is {concurrency}: each WebSocket is two open files, {files} in all, and an instance \
             has {DESCRIPTORS}"
        )
    } else if concurrency > MOST_CONCURRENCY {
        format!("containerConcurrency is {concurrency}: Cloud Run refuses more than {MOST_CONCURRENCY}")
    } else {
        return None;
    };
    let help = format!("set {MOST_CONCURRENCY} or less, the most that Cloud Run takes");
    Some(case.finding(Rule::Descriptors, node.spot, what, help))
}

pub(super) fn memory(case: &Case<'_>) -> Vec<Finding> {
    let Some((limit, spot, whose)) = memory_limit(case) else { return Vec::new() };
    let Ok(held) = u64::try_from(case.config().hold.total_bytes) else { return Vec::new() };
    let room = limit / HOLD_SHARE.1 * HOLD_SHARE.0;
    if held <= room {
        return Vec::new();
    }
    let what = format!(
        "hold.total_bytes is {} and the memory limit {}{whose}: a full hold gets the container killed, and every \
         client with it",
        size(held),
        size(limit)
    );
    let help = format!("lower hold.total_bytes to {} or less, or raise the limit", size(room));
    vec![case.finding(Rule::Memory, spot, what, help)]
}

fn memory_limit(case: &Case<'_>) -> Option<(u64, Spot, &'static str)> {
    match case.gate.memory_limit() {
        Some((limit, spot)) => Some((limit, spot, "")),
        None => case.is_on(Platform::CloudRun).then_some((CLOUD_RUN_MEMORY, case.gate.node.spot, ", the default")),
    }
}

fn size(bytes: u64) -> String {
    if bytes >= MIB { format!("{}MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}

pub(super) fn grace(case: &Case<'_>) -> Vec<Finding> {
    let drain = case.config().drain.timeout;
    let cut = "whoever is still there is cut without a Close";
    match case.workload.platform {
        Platform::CloudRun if drain >= CLOUD_RUN_GRACE => {
            let grace = humantime::format_duration(CLOUD_RUN_GRACE);
            let what = format!("drain.timeout is {}: Cloud Run kills {grace} after SIGTERM, {cut}", shown(drain));
            let help = "keep it below, as the default of \"8500ms\" does";
            vec![case.finding_at(Rule::Grace, &["drain", "timeout"], what, help)]
        }
        Platform::CloudRun => Vec::new(),
        Platform::Kubernetes => kubernetes_grace(case, drain, cut).into_iter().collect(),
    }
}

fn kubernetes_grace(case: &Case<'_>, drain: Duration, cut: &str) -> Option<Finding> {
    let said = case.workload.spec("terminationGracePeriodSeconds");
    let grace = said.and_then(Node::whole).unwrap_or(KUBERNETES_GRACE);
    let sleep = case.gate.node.find(&["lifecycle", "preStop", "sleep", "seconds"]).and_then(Node::whole).unwrap_or(0);
    if drain + Duration::from_secs(sleep) < Duration::from_secs(grace) {
        return None;
    }
    let spot = said.map_or_else(|| case.workload.spec_spot(), |said| said.spot);
    let slept = if sleep > 0 { format!(" after {sleep}s of preStop") } else { String::new() };
    let what =
        format!("terminationGracePeriodSeconds is {grace}, and the drain may take {}{slept}: {cut}", shown(drain));
    Some(case.finding(Rule::Grace, spot, what, "raise it above drain.timeout and preStop together, or lower those"))
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
