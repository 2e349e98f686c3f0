//! The simulated upstream: how it answers dials, and what it does once joined.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::{Response, header};
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, sleep};

use super::{
    client::parted,
    frames::{self, BINARY, CLOSE, CONTINUATION, PING, TEXT},
    line::{self, Confirmation, Ending, Line, Socket, Weather},
};
use crate::{
    config::{Confirm, OnTimeout},
    dial::{DialError, DialFault},
    fields::Lines,
    gate::Gate,
    upstream::{Answer, Fault, Going, Joined, Upstream},
};

/// Tells the backend whose dial it is.
pub(super) const SESSION: &str = "x-session";

/// What confirms a connection.
pub(super) const READY: &str = "u ready";

/// Sec-WebSocket-Accept of session `index`.
pub(super) fn accept_of(index: usize) -> String {
    format!("accept-{index}")
}

/// How a dial is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reaction {
    Refused,
    TimesOut,
    Unreachable,
    BadTls,
    Silent,
    BadHandshake,
    Declines(u16),
    OtherSubprotocol,
    UnaskedExtension,
    Joins(Manner),
}

/// What a joined upstream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manner {
    /// Reads all, answers the Close and the end of stream.
    Healthy,
    ClosesFirst,
    /// Goes without a Close.
    Leaves,
    /// Goes inside a frame.
    LeavesInside,
    Resets,
    /// Reads nothing, says nothing.
    Hangs,
    ReadsSlowly,
    /// Has something to say to a client that has ended its side.
    LastWord,
    /// Is gone, and its connection does not know.
    Vanishes,
}

const MANNERS: [Manner; 11] = [
    Manner::Healthy,
    Manner::Healthy,
    Manner::Healthy,
    Manner::ClosesFirst,
    Manner::Leaves,
    Manner::LeavesInside,
    Manner::Resets,
    Manner::Hangs,
    Manner::ReadsSlowly,
    Manner::LastWord,
    Manner::Vanishes,
];

/// When a gate was told to open.
pub(super) type Opened = Arc<Mutex<Vec<Instant>>>;

/// One dial.
#[derive(Clone, Debug)]
pub(super) struct Dialed {
    pub(super) session: usize,
    pub(super) at: Instant,
    pub(super) reaction: Reaction,
    pub(super) line: Option<Line>,
}

/// The backend of one scene.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) gate: Gate,
    pub(super) weather: Weather,
    /// What it has to say after its 101.
    pub(super) confirm: Option<Arc<Confirm>>,
    /// One dial in so many is refused.
    pub(super) refuses_one_in: u32,
    pub(super) rng: Mutex<Rng>,
    pub(super) dials: Arc<Mutex<Vec<Dialed>>>,
    /// When sessions arrived, and when they may pass whatever the gate says.
    pub(super) may_pass: Arc<Mutex<Vec<(Instant, Instant)>>>,
    /// When the gate was told to open.
    pub(super) opened: Opened,
}

impl Upstream for Backend {
    type Stream = Socket;

    async fn dial(&self, handshake: Vec<u8>, accept: &str, _: Going) -> Result<Answer<Socket>, Fault> {
        let handshake = String::from_utf8(handshake).unwrap();
        let mut lines = handshake.lines().filter_map(|line| line.split_once(": "));
        let session: usize = lines.find(|(name, _)| *name == SESSION).unwrap().1.parse().unwrap();
        assert_eq!(accept_of(session), accept);
        self.check(session);
        let mut rng = self.rng.lock().unwrap().fork();
        let reaction = react(&mut rng, self.refuses_one_in);
        let index = self.note(session, reaction);
        let pause = match reaction {
            Reaction::TimesOut => Duration::from_secs(2),
            Reaction::Silent => Duration::from_secs(5),
            _ => Duration::from_millis(rng.u64(0..40)),
        };
        sleep(pause).await;
        match reaction {
            Reaction::Refused => Err(fault(DialFault::Refused)),
            Reaction::TimesOut => Err(fault(DialFault::Timeout)),
            Reaction::Unreachable => Err(fault(DialFault::Unreachable(ErrorKind::NetworkUnreachable))),
            Reaction::BadTls => Err(fault(DialFault::Tls)),
            Reaction::Silent => Err(Fault::Silent(pause)),
            Reaction::BadHandshake => Err(Fault::Handshake("not HTTP".to_owned())),
            Reaction::Declines(status) => Ok(Answer::Declined(Box::new(declined(status)))),
            Reaction::OtherSubprotocol => {
                Ok(self.join(index, &mut rng, Manner::Healthy, header::SEC_WEBSOCKET_PROTOCOL))
            }
            Reaction::UnaskedExtension => {
                Ok(self.join(index, &mut rng, Manner::Healthy, header::SEC_WEBSOCKET_EXTENSIONS))
            }
            Reaction::Joins(manner) => Ok(self.join(index, &mut rng, manner, header::SERVER)),
        }
    }
}

