//! readygate beside what people would use instead: direct, a bare relay, nginx, HAProxy and Caddy, in one run.
//!
//! `cargo bench --bench peers` runs everything (some ten minutes); `cargo bench --bench peers -- messages rounds=2` some of
//! it. Debian's packages nginx, haproxy and caddy are needed. Rounds are interleaved and medians printed; `target/peers.json`
//! has every value and `target/growth.svg` the growth of cost. What is measured is the program that `cargo build --release`
//! makes. The proxy runs on one CPU, clients and backend on another, but for the section of defaults, in which the proxies may
//! use both. Run it on a machine that does nothing else; differences below 10 % are ties. `-- load ws://HOST:PORT/PATH` puts
//! the same clients to an echo of one's own, and nothing else is needed or started.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod account;
mod backend;
mod connections;
mod contestants;
mod frames;
mod growth;
mod latency;
mod load;
mod machine;
mod memory;
mod messages;
mod plot;
mod poll;
mod relay;
mod report;
mod scan;
mod start;
mod targets;
mod trips;
mod visits;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use self::{
    backend::Backend,
    contestants::{Contestant, Kind, Proxy, Tuning},
    machine::Cpus,
    report::Report,
};

/// The parts, in the order in which they run.
const PARTS: [&str; 7] = ["messages", "latency", "connections", "memory", "growth", "start", "defaults"];

/// Begins the word that says how many rounds there are.
const ROUNDS: &str = "rounds=";

/// Odd, so that a median is a value; more gain little.
const DEFAULT_ROUNDS: usize = 5;

const PEERS: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::Caddy];

/// What every part has at hand.
pub(crate) struct Bench {
    pub(crate) cpus: Cpus,
    pub(crate) rounds: usize,
    pub(crate) report: Report,
}

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match &words[..] {
        [role] if role == backend::ROLE => return backend::serve(),
        [role, listen, to] if role == relay::ROLE => return relay::serve(listen.parse().unwrap(), to.parse().unwrap()),
        _ => {}
    }
    let (rounds, parts): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.starts_with(ROUNDS));
    let rounds = rounds.last().map_or(DEFAULT_ROUNDS, |word| word[ROUNDS.len()..].parse().expect("a number of rounds"));
    if let [role, url] = &parts[..]
        && role == load::ROLE
    {
        return own(url, rounds);
    }
    let unknown = parts.iter().find(|part| !PARTS.contains(&part.as_str()));
    assert_eq!(unknown, None, "the parts are {PARTS:?}");
    build();
    let versions = versions();
    println!("{}\n{versions}", machine::describe());
    println!("{} descriptors a process, {rounds} rounds", machine::raise_descriptors());
    let mut bench = Bench { cpus: Cpus::find(), rounds, report: Report::default() };
    println!("CPU {} for the proxy, CPU {} for clients and backend", bench.cpus.proxy, bench.cpus.load);
    bench.cpus.take_load();
    for part in PARTS.into_iter().filter(|part| parts.is_empty() || parts.iter().any(|word| word == part)) {
        bench.run(part);
    }
    bench.publish(&versions);
}

/// The load alone, to where `url` leads.
fn own(url: &str, rounds: usize) {
    let descriptors = machine::raise_descriptors();
    println!("{}\n{descriptors} descriptors, {rounds} rounds", machine::describe());
    let mut bench = Bench { cpus: Cpus::find(), rounds, report: Report::default() };
    load::run(&mut bench, load::place(url), descriptors);
    bench.report.print();
    let run = json!({ "machine": machine::describe(), "to": url, "rounds": rounds });
    save("load.json", &format!("{:#}\n", json!({ "run": run, "figures": bench.report.json() })));
}

/// Into `target/`.
fn save(name: &str, text: &str) {
    let file = target().join(name);
    fs::write(&file, text).unwrap();
    println!("{name}: {}", file.display());
}

impl Bench {
    /// Everything that stands between, one worker each.
    pub(crate) fn one_worker(&self) -> Vec<Contestant> {
        [Kind::Relay, Kind::Readygate].into_iter().chain(PEERS).map(Contestant::one_worker).collect()
    }

    /// The same, and nothing at all first.
    pub(crate) fn with_direct(&self) -> Vec<Contestant> {
        std::iter::once(Contestant::one_worker(Kind::Direct)).chain(self.one_worker()).collect()
    }

    /// Products as they come.
    pub(crate) fn defaults() -> Vec<Contestant> {
        let kinds = std::iter::once(Kind::Readygate).chain(PEERS);
        kinds.map(|kind| Contestant { kind, tuning: Tuning::Default }).collect()
    }

    /// Starts all of `contestants` in front of one backend, and gives each its `turns` in every round, in an order that
    /// goes round. Many short turns, for what disturbs a shared machine lasts a second or two: so it meets all of them, and
    /// a median passes over it.
    pub(crate) fn by_turns(
        &mut self,
        contestants: &[Contestant],
        turns: usize,
        mut turn: impl FnMut(&mut Self, Contestant, &Proxy),
    ) {
        let backend = Backend::warm();
        let proxies: Vec<Proxy> = contestants.iter().map(|one| one.start(backend.address, self.cpus)).collect();
        for first in 0..self.rounds * turns {
            for place in 0..contestants.len() {
                let index = (first + place) % contestants.len();
                turn(self, contestants[index], &proxies[index]);
            }
        }
    }

    fn run(&mut self, part: &str) {
        self.report.section(if part == "defaults" { "defaults, all CPUs" } else { "one worker each" });
        match part {
            "messages" => messages::run(self),
            "latency" => latency::run(self),
            "connections" => connections::run(self),
            "memory" => memory::run(self),
            "growth" => growth::run(self),
            "start" => start::run(self),
            "defaults" => {
                messages::defaults(self);
                connections::defaults(self);
            }
            other => unreachable!("{other} is none of {PARTS:?}"),
        }
    }

    /// The tables, the targets, and what goes into `target/`.
    fn publish(&self, versions: &str) {
        self.report.print();
        println!();
        let targets = targets::judge(&self.report);
        let machine = json!({ "machine": machine::describe(), "versions": versions, "rounds": self.rounds });
        let all: Value = json!({ "run": machine, "figures": self.report.json(), "targets": targets });
        println!();
        save("peers.json", &format!("{all:#}\n"));
        match plot::draw(&self.report) {
            Some(svg) => save("growth.svg", &svg),
            None => println!("no plot: it wants the parts memory and growth"),
        }
    }
}

/// The program as it ships: a benchmark's own build of it has the features that only tests need.
fn build() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--bin", "readygate", "--manifest-path"]).arg(manifest);
    assert!(command.status().unwrap().success(), "readygate could not be built");
}

/// One line for each program, or the panic that says what to install.
fn versions() -> String {
    let version = |name: &str, flag: &str| {
        let output = Command::new(machine::program(name)).arg(flag).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
        if line.contains(name) || line.contains("HAProxy") { line } else { format!("{name} {line}") }
    };
    [version("nginx", "-v"), version("haproxy", "-v"), version("caddy", "version")].join("\n")
}

/// Where cargo puts what it makes.
fn target() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_readygate"));
    program.ancestors().nth(2).unwrap().to_owned()
}
