//! What readygate uses while its checks pass and nobody is connected.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    dependencies::{CHECKS, Dependencies},
    figures::Report,
    process::cpu_of_threads,
    sidecar::Sidecar,
};

/// The time that is looked at, unless an argument says otherwise: twelve checks of each dependency.
pub(crate) const TIME: Duration = Duration::from_secs(60);

/// Before it: the checks that follow the start, when each is asked more often.
const SETTLE: Duration = Duration::from_secs(6);

/// The process at rest for `time`.
pub(crate) async fn run(report: &mut Report, time: Duration) {
    println!("\nCPU over {time:?} with {} passing checks at the default interval, nobody connected", CHECKS.len());
    let dependencies = Dependencies::start();
    let gate = Sidecar::start(dependencies.backend.address, &dependencies.config());
    gate.until("all checks pass", |metrics| CHECKS.iter().all(|check| up(metrics, check))).await;
    sleep(SETTLE).await;
    let asked = runs(&gate.metrics().await);
    let (began, before) = (Instant::now(), cpu_of_threads(gate.pid()));
    sleep(time).await;
    let (used, took) = (cpu_of_threads(gate.pid()) - before, began.elapsed());
    let metrics = gate.metrics().await;
    assert!(CHECKS.iter().all(|check| up(&metrics, check)), "a check has failed meanwhile");
    let runs = runs(&metrics) - asked;
    report.note("idle: checks run", runs, None);
    report.note("idle: CPU ms", used.as_secs_f64() * 1e3, None);
    report.note("idle: CPU % of one core", used.as_secs_f64() / took.as_secs_f64() * 100.0, None);
    report.note("idle: CPU per check ms", used.as_secs_f64() * 1e3 / runs, None);
}

fn up(metrics: &HashMap<String, f64>, check: &str) -> bool {
    let label = format!("{{check=\"{check}\",");
    metrics.iter().any(|(name, value)| name.starts_with("readygate_check_up") && name.contains(&label) && *value == 1.0)
}

fn runs(metrics: &HashMap<String, f64>) -> f64 {
    let counts = metrics.iter().filter(|(name, _)| name.starts_with("readygate_check_duration_seconds_count"));
    counts.map(|(_, count)| count).sum()
}
