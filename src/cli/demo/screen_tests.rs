#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use super::*;
use crate::gate::{Blocker, Class};

fn picture_of(phase: Phase, marks: Vec<Mark>, ledger: Ledger) -> Picture {
    Picture { phase, ledger, marks, is_settled: false }
}

/// A third of the way: straight two are refused and one waits, through the gate three are held.
fn scene() -> Scene {
    let blocker = Blocker {
        check: "upstream".to_owned(),
        class: Class::NotReady,
        reason: "answered 503 Service Unavailable".to_owned(),
        hint: None,
        since: std::time::SystemTime::UNIX_EPOCH,
    };
    let ledger = Ledger { clients: 4, connected: 1, refused: 2, planned: 8, sent: 1, dropped: 1, ..Ledger::default() };
    let held = Ledger { clients: 4, connected: 3, planned: 8, sent: 4, ..Ledger::default() };
    let straight = vec![Mark::Refused, Mark::Refused, Mark::Lost, Mark::ToCome];
    let gated = vec![Mark::Waiting, Mark::Waiting, Mark::Connecting, Mark::ToCome];
    Scene {
        plan: Plan { clients: 4, frames: 2, delay: Duration::from_secs(3) },
        elapsed: Duration::from_millis(1250),
        direct: picture_of(Phase::Listening, straight, ledger),
        gated: picture_of(Phase::Silent, gated, held),
        holding: Holding { verdict: Verdict::Shut { blockers: Arc::new([blocker]) }, sessions: 3, frames: 4 },
    }
}

/// A crowd in place of the four.
fn crowd(clients: usize) -> Scene {
    let mut scene = scene();
    scene.direct.marks = vec![Mark::Done; clients];
    scene.gated.marks = vec![Mark::Done; clients];
    scene
}

#[test]
fn a_moment_is_drawn_side_by_side() {
    let expected = [
        "readygate demo: 4 clients, 2 messages each, a backend that starts in 3s",
        "1.2 s",
        "STRAIGHT TO THE BACKEND                | THROUGH THE GATE",
        "backend   listening, not ready         | backend   not listening",
        "gate      none                         | gate      shut: answered 503 Service..",
        "holds     -                            | holds     3 clients, 4 messages",
        "                                       | ",
        "xx!.                                   | oo~.",
        "                                       | ",
        "connected 1 of 4                       | connected 3 of 4",
        "refused   2                            | refused   0",
        "sent      1 of 8                       | sent      4 of 8",
        "lost      1                            | lost      0",
        "answered  0 of 8                       | answered  0 of 8",
        "",
        ". to come   ~ connecting   o connected, no answer yet   + being answered   ",
        "# all answered   ! lost messages   x refused   % cut off   ",
    ];
    assert_eq!(picture(&scene(), false), expected);
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = picture(&scene(), true);
    assert!(coloured[3].contains("\x1b[33mlistening, not ready\x1b[m"), "{coloured:?}");
    let plain: Vec<String> = coloured.iter().map(|line| without_colours(line)).collect();
    assert_eq!(plain, picture(&scene(), false));
}

#[test]
fn the_largest_crowd_fits_into_24_lines_of_80() {
    let lines = picture(&crowd(2000), false);
    assert!(lines.len() < 24, "{}", lines.len());
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("(9 clients a mark)"), "{lines:#?}");
}

#[test]
fn the_next_picture_covers_the_last_and_the_terminal_is_given_back() {
    let mut out = Vec::new();
    let mut screen = Screen::new(&mut out, false).unwrap();
    screen.show(&scene()).unwrap();
    screen.show(&scene()).unwrap();
    drop(screen);
    let out = String::from_utf8(out).unwrap();
    let height = picture(&scene(), false).len();
    assert!(out.starts_with(&format!("{BEGIN}readygate demo")), "{out:?}");
    assert_eq!(out.matches(&format!("\x1b[{height}F")).count(), 1, "{out:?}");
    assert_eq!(out.matches("\x1b[K\n").count(), 2 * height);
    assert!(out.ends_with(END));
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
}
