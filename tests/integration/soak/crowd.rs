//! Crowds: everybody is held, released, served, told that the backend was killed, held again, and served by the next.
//!
//! The backend is a process of its own, and clients spread over loopback's addresses: with 9,000 clients readygate alone
//! has 18,000 sockets, of the 20,000 that a process may have on many a machine. So many are left to `tests/soak --crowd`;
//! a thousand take a few seconds.

#[path = "../../../benches/readygate/load.rs"]
#[allow(dead_code, reason = "the benchmarks do more with it")]
mod load;

use std::{net::SocketAddr, ops::Range};

use futures_util::future::join_all;

use super::{
    backend::{Apart, CHECK},
    client::{Client, Wave},
};
use crate::{
    harness::raw::Raw,
    race::{books, reserve, sidecar::Sidecar, variable},
};

/// Each client's, at a time.
const MESSAGES: usize = 3;

/// Few; and many, unless `SOAK_CROWD` says otherwise.
const FEW: usize = 50;
const MANY: usize = 1000;

/// Nobody's time is over before the machine is done, however slow it is.
const PATIENT: &str = "[gate]\nhold_timeout = \"600s\"\n[hold]\nping_interval = \"300s\"\n\
     [probe]\nbackoff = { initial = \"5ms\", max = \"50ms\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_few_clients_go_through_a_start_and_a_restart_and_nothing_is_lost() {
    crowd(FEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_go_through_a_start_and_a_restart_and_nothing_is_lost() {
    crowd(variable("SOAK_CROWD", MANY)).await;
}

async fn crowd(clients: usize) {
    let (_place, port) = reserve();
    let mut backend = Apart::start(port);
    let gate = Sidecar::start(SocketAddr::from(([127, 0, 0, 1], port)), &[CHECK, PATIENT].concat());
    let mut first = arrive(&gate, 0..clients).await;
    serve_the_held(&gate, &mut backend, &mut first).await;

    drop(backend);
    first.all_told(1012).await;
    let shut = "readygate_gate_verdict{route=\"*\",verdict=\"shut\"}";
    gate.until("the gate is shut", |metrics| metrics[shut] == 1.0).await;
    let mut backend = Apart::start(port);
    let mut second = arrive(&gate, clients..2 * clients).await;
    serve_the_held(&gate, &mut backend, &mut second).await;
    second.leave().await;

    let mut third = arrive(&gate, 0..clients).await;
    third.receive().await;
    third.talk(1).await;
    third.leave().await;
    let frames = (2 * clients * MESSAGES) as u64;
    assert_eq!(books(&gate).await, [frames, frames, 0, 0]);
}

/// Everybody has sent.
async fn arrive(gate: &Sidecar, numbers: Range<usize>) -> Wave {
    let mut wave = Wave(Vec::with_capacity(numbers.len()));
    let numbers: Vec<usize> = numbers.collect();
    for batch in numbers.chunks(load::AT_ONCE) {
        let arrive = batch.iter().map(async |number| {
            let stream = load::connect(gate.public, *number).await;
            let mut client = Client::upgraded(Raw::client(stream), format!("client {number}"));
            client.send(MESSAGES).await;
            client
        });
        wave.0.extend(join_all(arrive).await);
    }
    wave
}

/// All that everybody has sent is held; then it is answered, and everybody is open.
async fn serve_the_held(gate: &Sidecar, backend: &mut Apart, wave: &mut Wave) {
    gate.until("all frames are held", |metrics| metrics["readygate_hold_frames"] == wave.sent() as f64).await;
    backend.make_ready();
    wave.receive().await;
    let open = "readygate_sessions{state=\"open\"}";
    gate.until("all sessions are open", |metrics| metrics[open] == wave.0.len() as f64).await;
    wave.talk(1).await;
}