impl Backend {
    /// A dial is due only when the gate has opened for this session, and never after one was answered.
    fn check(&self, session: usize) {
        let dials = self.dials.lock().unwrap();
        let mut before = dials.iter().filter(|dial| dial.session == session).peekable();
        let (arrived, passes) = self.may_pass.lock().unwrap()[session];
        let mut since = arrived;
        if before.peek().is_some() {
            for dial in before {
                assert!(dial.line.is_none(), "session {session} is dialed again after it was joined");
                let again = matches!(dial.reaction, Reaction::Refused | Reaction::TimesOut | Reaction::Unreachable);
                assert!(again, "session {session} is dialed again after {:?}", dial.reaction);
                if dial.reaction == Reaction::Refused {
                    since = dial.at;
                }
            }
        }
        if self.gate.verdict().is_open() {
            self.opened.lock().unwrap().push(Instant::now());
        }
        let opened = self.opened.lock().unwrap().iter().any(|opened| *opened >= since);
        let open_on_arrival = since == arrived && self.opened.lock().unwrap().iter().any(|opened| *opened <= arrived);
        let may = opened || open_on_arrival || Instant::now() >= passes;
        assert!(may, "session {session} is dialed before the gate opened for it");
    }

    fn note(&self, session: usize, reaction: Reaction) -> usize {
        let mut dials = self.dials.lock().unwrap();
        dials.push(Dialed { session, at: Instant::now(), reaction, line: None });
        dials.len() - 1
    }

    fn join(&self, index: usize, rng: &mut Rng, manner: Manner, extra: header::HeaderName) -> Answer<Socket> {
        let window = match manner {
            Manner::Hangs => rng.usize(0..300),
            Manner::ReadsSlowly => 1,
            _ => usize::MAX,
        };
        let (line, stream) = line::connect(rng, self.weather, window, None);
        if manner == Manner::Resets {
            line.reset_after(rng.usize(0..600));
        }
        let mut all = some_frames(rng);
        if let Some(confirm) = &self.confirm {
            let says = rng.u8(0..4) > 0;
            all.extend(confirmation(rng, confirm, says));
            let after = if says { all.len() } else { usize::MAX };
            let waived = (confirm.on_timeout == OnTimeout::Pass).then(|| Instant::now() + confirm.timeout);
            line.wait_for(Confirmation { after, waived });
            all.extend(some_frames(rng));
        }
        let early = if rng.bool() { rng.usize(0..=all.len()) } else { 0 };
        line.sent_elsewhere(&all[..early]);
        self.dials.lock().unwrap()[index].line = Some(line.clone());
        tokio::spawn(play(line, manner, all[early..].to_vec(), rng.fork()));
        let lines = Lines::copied([(extra.as_str().as_bytes(), b"odd".as_slice())].into_iter());
        Answer::Joined(Joined { stream, early: Bytes::copy_from_slice(&all[..early]), lines })
    }
}

fn react(rng: &mut Rng, refuses_one_in: u32) -> Reaction {
    if rng.u32(0..refuses_one_in) == 0 {
        return Reaction::Refused;
    }
    match rng.u8(0..24) {
        0 => Reaction::TimesOut,
        1 => Reaction::Unreachable,
        2 => Reaction::BadTls,
        3 => Reaction::Silent,
        4 => Reaction::BadHandshake,
        5 => Reaction::Declines([401, 403, 503][rng.usize(..3)]),
        6 => Reaction::OtherSubprotocol,
        7 => Reaction::UnaskedExtension,
        _ => Reaction::Joins(MANNERS[rng.usize(..MANNERS.len())]),
    }
}

