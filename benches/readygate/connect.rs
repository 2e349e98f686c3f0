//! What an open gate adds to the time a client needs to connect.

use std::{net::SocketAddr, time::Instant};

use super::{
    backend::{Backend, CHECK},
    figures::{Report, Sample},
    load,
    sidecar::Sidecar,
};

/// Pairs of connects that are counted, after those that warm everything up.
const PAIRS: usize = 3000;
const WARM_UP: usize = 300;

/// Most that may be added at the 95th percentile, in milliseconds.
const TARGET: f64 = 1.0;

/// Direct and gated in turns, one at a time, so that both see the same machine.
pub(crate) async fn run(report: &mut Report) {
    println!("\nconnect time with the gate open, {PAIRS} pairs");
    let backend = Backend::start(true, false);
    let gate = Sidecar::start(backend.address, CHECK);
    gate.until("the gate is open", |metrics| metrics["readygate_gate_verdict{route=\"*\",verdict=\"open\"}"] == 1.0)
        .await;
    let mut pairs = Vec::with_capacity(PAIRS);
    for number in 0..WARM_UP + PAIRS {
        let pair = (timed(backend.address, number).await, timed(gate.public, number).await);
        if number >= WARM_UP {
            pairs.push(pair);
        }
    }
    let (direct, gated): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let (direct, gated) = (Sample::new(direct), Sample::new(gated));
    report.spread("connect direct", &direct);
    report.spread("connect gated", &gated);
    report.note("connect added p50 ms", gated.millis(50) - direct.millis(50), None);
    report.note("connect added p95 ms", gated.millis(95) - direct.millis(95), Some(TARGET));
    report.note("connect gated/direct p50", gated.millis(50) / direct.millis(50), None);
}

async fn timed(to: SocketAddr, number: usize) -> std::time::Duration {
    let began = Instant::now();
    let stream = load::connect(to, number).await;
    let took = began.elapsed();
    drop(stream);
    took
}
