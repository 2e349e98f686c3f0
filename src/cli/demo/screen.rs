//! The picture on a terminal, drawn over the one before: plain control functions of ECMA-48, no size asked. Lines that
//! do not fit are cut off by the terminal.

use std::io::{self, Write};

use super::{
    Show,
    column::Picture,
    gated::Holding,
    ledger::{Ledger, Phase},
    mark::{Mark, gather},
    plan::Plan,
    running::Scene,
};
use crate::gate::Verdict;

/// Characters of a column: two, and what stands between them, fit into 80.
const COLUMN: usize = 38;

/// Between the columns.
const BETWEEN: &str = " | ";

/// Lines of marks: with everything else the picture fits into the 24 lines of the smallest usual terminal.
const MARK_LINES: usize = 6;

/// Characters of the name of a value.
const NAME: usize = 10;

/// No cursor, and lines that do not fit are not wrapped, or the picture would grow.
const BEGIN: &str = "\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?25h";

/// In place of what does not fit.
const CUT: &str = "..";

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "1;31";

/// Draws one picture over the other.
pub(super) struct Screen<W: Write> {
    out: W,
    colour: bool,
    height: usize,
}

/// A line with colours, and its width without them.
#[derive(Default)]
struct Line {
    text: String,
    width: usize,
    colour: bool,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(mut out: W, colour: bool) -> io::Result<Self> {
        write!(out, "{BEGIN}")?;
        Ok(Self { out, colour, height: 0 })
    }
}

impl<W: Write> Show for Screen<W> {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        let lines = picture(scene, self.colour);
        let mut text = String::new();
        if self.height > 0 {
            text += &format!("\x1b[{}F", self.height);
        }
        for line in &lines {
            text += line;
            text += "\x1b[K\n";
        }
        self.height = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = write!(self.out, "{END}").and_then(|()| self.out.flush());
    }
}

/// What is about to be seen.
pub(super) fn heading(plan: Plan) -> String {
    let Plan { clients, frames, delay } = plan;
    let delay = humantime::format_duration(delay);
    format!("readygate demo: {clients} clients, {frames} messages each, a backend that starts in {delay}")
}

fn picture(scene: &Scene, colour: bool) -> Vec<String> {
    let elapsed = format!("{:.1} s", scene.elapsed.as_secs_f64());
    let mut lines = vec![Line::new(colour).add(BOLD, &heading(scene.plan)).text, elapsed];
    let direct = column("STRAIGHT TO THE BACKEND", &scene.direct, None, colour);
    let gated = column("THROUGH THE GATE", &scene.gated, Some(&scene.holding), colour);
    let beside = |(direct, gated): (Line, Line)| format!("{}{BETWEEN}{}", direct.padded(), gated.text);
    lines.extend(direct.into_iter().zip(gated).map(beside));
    lines.push(String::new());
    lines.extend(legend(scene, colour));
    lines
}

fn column(title: &str, picture: &Picture, holding: Option<&Holding>, colour: bool) -> Vec<Line> {
    let Ledger { clients, connected, refused, planned, sent, dropped, answered, .. } = picture.ledger;
    let line = || Line::new(colour);
    let of = |count: usize, all: usize| format!("{count} of {all}");
    let bad = |count: usize| if count > 0 { RED } else { "" };
    let (gate, held) = gate(holding);
    let mut lines = vec![
        line().add(BOLD, title),
        line().named("backend").add(phase_colour(picture.phase), picture.phase.label()),
        line().named("gate").add(gate_colour(holding), &gate),
        line().named("holds").add("", &held),
        line(),
    ];
    lines.extend(mark_lines(&picture.marks, colour));
    lines.extend([
        line(),
        line().named("connected").add("", &of(connected, clients)),
        line().named("refused").add(bad(refused), &refused.to_string()),
        line().named("sent").add("", &of(sent, planned)),
        line().named("lost").add(bad(dropped), &dropped.to_string()),
        line().named("answered").add("", &of(answered, planned)),
    ]);
    lines
}

fn gate(holding: Option<&Holding>) -> (String, String) {
    let Some(Holding { verdict, sessions, frames }) = holding else { return ("none".to_owned(), "-".to_owned()) };
    let why = verdict.blockers().first().map(|blocker| format!(": {}", blocker.reason)).unwrap_or_default();
    let gate = format!("{}{why}", verdict.label());
    (shorten(&gate, COLUMN - NAME), format!("{sessions} clients, {frames} messages"))
}

/// At most `width` characters of `text`, marked where it was cut.
fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(CUT.len())).chain(CUT.chars()).collect()
}

fn gate_colour(holding: Option<&Holding>) -> &'static str {
    match holding.map(|holding| &holding.verdict) {
        Some(Verdict::Open) => GREEN,
        Some(Verdict::Degraded { .. } | Verdict::Shut { .. }) => YELLOW,
        Some(Verdict::Draining) | None => DIM,
    }
}

fn phase_colour(phase: Phase) -> &'static str {
    match phase {
        Phase::Silent => RED,
        Phase::Listening => YELLOW,
        Phase::Ready => GREEN,
    }
}

fn mark_lines(marks: &[Mark], colour: bool) -> Vec<Line> {
    let (marks, _) = gather(marks, COLUMN * MARK_LINES);
    let of = |marks: &[Mark]| {
        let add = |line: Line, mark: &Mark| line.add(mark.colour(), &mark.character().to_string());
        marks.iter().fold(Line::new(colour), add)
    };
    marks.chunks(COLUMN).map(of).collect()
}

fn legend(scene: &Scene, colour: bool) -> Vec<String> {
    let of = |marks: &[Mark]| {
        let add = |line: Line, mark: &Mark| {
            line.add(mark.colour(), &mark.character().to_string()).add(DIM, &format!(" {}   ", mark.meaning()))
        };
        marks.iter().fold(Line::new(colour), add).text
    };
    let (good, bad) = Mark::LEGEND.split_at(Mark::LEGEND.len() / 2);
    let (_, each) = gather(&scene.direct.marks, COLUMN * MARK_LINES);
    let crowd = if each > 1 { format!("({each} clients a mark)") } else { String::new() };
    vec![of(good), format!("{}{}", of(bad), Line::new(colour).add(DIM, &crowd).text)]
}

impl Line {
    fn new(colour: bool) -> Self {
        Self { colour, ..Self::default() }
    }

    /// Adds `text` in a colour, which is none if empty.
    fn add(mut self, colour: &str, text: &str) -> Self {
        self.width += text.chars().count();
        match self.colour && !colour.is_empty() && !text.is_empty() {
            true => self.text += &format!("\x1b[{colour}m{text}\x1b[m"),
            false => self.text += text,
        }
        self
    }

    fn named(self, name: &str) -> Self {
        self.add("", &format!("{name:<NAME$}"))
    }

    fn padded(self) -> String {
        let padding = COLUMN.saturating_sub(self.width);
        self.text + &" ".repeat(padding)
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
