//! What a message costs once a session is open: CPU of the proxy, and how many there can be.
//!
//! A message is a round trip: one frame from the client, and its echo. The load is a closed loop; where the proxy was not
//! busy all the time, the clients were the limit, and the rate says less than the CPU a message.

use super::{
    Bench,
    account::Cpu,
    contestants::{Contestant, Kind, Proxy, Tuning},
    frames::{Message, SMALL},
    trips::{Loop, verify},
    visits,
};

/// Frames that a client of the flood sends in one piece: some 64 KiB.
const BATCH: usize = 936;

/// Turns of a round.
const TURNS: usize = 4;

/// Handshakes under way at a time.
const AT_ONCE: usize = 16;

const KIB: usize = 1024;

/// One way to talk.
struct Workload {
    name: &'static str,
    payload: usize,
    /// Frames in one piece.
    batch: usize,
    connections: usize,
    /// Pieces in one turn: a tenth of a second of CPU or more.
    pieces: usize,
    says: Says,
    /// Whether proxies that can be made for bulk run once more that way.
    bulk: bool,
}

/// What the rate is given in.
#[derive(Clone, Copy)]
enum Says {
    Messages,
    Megabytes,
}

const SMALL_ONE: Workload = Workload {
    name: "64 B, 1 connection",
    payload: SMALL,
    batch: 1,
    connections: 1,
    pieces: 5000,
    says: Says::Messages,
    bulk: false,
};

const SMALL_MANY: Workload = Workload {
    name: "64 B, 64 connections",
    payload: SMALL,
    batch: 1,
    connections: 64,
    pieces: 15_000,
    says: Says::Messages,
    bulk: false,
};

const FLOOD: Workload = Workload {
    name: "64 B, flood",
    payload: SMALL,
    batch: BATCH,
    connections: 8,
    pieces: 1500,
    says: Says::Messages,
    bulk: true,
};

const MEDIUM: Workload = Workload {
    name: "64 KiB",
    payload: 64 * KIB,
    batch: 1,
    connections: 4,
    pieces: 2500,
    says: Says::Megabytes,
    bulk: true,
};

const LARGE: Workload = Workload {
    name: "1 MiB",
    payload: 1024 * KIB,
    batch: 1,
    connections: 4,
    pieces: 175,
    says: Says::Megabytes,
    bulk: true,
};

const ALL: [Workload; 5] = [SMALL_ONE, SMALL_MANY, FLOOD, MEDIUM, LARGE];

/// With one worker each, on a CPU of its own.
pub(crate) fn run(bench: &mut Bench) {
    for workload in ALL {
        let mut contestants = bench.with_direct();
        if workload.bulk {
            contestants.extend([Kind::Nginx, Kind::Haproxy].map(|kind| Contestant { kind, tuning: Tuning::Bulk }));
        }
        bench.by_turns(&contestants, TURNS, |bench, one, proxy| turn(bench, &workload, one, proxy));
    }
}

/// With the defaults of each, on all CPUs.
pub(crate) fn defaults(bench: &mut Bench) {
    for workload in [SMALL_MANY, MEDIUM] {
        bench.by_turns(&Bench::defaults(), TURNS, |bench, one, proxy| turn(bench, &workload, one, proxy));
    }
}

/// Every workload once.
pub(crate) fn all(bench: &mut Bench, contestant: Contestant, proxy: &Proxy) {
    for workload in ALL {
        turn(bench, &workload, contestant, proxy);
    }
}

/// The name of the figure that the targets look at.
pub(crate) fn cpu_figure(workload: &str) -> String {
    format!("CPU us a message, {workload}")
}

fn turn(bench: &mut Bench, workload: &Workload, contestant: Contestant, proxy: &Proxy) {
    let message = Message::new(workload.payload, workload.batch);
    let streams = visits::open(proxy.public, workload.connections, AT_ONCE);
    verify(&streams[0], workload.payload);
    let mut clients = Loop::new(&streams);
    clients.run(&message, workload.connections, workload.pieces / 20);
    let before = proxy.pid().map(Cpu::of);
    let took = clients.run(&message, workload.connections, workload.pieces).as_secs_f64();
    let name = contestant.name();
    let count = (workload.pieces * workload.batch) as f64;
    if let (Some(before), Some(pid)) = (before, proxy.pid()) {
        let used = Cpu::of(pid).since(&before).as_secs_f64();
        bench.report.note(&cpu_figure(workload.name), &name, used / count * 1e6);
        bench.report.note(&format!("  proxy busy %, {}", workload.name), &name, used / took * 100.0);
    }
    let (rate, value) = match workload.says {
        Says::Messages => ("messages/s", count / took),
        Says::Megabytes => ("MB/s each way", count * workload.payload as f64 / took / 1e6),
    };
    bench.report.note(&format!("  {rate}, {}", workload.name), &name, value);
}
