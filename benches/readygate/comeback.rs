//! How soon after a dependency is back the clients that waited for it are released.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    backend::{Backend, CHECK, Event},
    dependencies::Redis,
    figures::{Report, Sample},
    load,
    sidecar::Sidecar,
};

/// Clients that wait.
const CLIENTS: usize = 200;

/// Outages, all of one readygate.
const ROUNDS: usize = 11;

/// An outage lasts at least this long with everybody waiting: past the breaker's failures, so that pauses have grown.
const OUTAGE: Duration = Duration::from_secs(2);

/// And up to so much longer, at random, so that no rhythm of the checks is met by chance.
const SPREAD: Duration = Duration::from_millis(500);

/// Between two looks whether redis-server answers: the grain of the figures.
const LOOK: Duration = Duration::from_micros(500);

/// Only a benchmark that hangs reaches it.
const WITHIN: Duration = Duration::from_secs(60);

/// Most from the return to the last release, in milliseconds.
const TARGET: f64 = 1000.0;

const READY: &str = "Ready to accept connections";

/// From the first PONG to the first frame and the last that the backend has.
struct Round {
    first: Duration,
    last: Duration,
}

/// Killed and started again, with everybody waiting.
pub(crate) async fn run(report: &mut Report) {
    println!("\nreturn of a killed Redis with {CLIENTS} clients held, {ROUNDS} outages of {OUTAGE:?} and more");
    let (mut redis, mut backend) = (Redis::start(&[]), Backend::start(true, true));
    let checks = format!("{CHECK}[dependencies.cache]\ncheck = \"redis://127.0.0.1:{}\"\n", redis.port);
    let gate = Sidecar::start(backend.address, &checks);
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let round;
        (redis, round) = outage(redis, &gate, &mut backend).await;
        rounds.push(round);
    }
    let sample = |field: fn(&Round) -> Duration| Sample::new(rounds.iter().map(field).collect());
    for (name, sample) in [("first", sample(|round| round.first)), ("last", sample(|round| round.last))] {
        report.note(&format!("return: PONG to {name} frame p50 ms"), sample.millis(50), None);
        report.note(&format!("return: PONG to {name} frame max ms"), sample.millis(100), Some(TARGET));
    }
}

async fn outage(mut redis: Redis, gate: &Sidecar, backend: &mut Backend) -> (Redis, Round) {
    until_verdict(gate, "open").await;
    redis.kill();
    until_verdict(gate, "shut").await;
    let held = load::crowd(gate.public, CLIENTS, 1).await;
    gate.until("all frames are held", |metrics| metrics["readygate_hold_frames"] == CLIENTS as f64).await;
    sleep(OUTAGE + SPREAD.mul_f64(fastrand::f64())).await;
    let port = redis.port;
    let pong = spawn_blocking(move || first_pong(port));
    let restart = spawn_blocking(move || {
        redis.restart(&[], READY);
        redis
    });
    let frames = timeout(WITHIN, frames(backend)).await.expect("all frames arrive");
    let pong = pong.await.unwrap();
    let [first, last] =
        [frames.iter().min(), frames.iter().max()].map(|at| at.unwrap().saturating_duration_since(pong));
    drop(held);
    (restart.await.unwrap(), Round { first, last })
}

async fn until_verdict(gate: &Sidecar, verdict: &str) {
    let name = format!("readygate_gate_verdict{{route=\"*\",verdict=\"{verdict}\"}}");
    gate.until(verdict, |metrics| metrics[&name] == 1.0).await;
}

/// When the backend had each frame.
async fn frames(backend: &mut Backend) -> Vec<Instant> {
    let mut frames = Vec::with_capacity(CLIENTS);
    while frames.len() < CLIENTS {
        match backend.events.recv().await.unwrap() {
            Event::Asked(_) => {}
            Event::Frame(at) => frames.push(at),
        }
    }
    frames
}

/// Asks again and again; the moment of the first answer. Blocks.
fn first_pong(port: u16) -> Instant {
    loop {
        if ping(port).is_ok_and(|answer| answer == *b"+PONG\r\n") {
            return Instant::now();
        }
        thread::sleep(LOOK);
    }
}

fn ping(port: u16) -> std::io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
