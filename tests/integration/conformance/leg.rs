//! The four ways to the server, and what a client receives on each.

use std::{fmt, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::case::{Awaits, Case, Held, Step};
use crate::harness::{
    PATIENCE,
    frame::{CLOSE, Frame, PING, PONG},
    gate::Setup,
    programs::Server,
    raw::Raw,
};

/// Shorter than the patience of what is asked, so that a case that hangs is a line of the table and no panic.
const SILENCE: Duration = PATIENCE.saturating_sub(Duration::from_secs(1));

/// Bytes of a payload that are shown.
const SHOWN: usize = 12;

/// What a client received, kind by kind: messages and pongs may overtake each other, for servers answer pings at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Status and extensions of the handshake's answer.
    pub(super) handshake: String,
    pub(super) messages: Vec<Frame>,
    pub(super) pongs: Vec<Frame>,
    pub(super) close: Option<Frame>,
    /// What came behind the Close, or was no frame.
    pub(super) rest: Vec<u8>,
    /// It waited in vain.
    pub(super) silent: bool,
}

/// A client under way. Servers' pings are passed over: they come by the clock.
struct Client {
    raw: Raw,
    seen: Seen,
    ended: bool,
}

/// Straight to the server.
pub(super) async fn direct(server: &Server, cases: &[Case]) -> Vec<Seen> {
    let run = async |case: &Case| {
        let mut client = Client::ask(Raw::connect(server.address).await, case).await;
        client.answered().await;
        client.go_on(case, &case.steps).await
    };
    join_all(cases.iter().map(run)).await
}

/// Through a gate that is open from the start.
pub(super) async fn open(server: &Server, cases: &[Case]) -> Vec<Seen> {
    let gate = Setup::open(server.address).start().await;
    let run = async |case: &Case| {
        let mut client = Client::ask(gate.client().await, case).await;
        client.answered().await;
        client.go_on(case, &case.steps).await
    };
    join_all(cases.iter().map(run)).await
}

/// Held without a 101, which is then the server's own.
pub(super) async fn deferred(server: &Server, cases: &[Case]) -> Vec<Seen> {
    let gate = Setup::shut(server.address).with(r#"gate.accept = "deferred""#).start().await;
    let clients = join_all(cases.iter().map(async |case| Client::ask(gate.client().await, case).await)).await;
    gate.holds(cases.len() as u32).await;
    gate.open().await;
    let run = async |case: &Case, mut client: Client| {
        client.answered().await;
        client.go_on(case, &case.steps).await
    };
    join_all(cases.iter().zip(clients).map(|(case, client)| run(case, client))).await
}

/// Accepted at once, and held with all that the first step sends: what readygate judges itself ends before the gate opens.
/// Says also whether all the rest was in the hold by then.
pub(super) async fn early(server: &Server, cases: &[Case]) -> (Vec<Seen>, bool) {
    let gate = Setup::shut(server.address).with(r#"gate.hold_timeout = "2m""#).start().await;
    let begin = async |case: &Case| {
        let mut client = Client::ask(gate.client().await, case).await;
        client.answered().await;
        client.step(&case.steps[0], case.awaits_while_held()).await;
        client
    };
    let clients = join_all(cases.iter().map(begin)).await;
    let kept: u64 = cases.iter().filter(|case| case.is_kept()).map(|case| case.kept() as u64).sum();
    // Where this fails, the table shows for whom.
    let all_held = timeout(SILENCE, gate.holds_bytes(|bytes| bytes == kept)).await.is_ok();
    gate.open().await;
    let end = async |case: &Case, mut client: Client| {
        client.hear(case.steps[0].awaits).await;
        client.go_on(case, &case.steps[1..]).await
    };
    (join_all(cases.iter().zip(clients).map(|(case, client)| end(case, client))).await, all_held)
}

impl Case {
    /// Its first step waits for the server.
    fn is_kept(&self) -> bool {
        match self.held {
            Held::Same | Held::Plain => true,
            Held::Judged(_) | Held::Stricter(_) | Held::Echoed => false,
        }
    }

    /// readygate answers pings, and closes.
    fn awaits_while_held(&self) -> Awaits {
        match self.steps[0].awaits {
            Awaits::Answers { pongs, .. } if self.is_kept() => Awaits::Answers { messages: 0, pongs },
            Awaits::End if self.is_kept() => Awaits::Answers { messages: 0, pongs: 0 },
            Awaits::Answers { .. } | Awaits::End => Awaits::End,
        }
    }
}

impl Client {
    async fn ask(mut raw: Raw, case: &Case) -> Self {
        let offer = case.offer.map(|offer| ("Sec-WebSocket-Extensions", offer));
        raw.ask("/", offer.as_slice()).await;
        Self { raw, seen: Seen::default(), ended: false }
    }

    async fn answered(&mut self) {
        let head = self.raw.head().await;
        self.seen.handshake = format!("{} {}", head.status(), head.get("sec-websocket-extensions").unwrap_or_default());
        self.ended = head.status() != 101;
    }

    /// The steps that are left, and the parting.
    async fn go_on(mut self, case: &Case, steps: &[Step]) -> Seen {
        for step in steps {
            self.step(step, step.awaits).await;
        }
        if self.is_over() {
            return self.part().await;
        }
        if !case.closes {
            self.send(&Frame::close(1000, "done").masked()).await;
        }
        self.hear(Awaits::End).await;
        self.part().await
    }

    async fn step(&mut self, step: &Step, awaits: Awaits) {
        if !self.is_over() {
            self.send(&step.bytes).await;
            self.hear(awaits).await;
        }
    }

    /// A server that closes on a broken frame may be gone before it has read the rest.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.raw.try_send(bytes).await;
    }

    async fn hear(&mut self, awaits: Awaits) {
        while !self.is_over() && !self.has(awaits) {
            let frame = timeout(SILENCE, self.raw.frame_or_end()).await;
            self.seen.silent = frame.is_err();
            let Ok(Some(frame)) = frame else {
                self.ended = true;
                return;
            };
            match frame.opcode() {
                CLOSE => self.seen.close = Some(frame),
                PING => {}
                PONG => self.seen.pongs.push(frame),
                _ => self.seen.messages.push(frame),
            }
        }
    }

    fn has(&self, awaits: Awaits) -> bool {
        match awaits {
            Awaits::Answers { messages, pongs } => {
                self.seen.messages.len() >= messages && self.seen.pongs.len() >= pongs
            }
            Awaits::End => false,
        }
    }

    fn is_over(&self) -> bool {
        self.ended || self.seen.close.is_some()
    }

    async fn part(mut self) -> Seen {
        self.raw.hang_up().await;
        if self.seen.handshake.starts_with("101 ") && !self.seen.silent {
            self.seen.rest = self.raw.rest().await;
        }
        self.seen
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.handshake)?;
        for frame in self.messages.iter().chain(&self.pongs) {
            let shown = &frame.payload[..frame.payload.len().min(SHOWN)];
            write!(f, " | {:02x} [{}] {}", frame.first, frame.payload.len(), shown.escape_ascii())?;
        }
        match &self.close {
            Some(close) => write!(f, " | Close {}", close.payload.escape_ascii())?,
            None => write!(f, " | no Close")?,
        }
        if !self.rest.is_empty() {
            write!(f, " | then {}", self.rest.escape_ascii())?;
        }
        if self.silent { write!(f, " | silence") } else { Ok(()) }
    }
}
