//! A cold start: clients come while the backend refuses connections, and some survive.
//!
//! With readygate they are accepted at once; with the others the handshake itself waits, as long as the proxy goes on
//! dialling. The clock starts when the backend listens.

use std::{thread, time::Duration};

use super::{
    Bench,
    account::Cpu,
    backend::Backend,
    contestants::{Contestant, Kind, Tuning},
    frames::{Message, SMALL},
    latency::percentile,
    machine::{self, between},
    memory::{self, AT_ONCE, FRAMES},
    visits::{Plan, Then, receive, visit},
};

/// Clients of a start.
const CLIENTS: usize = 200;

/// What a start takes, and up to so much more at random, so that no rhythm of dials is met by chance.
const BOOT: Duration = Duration::from_secs(3);
const SPREAD: Duration = Duration::from_millis(200);

/// The first clients are there: from here to the end of the start everybody waits.
const ARRIVAL: Duration = Duration::from_millis(500);

/// Starts of each in one round.
const STARTS: usize = 1;

/// As many as can be held and then open: two descriptors each.
const RELEASED: usize = 9000;

pub(crate) const P50: &str = "first echo after ready p50 ms";
pub(crate) const P99: &str = "first echo after ready p99 ms";
pub(crate) const WAITING: &str = "CPU ms while waiting";
pub(crate) const RELEASE: &str = "9000 sessions, ready to last echo ms";

/// Every proxy, those included that only give up.
pub(crate) fn run(bench: &mut Bench) {
    let mut contestants = bench.one_worker();
    contestants.retain(|contestant| contestant.kind != Kind::Relay);
    contestants.push(Contestant { kind: Kind::Haproxy, tuning: Tuning::Eager });
    for _ in 0..bench.rounds * STARTS {
        for contestant in &contestants {
            start(bench, *contestant);
        }
    }
    bench.report.remark("nginx does not wait for a backend that refuses connections: its clients get a 502".to_owned());
    bench
        .report
        .remark("HAProxy dials again 100 ms after a refusal, eager: 20 ms; Caddy 50 ms (lb_try_interval)".to_owned());
    for _ in 0..bench.rounds {
        release(bench);
    }
}

fn start(bench: &mut Bench, contestant: Contestant) {
    let mut backend = Backend::cold();
    let proxy = contestant.start(backend.address, bench.cpus);
    let (pid, cpus) = (proxy.pid().unwrap(), bench.cpus);
    let boot = thread::spawn(move || {
        cpus.take_load();
        thread::sleep(ARRIVAL);
        let before = Cpu::of(pid);
        thread::sleep(BOOT - ARRIVAL + SPREAD.mul_f64(fastrand::f64()));
        let waiting = Cpu::of(pid).since(&before);
        (backend.listen(), waiting, backend)
    });
    let first = Message::new(SMALL, 1);
    let plan = Plan { to: proxy.public, clients: CLIENTS, at_once: CLIENTS, first: Some(&first), then: Then::Echoed };
    let visits = visit(plan);
    let (ready, waiting, _backend) = boot.join().unwrap();
    let name = contestant.name();
    bench.report.note("survived a cold start %", &name, visits.done.len() as f64 / CLIENTS as f64 * 100.0);
    let mut done: Vec<_> = visits.done.iter().map(|at| between(ready, *at)).collect();
    done.sort();
    if done.is_empty() {
        return;
    }
    bench.report.note(P50, &name, percentile(&done, 50).as_secs_f64() * 1e3);
    bench.report.note(P99, &name, percentile(&done, 99).as_secs_f64() * 1e3);
    bench.report.note(WAITING, &name, waiting.as_secs_f64() * 1e3);
}

/// Everybody at once, beside as many that come when the backend is there and nothing stands between.
fn release(bench: &mut Bench) {
    let contestant = Contestant::one_worker(Kind::Readygate);
    let mut backend = Backend::cold();
    let proxy = contestant.start(backend.address, bench.cpus);
    let streams = memory::hold(proxy.public, RELEASED);
    memory::until_held(proxy.admin, RELEASED);
    let message = Message::new(SMALL, FRAMES);
    let ready = backend.listen();
    let done = receive(&streams, message.echo);
    bench.report.note(RELEASE, &contestant.name(), between(ready, *done.last().unwrap()).as_secs_f64() * 1e3);
    drop((proxy, streams));
    let began = machine::now();
    let plan = Plan {
        to: backend.address.into(),
        clients: RELEASED,
        at_once: AT_ONCE,
        first: Some(&message),
        then: Then::Echoed,
    };
    let visits = visit(plan);
    let took = between(began, *visits.done.last().unwrap());
    visits.all();
    bench.report.note(RELEASE, "direct", took.as_secs_f64() * 1e3);
}
