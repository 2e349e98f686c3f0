//! What a simulated client does.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    frames::{self, BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT},
    line::{Ending, Line},
};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manner {
    Polite,
    /// Answers neither pings nor Closes.
    Dumb,
    /// Reads nothing.
    Deaf,
    /// Reads a little at a time.
    Slow,
    /// Stops inside a frame.
    Stalling,
    /// Breaks RFC 6455.
    Violating,
    /// Sends text that is not UTF-8.
    Mojibake,
    /// Sends more than may be held.
    Greedy,
    /// Goes before it has an answer.
    Hasty,
    /// Sends byte by byte.
    Dripping,
    /// Is gone, and its connection does not know.
    Vanishing,
}

/// What a client does last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Last {
    Stay,
    Close,
    CloseAndEof,
    Eof,
    Reset,
}

/// All that a client will do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) manner: Manner,
    pub(super) last: Last,
    pub(super) frames: Vec<Vec<u8>>,
    /// Bytes glued to the request.
    pub(super) glued: usize,
    pub(super) arrives: Duration,
    /// Longest pause between two writes.
    pub(super) pause: Duration,
}

const MANNERS: [Manner; 16] = [
    Manner::Polite,
    Manner::Polite,
    Manner::Polite,
    Manner::Polite,
    Manner::Polite,
    Manner::Polite,
    Manner::Dumb,
    Manner::Deaf,
    Manner::Slow,
    Manner::Stalling,
    Manner::Violating,
    Manner::Mojibake,
    Manner::Greedy,
    Manner::Hasty,
    Manner::Dripping,
    Manner::Vanishing,
];

const LASTS: [Last; 7] =
    [Last::Stay, Last::Stay, Last::Close, Last::CloseAndEof, Last::CloseAndEof, Last::Eof, Last::Reset];

/// So much of a frame drips; the rest comes at once.
const DRIPS: usize = 30;

/// Longest pause between two drips.
const DRIP: Duration = Duration::from_millis(200);

/// How long a stalling client stalls: longer than any `hold.frame_timeout` here.
const STALL: Duration = Duration::from_secs(12);

impl Plan {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let manner = MANNERS[rng.usize(..MANNERS.len())];
        let frames = frames_of(rng, manner);
        let length: usize = frames.iter().map(Vec::len).sum();
        Self {
            manner,
            last: LASTS[rng.usize(..LASTS.len())],
            glued: if rng.u8(0..4) == 0 { rng.usize(0..=length.min(200)) } else { 0 },
            frames,
            arrives: Duration::from_millis(rng.u64(0..3_000)),
            pause: Duration::from_millis([0, 20, 900, 4_000][rng.usize(..4)]),
        }
    }

    /// How many bytes it takes before it reads on.
    pub(super) fn window(&self, rng: &mut Rng) -> usize {
        match self.manner {
            Manner::Deaf => rng.usize(0..200),
            Manner::Slow => 1,
            _ => usize::MAX,
        }
    }
}

fn frames_of(rng: &mut Rng, manner: Manner) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..rng.usize(0..8)).flat_map(|number| message(rng, number)).collect();
    let at = rng.usize(0..=all.len());
    match manner {
        Manner::Violating => all.push(violation(rng)),
        Manner::Mojibake => all.push(frames::masked(rng, true, TEXT, b"\xff\xfe")),
        Manner::Greedy => {
            let big = vec![b'g'; rng.usize(1_000..6_000)];
            all.insert(0, frames::masked(rng, true, BINARY, &big));
            all.extend((0..rng.usize(0..40)).map(|_| frames::masked(rng, true, BINARY, b"more")));
        }
        Manner::Slow | Manner::Deaf => {
            let pings = (0..rng.usize(0..6)).map(|n| frames::masked(rng, true, PING, format!("p{n:0>90}").as_bytes()));
            all.splice(at..at, pings.collect::<Vec<_>>());
        }
        Manner::Polite | Manner::Dumb | Manner::Stalling | Manner::Hasty | Manner::Dripping | Manner::Vanishing => {}
    }
    all
}

/// One numbered message, in one frame or several, pings between.
fn message(rng: &mut Rng, number: usize) -> Vec<Vec<u8>> {
    let length = [0, 5, 60, 200, 700][rng.usize(..5)];
    let opcode = if rng.bool() { TEXT } else { BINARY };
    let parts = rng.usize(1..4);
    let mut all = Vec::new();
    for part in 0..parts {
        let payload = format!("c{number}.{part}{}", "x".repeat(length));
        let opcode = if part == 0 { opcode } else { CONTINUATION };
        all.push(frames::masked(rng, part + 1 == parts, opcode, payload.as_bytes()));
        if rng.u8(0..4) == 0 {
            let opcode = if rng.bool() { PING } else { PONG };
            all.push(frames::masked(rng, true, opcode, format!("cp{number}.{part}").as_bytes()));
        }
    }
    all
}