fn fault(fault: DialFault) -> Fault {
    Fault::Dial(DialError { fault, reason: String::new(), hint: None })
}

fn declined(status: u16) -> Response<crate::upstream::Body> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

fn some_frames(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(0..6)).flat_map(|number| frame(rng, number)).collect()
}

/// Messages that are not the one, and if it `says` so, the one that is: in one frame or several, pings between.
fn confirmation(rng: &mut Rng, confirm: &Confirm, says: bool) -> Vec<u8> {
    let long = format!("{READY}{}", " ".repeat(confirm.message_bytes));
    let mut all = match rng.u8(0..3) {
        0 => frames::build(true, BINARY, READY.as_bytes(), None),
        1 => frames::build(true, TEXT, long.as_bytes(), None),
        _ => frames::build(true, PING, READY.as_bytes(), None),
    };
    if !says {
        return all;
    }
    let length = READY.len().div_ceil(rng.usize(1..4));
    for (part, payload) in READY.as_bytes().chunks(length).enumerate() {
        let (opcode, fin) = (if part == 0 { TEXT } else { CONTINUATION }, (part + 1) * length >= READY.len());
        all.extend(frames::build(fin, opcode, payload, None));
        if !fin && rng.bool() {
            all.extend(frames::build(true, PING, b"u between", None));
        }
    }
    all
}

fn frame(rng: &mut Rng, number: usize) -> Vec<u8> {
    let opcode = [TEXT, BINARY, PING][rng.usize(..3)];
    let length = if opcode == PING { 10 } else { [0, 40, 300, 1_500][rng.usize(..4)] };
    frames::build(true, opcode, format!("u{number}{}", "y".repeat(length)).as_bytes(), None)
}

async fn play(line: Line, manner: Manner, rest: Vec<u8>, mut rng: Rng) {
    if manner == Manner::Hangs {
        return;
    }
    if manner == Manner::ReadsSlowly {
        tokio::spawn(read_slowly(line.clone(), rng.fork()));
    }
    let mut rest = rest.as_slice();
    while !rest.is_empty() {
        let count = rng.usize(1..=rest.len());
        line.push(&rest[..count]);
        rest = &rest[count..];
        if rng.bool() {
            sleep(Duration::from_millis(rng.u64(0..400))).await;
        }
    }
    match manner {
        Manner::Healthy | Manner::Resets | Manner::ReadsSlowly | Manner::Hangs => answer(&line, &[]).await,
        Manner::LastWord => answer(&line, &frames::build(true, TEXT, b"u last word", None)).await,
        Manner::Vanishes => {
            sleep(Duration::from_millis(rng.u64(0..5_000))).await;
            line.vanish();
        }
        Manner::ClosesFirst => {
            let code = if rng.bool() { 1000_u16 } else { 4000 };
            line.push(&frames::build(true, CLOSE, &code.to_be_bytes(), None));
            parted(&line, Instant::now() + Duration::from_millis(rng.u64(0..3_000))).await;
            line.end(Ending::Eof);
        }
        Manner::Leaves => line.end(if rng.bool() { Ending::Eof } else { Ending::Reset }),
        Manner::LeavesInside => {
            let frame = frames::build(true, TEXT, b"never finished", None);
            line.push(&frame[..rng.usize(1..frame.len())]);
            line.end(Ending::Eof);
        }
    }
}

async fn read_slowly(line: Line, mut rng: Rng) {
    while !line.log().dropped {
        sleep(Duration::from_millis(rng.u64(1..800))).await;
        line.read_on(rng.usize(1..800));
    }
}

/// Echoes the Close, and ends with the `last` word when the client's side has.
async fn answer(line: &Line, last: &[u8]) {
    let mut heard = 0;
    loop {
        let (frames, shut, dropped) = {
            let log = line.log();
            (frames::split(&log.taken[heard..]).0, log.shut, log.dropped)
        };
        heard += frames.iter().map(|frame| frame.raw.len()).sum::<usize>();
        for close in frames.iter().filter(|frame| frame.opcode == CLOSE) {
            line.push(&frames::build(true, CLOSE, &close.payload, None));
        }
        if shut && !dropped {
            line.push(last);
        }
        if shut || dropped {
            line.end(Ending::Eof);
        }
        if dropped {
            return;
        }
        line.changed().await;
    }
}
