//! What readygate costs, measured on the real process over the loopback.
//!
//! `cargo bench --bench readygate` runs everything (some five minutes); `cargo bench --bench readygate -- connect memory` some
//! of it, and `idle seconds=10` looks at the process at rest for that long instead of a minute. Each prints a table, and at the
//! end comes one line of JSON with every figure. Clients and backend live in this process, so only readygate's own memory and
//! CPU time are readygate's. `round`, `idle` and `return` want what the tests of the checks want (redis-server, PostgreSQL and
//! `tests/.venv`), `restart` the last of these; `tests/run` installs them all. Beside its peers readygate is measured by
//! `cargo bench --bench peers`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod backend;
mod comeback;
mod connect;
mod cpu;
mod dependencies;
mod figures;
mod idle;
mod load;
mod memory;
mod process;
mod release;
mod restart;
mod round;
#[path = "../../tests/integration/race/sidecar.rs"]
mod sidecar;

use std::{env, time::Duration};

use self::figures::Report;

/// The parts, in the order in which they run.
const PARTS: [&str; 8] = ["connect", "release", "memory", "cpu", "round", "idle", "return", "restart"];

/// Begins the word that says how long [`idle`] takes.
const SECONDS: &str = "seconds=";

fn main() {
    let mut words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [role, to] = &words[..]
        && role == cpu::RELAY
    {
        return runtime.block_on(cpu::relay(to.parse().unwrap()));
    }
    let idle_for = seconds(&mut words).unwrap_or(idle::TIME);
    let unknown = words.iter().find(|word| !PARTS.contains(&word.as_str()));
    assert_eq!(unknown, None, "the parts are {PARTS:?}");
    let mut report = Report::default();
    for part in PARTS.into_iter().filter(|part| words.is_empty() || words.iter().any(|word| word == part)) {
        runtime.block_on(run(part, &mut report, idle_for));
    }
    println!("\n{}", report.json());
}

/// Takes the word that begins with [`SECONDS`].
fn seconds(words: &mut Vec<String>) -> Option<Duration> {
    let index = words.iter().position(|word| word.starts_with(SECONDS))?;
    let count = words.remove(index)[SECONDS.len()..].parse().expect("a number of seconds");
    Some(Duration::from_secs(count))
}

async fn run(part: &str, report: &mut Report, idle_for: Duration) {
    match part {
        "connect" => connect::run(report).await,
        "release" => release::run(report).await,
        "memory" => memory::run(report).await,
        "cpu" => cpu::run(report).await,
        "round" => round::run(report).await,
        "idle" => idle::run(report, idle_for).await,
        "return" => comeback::run(report).await,
        "restart" => restart::run(report).await,
        other => unreachable!("{other} is none of {PARTS:?}"),
    }
}
