//! How long a round of checks takes when everything asked is healthy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use readygate::{
    config::{Check, Config, Environment},
    probe::{self, Probe},
};
use tokio::time::sleep;

use super::{
    dependencies::{CHECKS, Dependencies},
    figures::{Report, Sample},
};

/// Rounds that are counted, after those that warm everything up.
const ROUNDS: usize = 100;
const WARM_UP: usize = 5;

/// Between two rounds, for checks are not asked back to back either: everybody has gone to sleep.
const REST: Duration = Duration::from_millis(100);

/// Most that a round may take on average, in milliseconds.
const TARGET: f64 = 100.0;

/// When each check ended, in the order of [`CHECKS`].
type Round = Vec<Duration>;

/// All checks at once, as readygate runs them: each in a task of its own, with what a configuration makes of it.
pub(crate) async fn run(report: &mut Report) {
    println!("\na round of checks of {}, {ROUNDS} rounds", CHECKS.join(", "));
    let dependencies = Dependencies::start();
    let probes = probes(&dependencies);
    let mut rounds = Vec::with_capacity(ROUNDS);
    for number in 0..WARM_UP + ROUNDS {
        sleep(REST).await;
        let round = round(&probes).await;
        if number >= WARM_UP {
            rounds.push(round);
        }
    }
    for (index, name) in CHECKS.into_iter().enumerate() {
        note(report, name, rounds.iter().map(|round| round[index]), None);
    }
    note(report, "all at once", rounds.iter().map(|round| *round.iter().max().unwrap()), Some(TARGET));
}

fn probes(dependencies: &Dependencies) -> Vec<Arc<dyn Probe>> {
    let text = format!("[upstream]\nurl = \"http://{}\"\n{}", dependencies.backend.address, dependencies.config());
    let config = Config::parse(&text, "round", &Environment::with_variables([])).expect("a valid configuration");
    let upstream = config.upstream.checks;
    let all: Vec<Check> = upstream.into_iter().chain(config.dependencies.into_iter().map(|one| one.check)).collect();
    let named = |name: &&str| all.iter().find(|check| check.name == *name).unwrap_or_else(|| panic!("no check {name}"));
    CHECKS.iter().map(named).map(|check| probe::build(check).unwrap().into()).collect()
}

async fn round(probes: &[Arc<dyn Probe>]) -> Round {
    let began = Instant::now();
    let checks = probes.iter().map(|probe| {
        let probe = Arc::clone(probe);
        tokio::spawn(async move {
            probe.check().await.expect("a healthy dependency passes");
            began.elapsed()
        })
    });
    let ended = futures_util::future::join_all(checks.collect::<Vec<_>>()).await;
    ended.into_iter().map(Result::unwrap).collect()
}

fn note(report: &mut Report, name: &str, times: impl Iterator<Item = Duration>, target: Option<f64>) {
    let sample = Sample::new(times.collect());
    report.note(&format!("round, {name}: mean ms"), sample.mean(), target);
    for percent in [50, 95] {
        report.note(&format!("round, {name}: p{percent} ms"), sample.millis(percent), None);
    }
}
