//! How soon after the backend is ready its held clients' frames are with it.

use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};

use super::{
    backend::{Backend, CHECK, Event},
    figures::{Report, Sample},
    load,
    sidecar::Sidecar,
};

/// Clients, and how often that many are released: one round is one boot.
const ROUNDS: [(usize, usize); 3] = [(1, 21), (200, 11), (1000, 7)];

/// A boot takes at least this long: as long as those of real backends, for the pauses of a failing check grow.
const BOOT: Duration = Duration::from_secs(2);

/// And up to so much longer, at random, so that no rhythm of the checks is met by chance.
const SPREAD: Duration = Duration::from_millis(500);

/// Only a benchmark that hangs reaches it.
const WITHIN: Duration = Duration::from_secs(60);

/// Longest median from ready to the first frame, in milliseconds.
const TARGET: f64 = 20.0;

struct Round {
    /// From ready to the check that sees it.
    seen: Duration,
    first: Duration,
    last: Duration,
}

/// All rounds.
pub(crate) async fn run(report: &mut Report) {
    for (clients, rounds) in ROUNDS {
        println!("\nrelease of {clients} held clients, {rounds} boots of {BOOT:?} and more, default backoff");
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            times.push(round(clients).await);
        }
        let sample = |field: fn(&Round) -> Duration| Sample::new(times.iter().map(field).collect());
        let name = |what: &str| format!("release of {clients}: {what}");
        report.note(&name("ready to check p50 ms"), sample(|round| round.seen).millis(50), None);
        report.note(&name("ready to first frame p50 ms"), sample(|round| round.first).millis(50), Some(TARGET));
        report.note(&name("ready to first frame max ms"), sample(|round| round.first).millis(100), None);
        report.note(&name("ready to last frame p50 ms"), sample(|round| round.last).millis(50), None);
        report.note(&name("check to last frame p50 ms"), sample(|round| round.last - round.seen).millis(50), None);
    }
}

async fn round(clients: usize) -> Round {
    let end_of_boot = Instant::now() + BOOT + SPREAD.mul_f64(fastrand::f64());
    let mut backend = Backend::start(false, true);
    let gate = Sidecar::start(backend.address, CHECK);
    let held = load::crowd(gate.public, clients, 1).await;
    gate.until("all frames are held", |metrics| metrics["readygate_hold_frames"] == clients as f64).await;
    sleep_until(end_of_boot.into()).await;
    let ready = backend.make_ready();
    let round = timeout(WITHIN, watch(&mut backend, clients, ready)).await.expect("all frames arrive");
    drop(held);
    round
}

async fn watch(backend: &mut Backend, clients: usize, ready: Instant) -> Round {
    let (mut seen, mut frames) = (None, Vec::with_capacity(clients));
    while frames.len() < clients {
        match backend.events.recv().await.unwrap() {
            Event::Asked(at) => seen = seen.or(Some(at - ready)),
            Event::Frame(at) => frames.push(at - ready),
        }
    }
    let (first, last) = (frames.iter().min().unwrap(), frames.iter().max().unwrap());
    Round { seen: seen.unwrap(), first: *first, last: *last }
}
