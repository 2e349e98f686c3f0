//! Lines for whatever is no terminal: a few for each thing that happens, and one more for each tenth of the way.

use std::{
    io::{self, Write},
    mem::Discriminant,
};

use super::{
    Show,
    column::Picture,
    gated::Holding,
    ledger::{Ledger, Phase},
    running::Scene,
};
use crate::gate::Verdict;

/// Parts of the way after which a line is due.
const STEPS: usize = 10;

/// Writes lines when something happened.
pub(super) struct Plain<W: Write> {
    out: W,
    last: Option<Happened>,
}

/// A change of this is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Happened {
    direct: Phase,
    gated: Phase,
    verdict: Discriminant<Verdict>,
    steps: usize,
}

impl<W: Write> Plain<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, last: None }
    }

    fn heading(&mut self, scene: &Scene) -> io::Result<()> {
        writeln!(self.out, "{}", super::screen::heading(scene.plan))?;
        writeln!(self.out, "Each connects at once when it comes, sends at its own pace, and never tries again.")
    }
}

impl<W: Write> Show for Plain<W> {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        let happened = Happened {
            direct: scene.direct.phase,
            gated: scene.gated.phase,
            verdict: std::mem::discriminant(&scene.holding.verdict),
            steps: steps(scene),
        };
        if self.last.as_ref() == Some(&happened) {
            return Ok(());
        }
        if self.last.is_none() {
            self.heading(scene)?;
        }
        self.last = Some(happened);
        lines(scene).iter().try_for_each(|line| writeln!(self.out, "{line}"))?;
        self.out.flush()
    }
}

fn lines(scene: &Scene) -> [String; 2] {
    let Scene { elapsed, direct, gated, holding, .. } = scene;
    [
        format!("{:6.2} s  straight  {}", elapsed.as_secs_f64(), column(direct)),
        format!("{:8}  gated     {}; {}", "", column(gated), gate(holding)),
    ]
}

fn column(picture: &Picture) -> String {
    let Ledger { connected, refused, sent, answered, .. } = picture.ledger;
    let (phase, dropped) = (picture.phase.label(), picture.ledger.dropped);
    format!(
        "backend {phase}: {connected} connected, {refused} refused, {sent} sent, {dropped} lost, {answered} answered"
    )
}

fn gate(holding: &Holding) -> String {
    let Holding { verdict, sessions, frames } = holding;
    format!("gate {}: {sessions} clients and {frames} messages held", verdict.label())
}

/// How much of both columns is decided, in tenths.
fn steps(scene: &Scene) -> usize {
    let decided =
        |Picture { ledger, .. }: &Picture| ledger.dropped + ledger.answered + ledger.refused * scene.plan.frames;
    STEPS * (decided(&scene.direct) + decided(&scene.gated)) / (2 * scene.plan.messages()).max(1)
}
