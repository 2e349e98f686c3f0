//! What a session costs in memory, open and silent, or held.
//!
//! The process's own memory, without its code and without the kernel's socket buffers; what it had after some came
//! and went is taken off. Every contestant starts anew, and its sessions grow from step to step.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{
    Bench,
    account::{descriptors, memory},
    backend::Backend,
    contestants::{Contestant, Kind},
    frames::{Message, Place, SMALL},
    visits::{self, Plan, Then, visit},
};

/// Sessions open, step by step; each takes two descriptors of the proxy's.
pub(crate) const OPEN: [usize; 4] = [10, 100, 1000, 5000];

/// Sessions held; a limit of 20,000 open files carries no more than 9,904.
pub(crate) const HELD: [usize; 4] = [10, 100, 1000, 9_900];

/// Small frames that each held session has sent.
pub(crate) const FRAMES: usize = 5;

/// Sessions that come and go before the first look: code is paged in, and what handshakes need for a moment is there.
const WARM_UP: usize = 500;

/// Handshakes under way at a time: below any listener's backlog.
pub(crate) const AT_ONCE: usize = 64;

/// For memory that is freed late, or frames that are still on their way.
const WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Held sessions wait until they are told otherwise.
const HELD_FRAMES: &str = "readygate_hold_frames";

/// The figure of one step.
pub(crate) fn figure(sessions: usize, state: &str) -> String {
    format!("KiB a session, {sessions} {state}")
}

/// Open first, then held.
pub(crate) fn run(bench: &mut Bench) {
    for contestant in bench.one_worker() {
        open(bench, contestant);
    }
    held(bench);
    bench.report.remark("nginx, HAProxy and Caddy do not hold a session: their clients wait for the 101".to_owned());
}

fn open(bench: &mut Bench, contestant: Contestant) {
    let backend = Backend::warm();
    let proxy = contestant.start(backend.address, bench.cpus);
    let pid = proxy.pid().unwrap();
    let first = Message::new(SMALL, FRAMES);
    let warm_up =
        Plan { to: proxy.public, clients: WARM_UP, at_once: AT_ONCE, first: Some(&first), then: Then::Closed };
    visit(warm_up).all();
    let (before, mut streams) = (memory(pid), Vec::new());
    for sessions in OPEN {
        streams.extend(visits::open(proxy.public, sessions - streams.len(), AT_ONCE));
        assert!(descriptors(pid) >= 2 * sessions, "a session of a proxy has two sockets");
        bench.report.note(&figure(sessions, "open"), &contestant.name(), kib(memory(pid) - before, sessions));
    }
}

fn held(bench: &mut Bench) {
    let contestant = Contestant::one_worker(Kind::Readygate);
    let backend = Backend::cold();
    let proxy = contestant.start(backend.address, bench.cpus);
    let pid = proxy.pid().unwrap();
    let mut streams = hold(proxy.public, AT_ONCE);
    until_held(proxy.admin, AT_ONCE);
    let before = memory(pid);
    // Those of the warm-up wait too, and count against the most that may be held.
    let most = HELD[HELD.len() - 1] - AT_ONCE;
    for sessions in HELD {
        let counted = sessions.min(most);
        streams.extend(hold(proxy.public, counted + AT_ONCE - streams.len()));
        until_held(proxy.admin, streams.len());
        bench.report.note(&figure(sessions, "held"), &contestant.name(), kib(memory(pid) - before, counted));
    }
}

/// So many sessions that have sent [`FRAMES`].
pub(crate) fn hold(to: Place, clients: usize) -> Vec<TcpStream> {
    let first = Message::new(SMALL, FRAMES);
    visit(Plan { to, clients, at_once: AT_ONCE, first: Some(&first), then: Then::Stay }).all()
}

/// Waits until readygate holds all frames of so many sessions.
pub(crate) fn until_held(admin: SocketAddr, sessions: usize) {
    let (began, wanted) = (Instant::now(), (sessions * FRAMES) as f64);
    while held_frames(admin) != wanted {
        assert!(began.elapsed() < WITHIN, "waited in vain until {sessions} sessions are held");
        thread::sleep(LOOK);
    }
}

fn held_frames(admin: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(HELD_FRAMES)?.strip_prefix(' '));
    lines.map(|value| value.trim().parse::<f64>().unwrap()).sum()
}

fn kib(bytes: f64, sessions: usize) -> f64 {
    bytes / sessions as f64 / 1024.0
}
