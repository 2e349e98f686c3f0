//! What a message costs the more sessions are open: the same load, spread over all of them.

use super::{
    Bench,
    account::Cpu,
    backend::Backend,
    frames::{Message, SMALL},
    memory::{AT_ONCE, OPEN},
    trips::Loop,
    visits,
};

/// Sessions that talk at a time: all of the fewest.
const TALKING: usize = OPEN[0];

/// Round trips of a turn, and those before it.
const MESSAGES: usize = 30_000;
const WARM_UP: usize = 6000;

/// The figure of one step.
pub(crate) fn figure(sessions: usize) -> String {
    format!("CPU us a message, {sessions} open")
}

/// One contestant after the other, in every round anew.
pub(crate) fn run(bench: &mut Bench) {
    let message = Message::new(SMALL, 1);
    for _ in 0..bench.rounds {
        for contestant in bench.one_worker() {
            let backend = Backend::warm();
            let proxy = contestant.start(backend.address, bench.cpus);
            let pid = proxy.pid().unwrap();
            let mut streams = Vec::new();
            for sessions in OPEN {
                streams.extend(visits::open(proxy.public, sessions - streams.len(), AT_ONCE));
                let mut clients = Loop::new(&streams);
                clients.run(&message, TALKING, WARM_UP);
                let before = Cpu::of(pid);
                clients.run(&message, TALKING, MESSAGES);
                let used = Cpu::of(pid).since(&before).as_secs_f64();
                bench.report.note(&figure(sessions), &contestant.name(), used / MESSAGES as f64 * 1e6);
            }
        }
    }
}
