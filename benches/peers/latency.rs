//! What a proxy adds to a message's way at low load.
//!
//! Messages go out by a timetable, whatever becomes of those before, and each latency counts from the moment at which its
//! message was due: a stall is felt by all that fall into it (no coordinated omission). The wake-up of the client is in
//! every figure, so only the difference to `direct` in the same round is the proxy's.

use std::time::Duration;

use super::{
    Bench,
    backend::Backend,
    contestants::Proxy,
    frames::{Message, SMALL},
    trips::timetable,
    visits,
};

/// Far below what any of them can do.
const PAUSE: Duration = Duration::from_millis(1);

/// Messages a turn, and those before that warm everything up.
const MESSAGES: usize = 2000;
const WARM_UP: usize = 100;

const SESSIONS: usize = 8;

/// Direct comes first in each round.
pub(crate) fn run(bench: &mut Bench) {
    let backend = Backend::warm();
    let contestants = bench.with_direct();
    let proxies: Vec<_> = contestants.iter().map(|one| one.start(backend.address, bench.cpus)).collect();
    for _ in 0..bench.rounds {
        let mut direct = None;
        for (contestant, proxy) in contestants.iter().zip(&proxies) {
            let (ends, name) = (ends(proxy), contestant.name());
            let base = *direct.get_or_insert(ends);
            note(bench, &name, ends);
            for (percent, own, base) in [("p50", ends[0], base[0]), ("p99", ends[1], base[1])] {
                bench.report.note(&format!("  added {percent} us"), &name, own - base);
            }
        }
    }
}

/// Two of the percentiles, 50 and 99, in microseconds.
pub(crate) fn ends(proxy: &Proxy) -> [f64; 2] {
    let streams = visits::open(proxy.public, SESSIONS, SESSIONS);
    let message = Message::new(SMALL, 1);
    timetable(&streams, &message, PAUSE, WARM_UP);
    let mut latencies = timetable(&streams, &message, PAUSE, MESSAGES);
    latencies.sort();
    [50, 99].map(|percent| percentile(&latencies, percent).as_secs_f64() * 1e6)
}

/// Into the report.
pub(crate) fn note(bench: &mut Bench, name: &str, ends: [f64; 2]) {
    for (percent, value) in ["p50", "p99"].into_iter().zip(ends) {
        bench.report.note(&format!("latency {percent} us at 1000/s"), name, value);
    }
}

/// Of what is in order.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() - 1) * percent / 100]
}
