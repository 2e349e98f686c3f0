//! The end: two ledgers side by side, one sentence about what was seen, and what to try next.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{ledger::Ledger, plan::Plan, running::Ledgers};

/// Columns of the names and of each ledger: 74 together.
const NAME_WIDTH: usize = 26;
const LEDGER_WIDTH: usize = 24;

/// A crowd worth a second look, and so the one suggested.
const CROWD: usize = 200;

/// Why the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was accounted for.
    Settled,
    OutOfTime,
    Interrupted,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) end: End,
    pub(super) ledgers: Ledgers,
    /// The most clients that the gate was seen to hold.
    pub(super) most_sessions: usize,
    /// The most messages.
    pub(super) most_frames: usize,
}

impl Report {
    /// Through the gate nothing went wrong, and each loss of the other column was seen where it happened.
    pub(super) fn is_good(&self) -> bool {
        self.end == End::Settled && self.ledgers.gated.is_clean() && adds_up(&self.ledgers.direct)
    }

    /// Prints it, to no more than 80 columns.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out)?;
        self.table().iter().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out)?;
        self.words().iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    }

    fn table(&self) -> Vec<String> {
        let Ledgers { direct, gated } = &self.ledgers;
        let count = |name: &str, of: fn(&Ledger) -> usize| row(name, &of(direct).to_string(), &of(gated).to_string());
        let held = format!("{} / {}", self.most_sessions, self.most_frames);
        vec![
            row("", "straight to the backend", "through the gate"),
            count("clients", |ledger| ledger.clients),
            count("  connected", |ledger| ledger.connected),
            count("  refused", |ledger| ledger.refused),
            count("  cut off", |ledger| ledger.cut),
            row("  time to connect p50", &time(direct.connect_p50), &time(gated.connect_p50)),
            row("                  p95", &time(direct.connect_p95), &time(gated.connect_p95)),
            row("held, clients / messages", "-", &held),
            count("messages planned", |ledger| ledger.planned),
            count("  never sent", Ledger::unsent),
            count("  sent", |ledger| ledger.sent),
            count("  delivered", |ledger| ledger.delivered),
            count("  answered", |ledger| ledger.answered),
            count("  lost", Ledger::lost),
            count("  doubled", |ledger| ledger.doubled),
            count("  out of order", |ledger| ledger.out_of_order),
            count("  changed", |ledger| ledger.changed),
            row("first answer after ready", &time(direct.first_answer), &time(gated.first_answer)),
        ]
    }

    fn words(&self) -> Vec<String> {
        let Ledgers { direct, gated } = &self.ledgers;
        let mut words = Vec::new();
        match self.end {
            End::Settled => {}
            End::OutOfTime => words.push(format!(
                "Stopped at the limit of {} s: what was under way counts as lost.",
                self.plan.limit().as_secs()
            )),
            End::Interrupted => words.push("Interrupted: what was under way counts as lost.".to_owned()),
        }
        if self.end == End::Settled && !adds_up(direct) {
            words.push("The books of the column without the gate do not add up: do not trust it.".to_owned());
        }
        words.push(format!("Straight: {}.", seen_directly(direct)));
        words.push(format!("Gated: {}.", seen_gated(gated)));
        words.push(self.advice());
        words
    }

    fn advice(&self) -> String {
        if self.plan.clients >= CROWD {
            return "Next: put it in front of your own backend, and try readygate check --live".to_owned();
        }
        format!("Next: readygate demo --clients {CROWD} --delay 5s")
    }
}

/// Each client has an end, and each lost message was seen to be dropped.
fn adds_up(direct: &Ledger) -> bool {
    let all_ended = direct.connected + direct.refused == direct.clients && direct.cut == 0;
    all_ended && direct.lost() == direct.dropped && direct.answered == direct.delivered
}

fn seen_directly(direct: &Ledger) -> String {
    let Ledger { clients, refused, sent, .. } = direct;
    let lost = direct.lost();
    if refused + lost == 0 {
        return "nothing was lost, for nothing came before the backend was ready".to_owned();
    }
    format!("{refused} of {clients} clients were refused, {lost} of {sent} messages lost")
}

fn seen_gated(gated: &Ledger) -> String {
    let Ledger { clients, planned, connected, .. } = gated;
    if gated.is_clean() {
        return format!("{clients} clients connected, {planned} messages answered, once and in order");
    }
    let bad = gated.doubled + gated.out_of_order + gated.changed;
    let (lost, unsent) = (gated.lost(), gated.unsent());
    format!("{connected} of {clients} connected; {lost} messages lost, {unsent} not sent, {bad} not as sent")
}

fn row(name: &str, direct: &str, gated: &str) -> String {
    format!("{name:<NAME_WIDTH$}{direct:>LEDGER_WIDTH$}{gated:>LEDGER_WIDTH$}")
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}
