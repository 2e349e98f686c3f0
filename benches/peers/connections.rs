//! What a connection costs: upgrade, one echo, close.

use super::{
    Bench,
    account::Cpu,
    contestants::{Contestant, Proxy},
    frames::{Message, SMALL},
    machine::{self, between},
    visits::{Plan, Then, visit},
};

/// Of a round: the figures of short turns lie some 5 % apart, and a tie is to be told from a tenth.
const TURNS: usize = 16;

/// Of one turn, and those before that warm everything up.
const CONNECTIONS: usize = 1000;
const WARM_UP: usize = 50;

/// Under way at a time: enough to keep a proxy busy.
const AT_ONCE: usize = 16;

/// Looked at by the targets.
pub(crate) const CPU: &str = "CPU us a connection";

/// With one worker each.
pub(crate) fn run(bench: &mut Bench) {
    bench.by_turns(&bench.with_direct(), TURNS, turn);
}

/// With the defaults of each.
pub(crate) fn defaults(bench: &mut Bench) {
    bench.by_turns(&Bench::defaults(), TURNS, turn);
}

/// Once.
pub(crate) fn turn(bench: &mut Bench, contestant: Contestant, proxy: &Proxy) {
    let (name, first) = (contestant.name(), Message::new(SMALL, 1));
    let plan = |clients| Plan { to: proxy.public, clients, at_once: AT_ONCE, first: Some(&first), then: Then::Closed };
    visit(plan(WARM_UP)).all();
    let (before, began) = (proxy.pid().map(Cpu::of), machine::now());
    visit(plan(CONNECTIONS)).all();
    let took = between(began, machine::now()).as_secs_f64();
    if let (Some(before), Some(pid)) = (before, proxy.pid()) {
        let used = Cpu::of(pid).since(&before).as_secs_f64();
        bench.report.note(CPU, &name, used / CONNECTIONS as f64 * 1e6);
        bench.report.note("  proxy busy %, connections", &name, used / took * 100.0);
    }
    bench.report.note("  connections/s", &name, CONNECTIONS as f64 / took);
}
