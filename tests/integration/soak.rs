//! Load that goes on: sessions come, wait, go, are refused and break off while a backend and a Redis die and return, and
//! after each cycle the process is back where it was. And crowds, and slow networks.
//!
//! `tests/soak` runs the same for as long as it is told, and crowds of any size.

mod backend;
mod client;
mod crowd;
mod cycle;
mod growth;
mod network;
mod report;
mod service;

use std::{
    env,
    time::{Duration, Instant},
};

use self::{
    cycle::Tally,
    growth::{Figures, growth},
    report::Report,
    service::Service,
};
use crate::race::variable;

/// Cycles before the first that counts: code runs for the first time, pools and tables take their size.
const WARM_UP: usize = 3;

/// Cycles that count, unless `SOAK_SECONDS` says for how long: enough sessions for a leak of 1 KiB in each to show.
const CYCLES: usize = 15;

/// Sessions of a cycle, unless `SOAK_SESSIONS` says otherwise.
const SESSIONS: usize = 700;

/// How long a run is.
#[derive(Clone, Copy, Debug)]
enum Length {
    Cycles(usize),
    Time(Duration),
}

/// A run: what has been seen so far.
struct Run {
    base: Figures,
    samples: Vec<Figures>,
    tally: Tally,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_at_rest_after_each_cycle_what_it_was_at_first_and_has_lost_nothing() {
    let length = match env::var("SOAK_SECONDS") {
        Ok(_) => Length::Time(Duration::from_secs(variable("SOAK_SECONDS", 0))),
        Err(_) => Length::Cycles(CYCLES),
    };
    let grown = soak(length, variable("SOAK_SESSIONS", SESSIONS)).await;
    assert!(grown.is_empty(), "{}", grown.join("\n"));
}

/// What has grown; whatever was lost is a panic of the cycle that lost it.
async fn soak(length: Length, sessions: usize) -> Vec<String> {
    let mut service = Service::start().await;
    let mut tally = Tally::default();
    for _ in 0..WARM_UP {
        cycle::run(&mut service, sessions, None, &mut tally).await;
    }
    let base = service.at_rest(None).await;
    let mut run = Run { base, samples: Vec::new(), tally };
    let mut report = Report::begin(&run.base, sessions);
    let began = Instant::now();
    while length.goes_on(run.samples.len(), began) {
        let figures = cycle::run(&mut service, sessions, Some(&run.base), &mut run.tally).await;
        run.samples.push(figures);
        report.cycle(run.samples.len(), &figures, &run.tally);
        if !figures.is_back_at(&run.base) {
            break;
        }
    }
    report.end(&service.books().await, &run.samples);
    growth(&run.base, &run.samples)
}

impl Length {
    fn goes_on(self, cycles: usize, began: Instant) -> bool {
        match self {
            Self::Cycles(count) => cycles < count,
            Self::Time(time) => cycles < growth::SAMPLES_AT_LEAST || began.elapsed() < time,
        }
    }
}
