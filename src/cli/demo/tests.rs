#![allow(clippy::unwrap_used, clippy::expect_used)]

use clap::Parser;

use super::{
    ledger::{Ledger, Phase},
    *,
};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Keeps every scene.
struct Watch<'a>(&'a mut Vec<Scene>);

impl Show for Watch<'_> {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        self.0.push(scene.clone());
        Ok(())
    }
}

async fn watch(plan: Plan) -> (Report, Vec<Scene>) {
    let mut scenes = Vec::new();
    let report = play(plan, Watch(&mut scenes)).await.unwrap();
    (report, scenes)
}

#[tokio::test]
async fn the_whole_demo_loses_without_the_gate_and_nothing_with_it() {
    let (report, scenes) = watch(Plan { clients: 5, frames: 3, delay: Duration::from_millis(300) }).await;
    let (direct, gated) = (&report.ledgers.direct, &report.ledgers.gated);
    assert!(gated.is_clean() && report.is_good(), "{report:?}");
    assert!(direct.refused + direct.lost() > 0 && !direct.is_clean(), "{report:?}");
    assert_eq!((gated.answered, direct.connected + direct.refused), (15, 5));
    let last = scenes.last().unwrap();
    assert_eq!((last.direct.phase, last.gated.phase), (Phase::Ready, Phase::Ready));
}

#[tokio::test]
async fn a_backend_that_is_ready_at_once_loses_nothing_on_either_side() {
    let (report, _) = watch(Plan { clients: 3, frames: 2, delay: Duration::ZERO }).await;
    assert!(report.ledgers.direct.is_clean() && report.is_good(), "{report:?}");
    assert!(printed(&report).contains("nothing was lost, for nothing came before the backend"), "{report:?}");
}

#[tokio::test]
async fn the_lines_are_few_and_the_report_is_a_table() {
    let plan = Plan { clients: 2, frames: 50, delay: Duration::from_millis(100) };
    let mut out = Vec::new();
    let report = play(plan, Plain::new(&mut out)).await.unwrap();
    let lines = String::from_utf8(out).unwrap();
    // The heading, ten steps, three phases in two columns and two verdicts, of two lines each.
    assert!((4..=2 + 2 * 20).contains(&lines.lines().count()), "{lines}");
    assert!(lines.contains("backend ready") && !lines.contains('\x1b'), "{lines}");
    assert!(printed(&report).lines().all(|line| line.len() <= 80), "{report:?}");
}

#[test]
fn a_loss_through_the_gate_is_told_and_fails() {
    let ledger =
        Ledger { clients: 2, connected: 2, planned: 4, sent: 4, delivered: 4, answered: 4, ..Ledger::default() };
    let report = |gated, end| {
        let plan = Plan { clients: 2, frames: 2, delay: Duration::ZERO };
        let ledgers = running::Ledgers { direct: ledger.clone(), gated };
        Report { plan, end, ledgers, most_sessions: 0, most_frames: 0 }
    };
    assert!(report(ledger.clone(), End::Settled).is_good());
    assert!(!report(ledger.clone(), End::OutOfTime).is_good());
    let bad = report(Ledger { delivered: 3, answered: 3, doubled: 2, ..ledger.clone() }, End::Settled);
    assert!(!bad.is_good());
    let said = "Gated: 2 of 2 connected; 1 messages lost, 0 not sent, 2 not as sent.";
    assert!(printed(&bad).contains(said), "{}", printed(&bad));
}

#[test]
fn a_loss_that_nobody_saw_makes_the_demo_fail() {
    let clean =
        Ledger { clients: 1, connected: 1, planned: 2, sent: 2, delivered: 2, answered: 2, ..Ledger::default() };
    let unseen = Ledger { delivered: 1, answered: 1, ..clean.clone() };
    let plan = Plan { clients: 1, frames: 2, delay: Duration::ZERO };
    let ledgers = running::Ledgers { direct: unseen, gated: clean };
    let report = Report { plan, end: End::Settled, ledgers, most_sessions: 0, most_frames: 0 };
    assert!(!report.is_good() && printed(&report).contains("do not add up"));
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    for (argument, said) in [
        ("--clients=0", "1..=2000"),
        ("--clients=2001", "1..=2000"),
        ("--frames=0", "1..=1000"),
        ("--frames=1001", "1..=1000"),
        ("--delay=61s", "at most 1m"),
        ("--delay=soon", "for example 3s"),
    ] {
        let error = Line::try_parse_from(["demo", argument]).unwrap_err().to_string();
        assert!(error.contains(said), "{argument}: {error}");
    }
    let line = Line::try_parse_from(["demo", "--clients=2000", "--frames=1", "--delay=0s"]).unwrap();
    assert_eq!((line.options.clients, line.options.delay), (2000, Duration::ZERO));
}

fn printed(report: &Report) -> String {
    let mut out = Vec::new();
    report.print(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}
