//! What readygate promises to cost, held against what the others cost in the same run.

use serde_json::{Value, json};

use super::{
    connections, memory, messages,
    report::{Report, short},
    start,
};

/// Closer than that is a tie.
const TIE: f64 = 0.1;

/// Width of a target's name, and of a column.
const FIGURE: usize = 60;
const COLUMN: usize = 11;

const OURS: &str = "readygate";

/// Most that a silent open session may take, and a held one, in KiB.
const OPEN_KIB: f64 = 2.5;
const HELD_KIB: f64 = 6.0;

/// Longest way of a first message after the backend is ready, in milliseconds: in the middle, and of one in a hundred.
const FIRST_P50: f64 = 12.0;
const FIRST_P99: f64 = 20.0;

/// A release may take so many times as long as bare handshakes.
const RELEASE_FACTOR: f64 = 3.0;

/// A figure of readygate and what it must not exceed.
struct Target {
    figure: String,
    limit: Limit,
}

enum Limit {
    /// What one of the others has, so many times.
    Of(&'static str, f64),
    /// The least that any of these has.
    Least(&'static [&'static str]),
    Fixed(f64),
}

enum Verdict {
    Met,
    Tie,
    Missed,
}

/// Prints all that can be judged from this run.
pub(crate) fn judge(report: &Report) -> Value {
    println!("{:<FIGURE$}{OURS:>COLUMN$}{:>COLUMN$}  verdict", "target", "at most");
    let judged = targets().into_iter().filter_map(|target| {
        let own = report.median(&target.figure, OURS)?;
        let limit = target.limit.in_run(report, &target.figure)?;
        let verdict = Verdict::of(own, limit, &target.limit).label();
        let figure = format!("{} ({})", target.figure, target.limit.label());
        println!("{figure:<FIGURE$}{:>COLUMN$}{:>COLUMN$}  {verdict}", short(own), short(limit));
        Some(json!({ "target": figure, "readygate": own, "at_most": limit, "verdict": verdict }))
    });
    Value::Array(judged.collect())
}

fn targets() -> Vec<Target> {
    let target = |figure: String, limit| Target { figure, limit };
    let message = |name| messages::cpu_figure(name);
    let last = |steps: [usize; 4]| steps[steps.len() - 1];
    vec![
        target(message("64 B, 1 connection"), Limit::Of("nginx", 1.0)),
        target(message("64 B, 64 connections"), Limit::Of("nginx", 1.0)),
        target(message("64 KiB"), Limit::Of("haproxy", 1.0)),
        target(message("64 KiB"), Limit::Of("haproxy bulk", 1.0)),
        target(message("1 MiB"), Limit::Of("haproxy", 1.0)),
        target(message("1 MiB"), Limit::Of("haproxy bulk", 1.0)),
        target(connections::CPU.to_owned(), Limit::Of("nginx", 1.0)),
        target(memory::figure(last(memory::OPEN), "open"), Limit::Fixed(OPEN_KIB)),
        target(memory::figure(last(memory::HELD), "held"), Limit::Fixed(HELD_KIB)),
        target(start::P50.to_owned(), Limit::Fixed(FIRST_P50)),
        target(start::P99.to_owned(), Limit::Fixed(FIRST_P99)),
        target(start::WAITING.to_owned(), Limit::Least(&["haproxy", "haproxy eager", "caddy"])),
        target(start::RELEASE.to_owned(), Limit::Of("direct", RELEASE_FACTOR)),
    ]
}

impl Limit {
    fn in_run(&self, report: &Report, figure: &str) -> Option<f64> {
        match self {
            Self::Of(peer, factor) => Some(report.median(figure, peer)? * factor),
            Self::Least(peers) => peers.iter().filter_map(|peer| report.median(figure, peer)).reduce(f64::min),
            Self::Fixed(limit) => Some(*limit),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Of(peer, 1.0) => format!("<= {peer}"),
            Self::Of(peer, factor) => format!("<= {factor} x {peer}"),
            Self::Least(_) => "< every peer".to_owned(),
            Self::Fixed(limit) => format!("<= {limit}"),
        }
    }
}

impl Verdict {
    /// Only figures of two programs can tie.
    fn of(own: f64, limit: f64, kind: &Limit) -> Self {
        match kind {
            Limit::Of(_, 1.0) if (own / limit - 1.0).abs() < TIE => Self::Tie,
            Limit::Of(..) | Limit::Least(_) | Limit::Fixed(_) if own <= limit => Self::Met,
            Limit::Of(..) | Limit::Least(_) | Limit::Fixed(_) => Self::Missed,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Tie => "met (a tie)",
            Self::Missed => "NOT MET",
        }
    }
}
