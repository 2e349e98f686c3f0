//! What became of each message: told by the two ends, counted here, invented nowhere.
//!
//! A client tells what it sent and which answers it got; the backend tells which messages it took and dropped while it
//! was not ready, and which it took in earnest. What is lost follows from both.

use std::time::{Duration, Instant};

/// Numbered things as they come in: which came, which came twice, which came after a later one.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    seen: Vec<bool>,
    highest: Option<usize>,
    pub(super) distinct: usize,
    pub(super) doubled: usize,
    pub(super) out_of_order: usize,
}

/// How far a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    ToCome,
    Connecting,
    Connected,
    /// Nothing listened. It does not try again.
    Refused,
    /// Its handshake failed, or its connection ended before it was done.
    Cut,
}

/// What the backend says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Silent,
    Listening,
    Ready,
}

/// One client of one column.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) stage: Stage,
    pub(super) sent: usize,
    /// Taken by the backend while it was not ready, and dropped.
    pub(super) dropped: usize,
    /// Taken by the ready backend.
    pub(super) delivered: Sequence,
    pub(super) answers: Sequence,
    connect_time: Option<Duration>,
}

/// Everything known of one column.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) frames: usize,
    pub(super) tallies: Vec<Tally>,
    pub(super) phase: Phase,
    /// Messages and answers that nobody sent in this form.
    pub(super) changed: usize,
    ready_at: Option<Instant>,
    first_answer: Option<Instant>,
}

/// A column in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) clients: usize,
    /// Clients that got a WebSocket.
    pub(super) connected: usize,
    pub(super) refused: usize,
    pub(super) cut: usize,
    /// Messages that all clients together meant to send.
    pub(super) planned: usize,
    pub(super) sent: usize,
    pub(super) dropped: usize,
    /// Distinct messages that the ready backend took.
    pub(super) delivered: usize,
    pub(super) answered: usize,
    /// Of messages at the backend and of answers at the clients.
    pub(super) doubled: usize,
    pub(super) out_of_order: usize,
    pub(super) changed: usize,
    /// Half of the connected clients needed at most this long.
    pub(super) connect_p50: Option<Duration>,
    /// Nineteen in twenty of them at most this.
    pub(super) connect_p95: Option<Duration>,
    pub(super) first_answer: Option<Duration>,
}

impl Phase {
    /// For people.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Silent => "not listening",
            Self::Listening => "listening, not ready",
            Self::Ready => "ready",
        }
    }
}

impl Sequence {
    fn of(length: usize) -> Self {
        Self { seen: vec![false; length], ..Self::default() }
    }

    /// Takes `number`; false if there is none such.
    fn see(&mut self, number: usize) -> bool {
        let Some(seen) = self.seen.get_mut(number) else { return false };
        if std::mem::replace(seen, true) {
            self.doubled += 1;
            return true;
        }
        self.distinct += 1;
        self.out_of_order += usize::from(self.highest.is_some_and(|highest| number < highest));
        self.highest = self.highest.max(Some(number));
        true
    }
}

impl Tally {
    /// Nothing more is to be expected: each message it sent is dropped, or delivered and answered.
    fn is_settled(&self, frames: usize) -> bool {
        match self.stage {
            Stage::ToCome | Stage::Connecting => false,
            Stage::Refused | Stage::Cut => true,
            Stage::Connected => {
                let accounted = self.dropped + self.delivered.distinct >= self.sent;
                self.sent == frames && accounted && self.answers.distinct >= self.delivered.distinct
            }
        }
    }
}

impl Books {
    pub(super) fn new(clients: usize, frames: usize) -> Self {
        let sequence = || Sequence::of(frames);
        let tally = || Tally {
            stage: Stage::ToCome,
            sent: 0,
            dropped: 0,
            delivered: sequence(),
            answers: sequence(),
            connect_time: None,
        };
        let tallies = (0..clients).map(|_| tally()).collect();
        Self { frames, tallies, phase: Phase::Silent, changed: 0, ready_at: None, first_answer: None }
    }

