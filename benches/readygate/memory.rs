//! What a session costs in memory, held and open.

use super::{
    backend::{Backend, CHECK},
    figures::Report,
    load,
    process::resident,
    sidecar::Sidecar,
};

/// Sessions held: near to the default of `hold.sessions`, and what a limit of 20,000 open files carries.
const HELD: usize = 9_900;

/// Small frames in each.
const FRAMES: usize = 5;

/// Sessions open; each takes two descriptors of readygate's, and two of this process.
const OPEN: usize = 5000;

/// Sessions before the first look: code is paged in, worker buffers are made.
const WARM_UP: usize = 50;

/// Most that a held session may take, in KiB.
const HELD_TARGET: f64 = 16.0;

/// The default hold time would end the first sessions before the last are there on a busy machine.
const PATIENCE: &str = "[gate]\nhold_timeout = \"300s\"\n";

/// Held first, then open, each with a process of its own.
pub(crate) async fn run(report: &mut Report) {
    held(report).await;
    open(report).await;
}

async fn held(report: &mut Report) {
    println!("\nmemory of {HELD} sessions held with {FRAMES} frames of {} bytes", load::PAYLOAD);
    let backend = Backend::start(false, false);
    let gate = Sidecar::start(backend.address, &format!("{CHECK}{PATIENCE}"));
    let first = load::crowd(gate.public, WARM_UP, FRAMES).await;
    until_held(&gate, WARM_UP).await;
    let before = resident(gate.pid());
    let rest = load::crowd(gate.public, HELD - WARM_UP, FRAMES).await;
    until_held(&gate, HELD).await;
    let each = (resident(gate.pid()) - before) / (HELD - WARM_UP) as f64;
    report.note("memory before KiB", before / 1024.0, None);
    report.note("memory per held session KiB", each / 1024.0, Some(HELD_TARGET));
    drop((first, rest));
}

async fn open(report: &mut Report) {
    println!("\nmemory of {OPEN} open, silent sessions");
    let backend = Backend::start(true, false);
    let gate = Sidecar::start(backend.address, CHECK);
    let first = load::crowd(gate.public, WARM_UP, 0).await;
    until_open(&gate, WARM_UP).await;
    let before = resident(gate.pid());
    let rest = load::crowd(gate.public, OPEN - WARM_UP, 0).await;
    until_open(&gate, OPEN).await;
    let each = (resident(gate.pid()) - before) / (OPEN - WARM_UP) as f64;
    report.note("memory per idle open session KiB", each / 1024.0, None);
    drop((first, rest));
}

async fn until_held(gate: &Sidecar, sessions: usize) {
    let frames = (sessions * FRAMES) as f64;
    gate.until("all frames are held", |metrics| metrics["readygate_hold_frames"] == frames).await;
}

async fn until_open(gate: &Sidecar, sessions: usize) {
    let open = "readygate_sessions{state=\"open\"}";
    gate.until("all sessions are open", |metrics| metrics[open] == sessions as f64).await;
}