fn violation(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..6) {
        0 => frames::build(true, TEXT, b"unmasked", None),
        1 => frames::masked(rng, true, 3, b"reserved opcode"),
        2 => frames::masked(rng, false, PING, b"fragmented ping"),
        3 => frames::masked(rng, true, CONTINUATION, b"nothing to continue"),
        4 => frames::masked(rng, true, CLOSE, &1005_u16.to_be_bytes()),
        _ => vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
    }
}

/// Plays `plan`, of which the first bytes are sent already.
pub(super) async fn play(plan: Plan, line: Line, mut rng: Rng) {
    if plan.manner == Manner::Slow {
        tokio::spawn(read_slowly(line.clone(), rng.fork()));
    }
    let mut actor = Actor { line, heard: 0, closed: false };
    let mut skip = plan.glued;
    let vanishes_at = (plan.manner == Manner::Vanishing).then(|| rng.usize(0..=plan.frames.len()));
    for (number, frame) in plan.frames.iter().enumerate() {
        if vanishes_at == Some(number) {
            let rest = &frame[skip.min(frame.len())..];
            actor.line.push(&rest[..rng.usize(0..=rest.len())]);
            return actor.line.vanish();
        }
        let sent = skip.min(frame.len());
        skip -= sent;
        actor.send(&plan, &frame[sent..], &mut rng).await;
        if actor.react(&plan, &mut rng) {
            return;
        }
    }
    if vanishes_at.is_some() {
        return actor.line.vanish();
    }
    actor.finish(&plan, &mut rng);
    while !actor.line.log().dropped {
        actor.line.changed().await;
        if !actor.closed && actor.react(&plan, &mut rng) {
            return;
        }
    }
}

async fn read_slowly(line: Line, mut rng: Rng) {
    while !line.log().dropped {
        sleep(Duration::from_millis(rng.u64(1..400))).await;
        line.read_on(rng.usize(1..80));
    }
}

struct Actor {
    line: Line,
    /// Bytes of whole frames that were looked at.
    heard: usize,
    /// A Close or the end of the stream was sent.
    closed: bool,
}

impl Actor {
    async fn send(&self, plan: &Plan, mut bytes: &[u8], rng: &mut Rng) {
        let stalls = plan.manner == Manner::Stalling && rng.u8(0..3) == 0 && bytes.len() > 1;
        let mut dripped = 0;
        while !bytes.is_empty() {
            let count = if rng.bool() { bytes.len() } else { rng.usize(1..=bytes.len()) };
            let count = if stalls { count.min(bytes.len() / 2).max(1) } else { count };
            let drips = plan.manner == Manner::Dripping && dripped < DRIPS;
            let count = if drips { 1 } else { count };
            dripped += count;
            self.line.push(&bytes[..count]);
            bytes = &bytes[count..];
            let pause = if stalls && !bytes.is_empty() { STALL } else { random(plan.pause, rng) };
            let pause = if drips { random(DRIP, rng) } else { pause };
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    fn finish(&mut self, plan: &Plan, rng: &mut Rng) {
        self.closed = plan.last != Last::Stay;
        match plan.last {
            Last::Stay => {}
            Last::Close | Last::CloseAndEof => {
                let payload = [1000_u16.to_be_bytes().as_slice(), b"bye"].concat();
                let payload = if rng.bool() { payload.as_slice() } else { &[] };
                self.line.push(&frames::masked(rng, true, CLOSE, payload));
                if plan.last == Last::CloseAndEof {
                    self.line.end(Ending::Eof);
                }
            }
            Last::Eof => self.line.end(Ending::Eof),
            Last::Reset => self.line.end(Ending::Reset),
        }
    }

    /// Answers what came; true once the client has parted.
    fn react(&mut self, plan: &Plan, rng: &mut Rng) -> bool {
        if matches!(plan.manner, Manner::Dumb | Manner::Deaf) {
            return false;
        }
        let (heard, shut) = {
            let log = self.line.log();
            (frames::split(&log.taken[self.heard..]).0, log.shut)
        };
        for frame in &heard {
            self.heard += frame.raw.len();
            match frame.opcode {
                PING => self.line.push(&frames::masked(rng, true, PONG, &frame.payload)),
                CLOSE => {
                    self.line.push(&frames::masked(rng, true, CLOSE, &frame.payload));
                    self.line.end(Ending::Eof);
                }
                _ => {}
            }
        }
        if shut {
            self.line.end(Ending::Eof);
        }
        self.line.log().ending.is_some()
    }
}

fn random(most: Duration, rng: &mut Rng) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap();
    if rng.u8(0..3) == 0 { Duration::from_millis(rng.u64(0..=most)) } else { Duration::ZERO }
}

/// Returns at `at`, or when the code under test has parted.
pub(super) async fn parted(line: &Line, at: Instant) {
    let gone = async {
        while !line.log().dropped {
            line.changed().await;
        }
    };
    let _ = timeout_at(at, gone).await;
}
