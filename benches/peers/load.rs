//! The same clients at an address of one's own: `cargo bench --bench peers -- load ws://127.0.0.1:8080/echo`.
//!
//! Whoever listens there must send every message back. Nothing else is started, nobody is pinned, and no account is taken of
//! the other side's CPU, so a figure says what clients of one thread could get from it. Every part is bounded by a count.

use std::net::ToSocketAddrs;

use super::{
    Bench, connections,
    contestants::{Contestant, Kind, Proxy},
    frames::{Message, Place, SMALL},
    latency, machine,
    machine::between,
    memory::{AT_ONCE, OPEN},
    messages,
    trips::Loop,
    visits,
};

/// The word before the address.
pub(crate) const ROLE: &str = "load";

/// Sessions that are opened and stay silent.
const IDLE: usize = OPEN[OPEN.len() - 1];

/// Descriptors that this program needs for itself.
const OWN: u64 = 100;

/// Where `url` leads.
pub(crate) fn place(url: &str) -> Place {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    assert!(!url.starts_with("wss://") && !url.starts_with("https://"), "the load is in the clear: ws:// or http://");
    let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let address = host.to_socket_addrs().expect("HOST:PORT").next().expect("an address");
    Place { address, path: path.to_owned().leak() }
}

/// Round trips, floods, bulk, latency by a timetable, handshakes, and sessions that are only open.
pub(crate) fn run(bench: &mut Bench, place: Place, descriptors: u64) {
    bench.report.section(place.path);
    let contestant = Contestant::one_worker(Kind::Target);
    let proxy = Proxy::elsewhere(place);
    for _ in 0..bench.rounds {
        messages::all(bench, contestant, &proxy);
        let ends = latency::ends(&proxy);
        latency::note(bench, &contestant.name(), ends);
        connections::turn(bench, contestant, &proxy);
        idle(bench, contestant, &proxy, descriptors);
    }
}

/// As many as there are descriptors for. Each talks once at the end, so that they were open is known and not thought.
fn idle(bench: &mut Bench, contestant: Contestant, proxy: &Proxy, descriptors: u64) {
    let sessions = IDLE.min(usize::try_from(descriptors - OWN).unwrap());
    let began = machine::now();
    let streams = visits::open(proxy.public, sessions, AT_ONCE);
    let took = between(began, machine::now()).as_secs_f64();
    Loop::new(&streams).run(&Message::new(SMALL, 1), AT_ONCE, sessions);
    bench.report.note("idle sessions", &contestant.name(), sessions as f64);
    bench.report.note("  opened/s", &contestant.name(), sessions as f64 / took);
}