    /// The backend goes on to `phase`.
    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        if phase == Phase::Ready {
            self.ready_at.get_or_insert(now);
        }
    }

    /// A client comes to `stage`.
    pub(super) fn stage(&mut self, client: usize, stage: Stage) {
        self.with(client, |tally| tally.stage = stage);
    }

    pub(super) fn connected(&mut self, client: usize, took: Duration) {
        self.with(client, |tally| {
            tally.stage = Stage::Connected;
            tally.connect_time = Some(took);
        });
    }

    /// A client is about to write its next message.
    pub(super) fn sent(&mut self, client: usize) {
        self.with(client, |tally| tally.sent += 1);
    }

    /// The backend took a message; true if it is ready, and so answers.
    pub(super) fn arrived(&mut self, text: &str) -> bool {
        let ready = self.phase == Phase::Ready;
        let Some((client, number)) = read(text) else {
            self.changed += 1;
            return false;
        };
        let known = self.tallies.get_mut(client).is_some_and(|tally| {
            if ready {
                return tally.delivered.see(number);
            }
            tally.dropped += 1;
            true
        });
        self.changed += usize::from(!known);
        ready && known
    }

    /// A client got an answer.
    pub(super) fn answered(&mut self, client: usize, text: &str, now: Instant) {
        let own = read(text).filter(|(of, _)| *of == client);
        let known =
            own.is_some_and(|(_, number)| self.tallies.get_mut(client).is_some_and(|tally| tally.answers.see(number)));
        self.changed += usize::from(!known);
        self.first_answer.get_or_insert(now);
    }

    /// Nothing more is to be expected of any client, and the backend is ready.
    pub(super) fn is_settled(&self) -> bool {
        self.phase == Phase::Ready && self.tallies.iter().all(|tally| tally.is_settled(self.frames))
    }

    /// The numbers as they stand.
    pub(super) fn ledger(&self) -> Ledger {
        let of_stage = |stage| self.tallies.iter().filter(|tally| tally.stage == stage).count();
        let sum = |count: fn(&Tally) -> usize| self.tallies.iter().map(count).sum::<usize>();
        let mut times: Vec<Duration> = self.tallies.iter().filter_map(|tally| tally.connect_time).collect();
        times.sort_unstable();
        Ledger {
            clients: self.tallies.len(),
            connected: times.len(),
            refused: of_stage(Stage::Refused),
            cut: of_stage(Stage::Cut),
            planned: self.tallies.len() * self.frames,
            sent: sum(|tally| tally.sent),
            dropped: sum(|tally| tally.dropped),
            delivered: sum(|tally| tally.delivered.distinct),
            answered: sum(|tally| tally.answers.distinct),
            doubled: sum(|tally| tally.delivered.doubled + tally.answers.doubled),
            out_of_order: sum(|tally| tally.delivered.out_of_order + tally.answers.out_of_order),
            changed: self.changed,
            connect_p50: percentile(&times, 50),
            connect_p95: percentile(&times, 95),
            first_answer: self.first_answer.zip(self.ready_at).map(|(at, ready)| at.saturating_duration_since(ready)),
        }
    }

    fn with(&mut self, client: usize, change: impl FnOnce(&mut Tally)) {
        if let Some(tally) = self.tallies.get_mut(client) {
            change(tally);
        }
    }
}

impl Ledger {
    /// Sent, and never taken by a ready backend.
    pub(super) fn lost(&self) -> usize {
        self.sent.saturating_sub(self.delivered)
    }

    /// Meant to be sent by clients that were refused or cut.
    pub(super) fn unsent(&self) -> usize {
        self.planned.saturating_sub(self.sent)
    }

    /// Every client connected, and every message was sent, delivered and answered, once, unchanged and in order.
    pub(super) fn is_clean(&self) -> bool {
        let all_connected = self.connected == self.clients && self.cut == 0;
        let all_answered = [self.sent, self.delivered, self.answered].iter().all(|count| *count == self.planned);
        all_connected && all_answered && self.doubled + self.out_of_order + self.changed + self.dropped == 0
    }
}

/// The text of message `number` of `client`, and of its answer.
pub(super) fn write(client: usize, number: usize) -> String {
    format!("{client}:{number}")
}

fn read(text: &str) -> Option<(usize, usize)> {
    let (client, number) = text.split_once(':')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}

/// The nearest rank: the smallest of `sorted` that `percent` of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
