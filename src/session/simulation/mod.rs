//! Whole sessions over simulated connections and a paused clock: every seed is another world, and the same promises
//! hold in each.
//!
//! `line` is a connection whose every poll may go wrong, `client` and `backend` play the two ends, `scene` is one seed,
//! `world` what happens to all of them meanwhile, `purse` the memory they share. `verify` and `heard` say what must hold,
//! with `frames`, a second reading of RFC 6455.
//!
//! `READYGATE_SEEDS=100000` runs so many seeds; `READYGATE_SEED=7` runs that one and tells what happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod backend;
mod client;
mod frames;
mod heard;
mod line;
mod purse;
pub(in crate::session) mod scene;
mod verify;
mod world;

use std::{
    collections::BTreeMap,
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use self::{backend::Reaction, line::Line, scene::Scene};
use super::{Reply, outcome::Outcome};

/// Enough for every kind of fault to meet every stage; seconds of a debug build.
const SEEDS: u64 = 10_000;

/// Below so many, some kinds of end may not occur.
const SEEDS_THAT_COVER: u64 = 5_000;

/// Seeds are shared among so many threads.
const THREADS: u64 = 2;

/// How often each thing happened.
type Coverage = BTreeMap<String, u64>;

/// What must have happened at least once in a full run.
const MUST_HAPPEN: &[&str] = &[
    "outcome completed",
    "outcome client_gone",
    "outcome client_silent",
    "outcome hold_timeout",
    "outcome hold_full",
    "outcome too_many",
    "outcome too_big",
    "outcome protocol_error",
    "outcome invalid_payload",
    "outcome frame_timeout",
    "outcome upstream_refused",
    "outcome upstream_unreachable",
    "outcome upstream_timeout",
    "outcome bad_handshake",
    "outcome confirm_timeout",
    "outcome unconfirmed",
    "outcome upstream_lost",
    "outcome drained",
    "dial Refused",
    "dial TimesOut",
    "dial Unreachable",
    "dial BadTls",
    "dial Silent",
    "dial BadHandshake",
    "dial Declines(401)",
    "dial Declines(403)",
    "dial Declines(503)",
    "dial OtherSubprotocol",
    "dial UnaskedExtension",
    "dial Joins(Healthy)",
    "dial Joins(ClosesFirst)",
    "dial Joins(Leaves)",
    "dial Joins(LeavesInside)",
    "dial Joins(Resets)",
    "dial Joins(Hangs)",
    "dial Joins(ReadsSlowly)",
    "dial Joins(LastWord)",
    "dial Joins(Vanishes)",
    "client Polite",
    "client Dumb",
    "client Deaf",
    "client Slow",
    "client Stalling",
    "client Violating",
    "client Mojibake",
    "client Greedy",
    "client Hasty",
    "client Dripping",
    "client Vanishing",
    "last Stay",
    "last Close",
    "last CloseAndEof",
    "last Eof",
    "last Reset",
    "reply none",
    "reply early",
    "reply switch",
    "reply decline",
    "reply refuse",
    "mode Enforce",
    "mode Observe",
    "mode Off",
    "notices",
    "bytes glued",
    "hand open",
    "hand shut",
    "hand taken off",
    "reload, same gate",
    "reload, gate after gate",
    "budget spent",
    "CPU stopped",
    "session killed",
    "frames delivered",
    "replays after a confirmation",
    "replays without one",
    "frames refused",
];

#[test]
fn in_every_world_nothing_is_lost_doubled_early_or_unbounded() {
    if let Some(seed) = number("READYGATE_SEED") {
        let scene = play(seed);
        tell(&scene);
        return verify::scene(&scene);
    }
    let seeds = number("READYGATE_SEEDS").unwrap_or(SEEDS);
    let parts: Vec<Coverage> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|part| scope.spawn(move || run(part, seeds))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut coverage = Coverage::new();
    for (what, count) in parts.into_iter().flatten() {
        *coverage.entry(what).or_default() += count;
    }
    println!("{seeds} seeds: {coverage:#?}");
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| !coverage.contains_key(**what)).collect();
    assert!(seeds < SEEDS_THAT_COVER || missing.is_empty(), "never happened: {missing:?}");
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn run(part: u64, seeds: u64) -> Coverage {
    let mut coverage = Coverage::new();
    for seed in (part..seeds).step_by(usize::try_from(THREADS).unwrap()) {
        let world = AssertUnwindSafe(|| {
            let scene = play(seed);
            verify::scene(&scene);
            scene
        });
        match catch_unwind(world) {
            Ok(scene) => cover(&scene, &mut coverage),
            Err(panic) => {
                eprintln!("replay with READYGATE_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    coverage
}

fn play(seed: u64) -> Scene {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(scene::play(seed))
}

fn cover(scene: &Scene, coverage: &mut Coverage) {
    let mut count = |what: String, times: u64| {
        if times > 0 {
            *coverage.entry(what).or_default() += times;
        }
    };
    for session in &scene.sessions {
        count(format!("outcome {}", session.outcome.map_or("none", Outcome::label)), 1);
        count(format!("client {:?}", session.plan.manner), 1);
        count(format!("last {:?}", session.plan.last), 1);
        count(format!("reply {}", label(session.reply.as_ref())), 1);
        count(format!("mode {:?}", session.house.config.gate.mode), 1);
        let told =
            session.line.log().taken.windows(verify::NOTICE.len()).filter(|bytes| *bytes == verify::NOTICE).count();
        count("notices".to_owned(), told as u64);
        count("bytes glued".to_owned(), session.plan.glued as u64);
    }
    for dial in &scene.dials {
        if let Some(confirms) = dial.line.as_ref().and_then(replayed) {
            count(format!("replays {}", if confirms { "after a confirmation" } else { "without one" }), 1);
        }
        count(format!("dial {:?}", dial.reaction), 1);
        count("bytes to upstreams".to_owned(), dial.line.as_ref().map_or(0, |line| line.log().taken.len() as u64));
    }
    let (books, before) = (scene.house.metrics.books(), &scene.before.0);
    count("frames delivered".to_owned(), books.delivered - before.delivered);
    count("frames refused".to_owned(), books.refused - before.refused);
    scene.happened.iter().for_each(|what| count((*what).to_owned(), 1));
}

/// Whether an upstream that had to confirm did, if it then got data.
fn replayed(line: &Line) -> Option<bool> {
    let log = line.log();
    let confirmation = log.confirmation.as_ref()?;
    frames::split(&log.taken).0.iter().any(frames::Frame::is_data).then(|| log.read >= confirmation.after)
}

fn label(reply: Option<&Reply>) -> &'static str {
    match reply {
        None => "none",
        Some(Reply::Early { .. }) => "early",
        Some(Reply::Switch { .. }) => "switch",
        Some(Reply::Decline(_)) => "decline",
        Some(Reply::Refuse(_)) => "refuse",
    }
}

/// One seed, for people.
fn tell(scene: &Scene) {
    println!("{:?}\n{:#?}\n{:#?}", scene.happened, scene.house.config.gate, scene.house.config.hold);
    for (index, session) in scene.sessions.iter().enumerate() {
        let log = session.line.log();
        println!("session {index}: {:?} {}", session.outcome, label(session.reply.as_ref()));
        println!("  {:?}, then {:?}, glued {}", session.plan.manner, session.plan.last, session.plan.glued);
        println!(
            "  ended {:?} after the drain began",
            scene.drained_at.map(|began| session.ended.checked_duration_since(began))
        );
        print("client sent", &log.sent);
        println!("  of which {} bytes were read; ended by {:?}", log.read, log.ending);
        print("client took", &log.taken);
        for dial in scene.dials.iter().filter(|dial| dial.session == index) {
            println!("  dial: {:?}", dial.reaction);
            if let Some((line, Reaction::Joins(_))) = dial.line.as_ref().map(|line| (line.log(), dial.reaction)) {
                print("upstream sent", &line.sent);
                print("upstream took", &line.taken);
                println!("  ended by {:?}", line.ending);
            }
        }
    }
}

fn print(what: &str, bytes: &[u8]) {
    let (frames, rest) = frames::split(bytes);
    println!("  {what} {} bytes:", bytes.len());
    for frame in frames {
        let payload: String = String::from_utf8_lossy(&frame.payload).chars().take(20).collect();
        println!("    opcode {} of {} bytes: {payload:?}", frame.opcode, frame.raw.len());
    }
    println!("    and {} bytes {:?}", rest.len(), &rest[..rest.len().min(20)]);
}
