//! What must hold after every seed, judged from the bytes at both ends and not from what the code says of itself.

use super::{
    backend::{self, Dialed, Reaction},
    client::{Last, Manner},
    frames::{self, CLOSE, Frame, PING, PONG, TEXT},
    heard,
    line::Ending,
    scene::{Scene, Session},
};
use crate::{
    config::{Config, Mode},
    session::{Reply, outcome::Outcome},
};

/// Codes that readygate may send of its own; 1000 only as the echo of a client's.
const OURS: [u16; 11] = [1002, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 3003, 1001];

/// What may lie in a hold beyond its bytes: a header and a control frame in pieces, and the glued bytes.
const BESIDE_THE_HOLD: usize = 14 + 131 + 200;

/// A control frame of a server.
const MAX_CONTROL_FRAME: usize = 2 + 125;

/// A notice of readygate's, with its header: some words and four numbers.
const MAX_NOTICE: usize = 300;

/// A piece of a text message no longer than this may be of the upstream's or of a notice that was cut short.
const NOTICE_HEADER: usize = 4;

/// Held, then one on passing or on closing.
const MOST_NOTICES: usize = 2;

/// The last frame of its message.
const FIN: u8 = 0x80;

/// How a notice begins, and no message of a simulated backend.
pub(super) const NOTICE: &[u8] = br#"{"type":"readygate""#;

/// What a splice reads at a time.
const SPLICE_PIECE: usize = 64 << 10;

/// One session's two streams, taken apart.
struct Streams<'s> {
    session: &'s Session,
    outcome: Outcome,
    dialed: Option<&'s Dialed>,
    /// All that the client sent, and as far as readygate has read it.
    client: Vec<u8>,
    read: usize,
    /// All that the upstream took.
    upstream: Vec<u8>,
    /// All that the upstream sent.
    answers: Vec<u8>,
    /// All that the client took.
    told: Vec<u8>,
    /// How much the upstream sent up to its confirmation, if it has to confirm.
    confirms: Option<usize>,
}

/// What the client was told, in the order in which it must come.
struct Told {
    /// Pongs of ours.
    pongs: Vec<Vec<u8>>,
    /// How much of the upstream's stream.
    relayed: usize,
    /// A Close of ours.
    close: Option<Frame>,
    /// So many bytes follow that are no whole frame.
    cut_short: usize,
}

pub(super) fn scene(scene: &Scene) {
    for (index, session) in scene.sessions.iter().enumerate() {
        let dialed = scene.dials.iter().rfind(|dial| dial.session == index && dial.line.is_some());
        assert!(session.line.log().dropped, "the client's stream outlives its session");
        let Some(outcome) = session.outcome else { continue };
        let streams = Streams::new(session, outcome, dialed);
        let answered = streams.check_upstream();
        let told = streams.told();
        streams.check_pongs(&told, &answered);
        streams.check_close(&told);
        streams.check_reply();
        streams.check_notices(&session.house.config);
        streams.check_mode(&session.house.config);
        streams.check_agreement(&told);
        streams.check_loss(&told, scene);
        streams.check_memory();
        heard::session(session, outcome, dialed, told.relayed, scene);
    }
    books(scene);
    gates(scene);
}

/// The numbers are back where they were, and every session is counted once.
fn books(scene: &Scene) {
    let house = &scene.house;
    let (books, (before, outcomes)) = (house.metrics.books(), &scene.before);
    assert_eq!(books.received, books.delivered + books.refused, "ledger: {books:?}");
    assert_eq!(books.imbalances, before.imbalances);
    assert_eq!((books.held_bytes, books.held_frames), (0, 0), "{books:?}");
    assert_eq!((house.budget.bytes(), house.budget.sessions()), (0, 0));
    assert_eq!(house.registry.count(), 0);
    assert!(house.metrics.sessions().iter().all(|(_, count)| *count == 0), "{:?}", house.metrics.sessions());
    assert_eq!(house.metrics.outcomes() - outcomes, scene.sessions.len() as u64);
}

/// Nobody waits at a gate any more, and nobody has kept a turn.
fn gates(scene: &Scene) {
    assert_eq!(scene.gates.turns_taken(), 0, "a turn is not given back");
    assert!(!scene.gates.are_waited_for(), "somebody still waits");
    assert!(scene.gates.former_are_over(), "a gate that was replaced does not end");
}

impl<'s> Streams<'s> {
    fn new(session: &'s Session, outcome: Outcome, dialed: Option<&'s Dialed>) -> Self {
        let log = session.line.log();
        let (upstream, answers) = dialed.and_then(|dial| dial.line.as_ref()).map_or_else(Default::default, |line| {
            let log = line.log();
            assert!(log.dropped, "the upstream's stream outlives its session");
            (log.taken.clone(), log.sent.clone())
        });
        let (client, told) = (log.sent.clone(), log.taken.clone());
        let confirmation = dialed.and_then(|dial| dial.line.as_ref()?.log().confirmation);
        let confirms = confirmation.map(|confirmation| confirmation.after);
        Self { session, outcome, dialed, client, read: log.read, upstream, answers, told, confirms }
    }

    /// The upstream has the client's bytes in order, but for the pings and pongs at the front that readygate took itself.
    /// Returns the pings among those.
    fn check_upstream(&self) -> Vec<Frame> {
        let (sent, tail) = frames::split(&self.client[..self.read]);
        let (mut left, mut answered, mut passed_control) = (self.upstream.as_slice(), Vec::new(), false);
        let mut closed = false;
        for frame in sent {
            if left.is_empty() {
                return answered;
            }
            if let Some(rest) = left.strip_prefix(frame.raw.as_slice()) {
                // A pong that came before the confirmation is kept for the upstream; a ping then is not.
                passed_control |= frame.opcode == PING || (frame.opcode == PONG && self.confirms.is_none());
                closed |= frame.opcode == CLOSE;
                left = rest;
            } else if frame.raw.starts_with(left) {
                return answered;
            } else if matches!(frame.opcode, PING | PONG) && !passed_control {
                answered.extend((frame.opcode == PING).then_some(frame));
            } else if !closed {
                self.check_own_close(left);
                return answered;
            }
        }
        if !tail.starts_with(left) && !closed {
            self.check_own_close(left);
        }
        answered
    }

    /// Only a drain puts a Close to the upstream, masked, 1012, and last; but for one that has to confirm.
    fn check_own_close(&self, bytes: &[u8]) {
        let (all, rest) = frames::split(bytes);
        assert!(all.len() <= 1 && bytes[0] == 0x88, "the upstream got what the client did not send: {bytes:?}");
        for close in all {
            if self.confirms.is_some() && close.raw == self.upstream {
                return self.check_goodbye(&close);
            }
            assert_eq!((close.close_code(), rest.len()), (Some(1012), 0), "{close:?}");
            assert!(close.raw[1] & 0x80 != 0, "a Close to the upstream without a mask");
            assert_eq!(self.outcome, Outcome::Drained);
        }
    }

    /// An upstream that has to confirm may be told before it does, and nothing else: what it said itself, what the client
    /// did, or why readygate ends the session.
    fn check_goodbye(&self, close: &Frame) {
        let same = |frame: &Frame| frame.opcode == CLOSE && frame.close_code() == close.close_code();
        let closes = |stream: &[u8]| frames::split(stream).0.iter().any(same);
        assert!(close.raw[1] & 0x80 != 0, "a Close to the upstream without a mask");
        match self.outcome {
            Outcome::Unconfirmed => assert!(closes(&self.answers), "{close:?} answers nothing"),
            Outcome::ClientGone => assert!(closes(&self.client), "{close:?} says what the client did not"),
            Outcome::Drained => assert_eq!(close.close_code(), Some(1012)),
            outcome => assert_eq!(close.close_code(), Some(1001), "{outcome:?}"),
        }
    }

    fn told(&self) -> Told {
        if self.confirms.is_some() {
            return self.told_meanwhile();
        }
        let mut left = self.told.as_slice();
        let mut pongs = Vec::new();
        let sends_first = frames::first(&self.answers).map(|frame| frame.raw);
        while let Some(frame) = frames::first(left) {
            let is_notice = frame.opcode == TEXT && frame.payload.starts_with(NOTICE);
            let is_ours = is_notice || frame.opcode == PONG || (frame.opcode == PING && frame.payload.is_empty());
            if !is_ours || sends_first.as_ref() == Some(&frame.raw) {
                break;
            }
            pongs.extend((frame.opcode == PONG).then_some(frame.payload));
            left = &left[frame.raw.len()..];
        }
        let relayed = self.relayed(left);
        let (mut own, rest) = frames::split(&left[relayed..]);
        let close = own.pop();
        assert!(own.is_empty(), "the client got what nobody sent: {own:?}");
        Told { pongs, relayed, close, cut_short: rest.len() }
    }

    /// While the upstream has to confirm, frames of ours may stand between any two of its own.
    fn told_meanwhile(&self) -> Told {
        let (mut left, mut relayed, mut pongs) = (self.told.as_slice(), 0, Vec::new());
        let mut is_inside_message = false;
        while let Some(frame) = frames::first(left) {
            let is_notice = frame.opcode == TEXT && frame.payload.starts_with(NOTICE);
            let is_ours = is_notice || frame.opcode == PONG || (frame.opcode == PING && frame.payload.is_empty());
            if self.answers[relayed..].starts_with(&frame.raw) {
                relayed += frame.raw.len();
                is_inside_message = if frame.is_data() { frame.raw[0] & FIN == 0 } else { is_inside_message };
            } else if is_ours {
                assert!(!is_notice || !is_inside_message, "a notice inside a message of the upstream");
                pongs.extend((frame.opcode == PONG).then_some(frame.payload));
            } else {
                break;
            }
            left = &left[frame.raw.len()..];
        }
        if self.answers[relayed..].starts_with(left) {
            (relayed, left) = (relayed + left.len(), &[]);
        }
        let (mut own, rest) = frames::split(left);
        let close = own.pop();
        assert!(own.is_empty(), "the client got what nobody sent: {own:?}");
        Told { pongs, relayed, close, cut_short: rest.len() }
    }

    /// How much of `told` is the upstream's: all of it, or whole frames up to something of ours.
    fn relayed(&self, told: &[u8]) -> usize {
        if self.answers.starts_with(told) {
            return told.len();
        }
        let mut whole = 0;
        for frame in frames::split(&self.answers).0 {
            if !told[whole..].starts_with(&frame.raw) {
                break;
            }
            whole += frame.raw.len();
        }
        whole
    }

    /// Pings taken by readygate are answered, once, in order, and before anything that is not its own.
    fn check_pongs(&self, told: &Told, answered: &[Frame]) {
        let pings: Vec<Vec<u8>> =
            frames::split(&self.client).0.into_iter().filter(|f| f.opcode == PING).map(|f| f.payload).collect();
        assert!(pings.starts_with(&told.pongs), "pongs {:?} for pings {pings:?}", told.pongs);
        if told.relayed > self.confirms.unwrap_or_default().saturating_add(NOTICE_HEADER) {
            assert!(told.pongs.len() >= answered.len(), "a ping was taken and not answered");
        }
    }

    /// A Close of ours is whole or the last thing, has a legal code, and says what the outcome is.
    fn check_close(&self, told: &Told) {
        let relayed = frames::split(&self.answers[..told.relayed.min(self.answers.len())]).0;
        let upstream_closed = relayed.iter().any(|frame| frame.opcode == CLOSE);
        let Some(close) = &told.close else {
            assert!(told.cut_short <= MAX_CONTROL_FRAME.max(MAX_NOTICE), "{} bytes of nobody", told.cut_short);
            return;
        };
        assert_eq!(close.opcode, CLOSE, "the client got what nobody sent: {close:?}");
        assert!(told.cut_short == 0, "bytes after a Close");
        assert!(!upstream_closed, "a second Close");
        if self.outcome == Outcome::ClientGone {
            let echoes = frames::split(&self.client).0.iter().any(|f| f.close_code() == close.close_code());
            assert!(echoes, "a Close that echoes nothing: {close:?}");
            return;
        }
        let code = close.close_code().expect("a Close of ours has a code");
        assert!(OURS.contains(&code), "code {code}");
        let codes = &[expected_code(self.outcome), Some(1012).filter(|_| self.dialed.is_some())];
        assert!(codes.contains(&Some(code)), "code {code} for {:?}", self.outcome);
    }

    /// Before the 101 the answer is what the outcome says.
    fn check_reply(&self) {
        match (&self.session.reply, self.outcome) {
            (None, outcome) => assert_eq!(outcome, Outcome::ClientGone),
            (Some(Reply::Decline(response)), outcome) => {
                assert_eq!(outcome, Outcome::UpstreamRefused(response.status()));
            }
            (Some(Reply::Refuse(farewell)), outcome) => {
                assert_eq!(Some(farewell.code), expected_code(outcome), "{outcome:?}");
                assert!(farewell.status.as_u16() >= 400);
            }
            (Some(Reply::Switch { .. }), _) => assert!(self.dialed.is_some(), "a 101 that the upstream did not give"),
            (Some(Reply::Early { .. }), _) => {}
        }
    }

    /// Switched off, or to who is not gated, readygate says nothing of its own.
    fn check_notices(&self, config: &Config) {
        let is_notice = |frame: &Frame| frame.opcode == TEXT && frame.payload.starts_with(NOTICE);
        let notices = frames::split(&self.told).0.iter().filter(|frame| is_notice(frame)).count();
        let may_be_told = config.features.client_notices && config.gate.mode == Mode::Enforce;
        assert!(notices == 0 || may_be_told, "{notices} notices");
        assert!(notices <= MOST_NOTICES, "{notices} notices");
    }

    /// Who is not gated is never held: the backend answers, or nobody does.
    fn check_mode(&self, config: &Config) {
        if config.gate.mode != Mode::Enforce {
            assert!(!matches!(self.session.reply, Some(Reply::Early { .. })), "accepted early");
            let of_a_hold = [Outcome::HoldTimeout, Outcome::HoldFull, Outcome::TooMany, Outcome::ClientSilent];
            assert!(!of_a_hold.contains(&self.outcome), "{:?}", self.outcome);
        }
    }

    /// An upstream that answers otherwise than the client was told gets nothing, and is not heard.
    fn check_agreement(&self, told: &Told) {
        let disagrees = self
            .dialed
            .is_some_and(|dial| matches!(dial.reaction, Reaction::OtherSubprotocol | Reaction::UnaskedExtension));
        if disagrees && matches!(self.session.reply, Some(Reply::Early { .. })) {
            assert_eq!((self.upstream.len(), told.relayed), (0, 0), "a mismatch was joined");
        }
    }

    /// Whoever lost a frame was told, or is gone, or could not be told.
    fn check_loss(&self, told: &Told, scene: &Scene) {
        let has_101 = matches!(self.session.reply, Some(Reply::Early { .. } | Reply::Switch { .. }));
        let lost = data_frames(&self.client[..self.read]) > data_frames(&self.upstream);
        let told_by_upstream = frames::split(&self.answers[..told.relayed]).0.iter().any(|f| f.opcode == CLOSE);
        let must_tell = lost || expected_code(self.outcome).is_some();
        if !has_101 || !must_tell || told.close.is_some() || told_by_upstream {
            return;
        }
        let log = self.session.line.log();
        let plan = &self.session.plan;
        let is_gone = log.ending == Some(Ending::Reset) || plan.manner == Manner::Dumb;
        let reads = !matches!(plan.manner, Manner::Deaf | Manner::Slow | Manner::Vanishing);
        let inside_frame = told.relayed > 0 && {
            let rest = frames::split(&self.answers[..told.relayed]).1;
            !rest.is_empty()
        };
        let leaves_inside =
            self.dialed.is_some_and(|dial| matches!(dial.reaction, Reaction::Joins(backend::Manner::LeavesInside)));
        let is_cut = scene.is_cut(self.session);
        let after_close = self.closes_then_sends();
        let was_being_told = told.cut_short > 0;
        let excused = was_being_told || is_gone || !reads || inside_frame || leaves_inside || is_cut || after_close;
        assert!(excused, "frames are lost and the client was not told: {:?}", self.outcome);
    }

    /// What a client sends after its own Close need not be delivered.
    fn closes_then_sends(&self) -> bool {
        let (all, _) = frames::split(&self.client[..self.read]);
        let before = all.iter().position(|frame| frame.opcode == CLOSE).unwrap_or(all.len());
        let wanted = all[..before].iter().filter(|frame| frame.is_data()).count();
        wanted <= data_frames(&self.upstream)
    }

    /// What was read and not passed on is bounded by the hold, or by a piece of the splice.
    fn check_memory(&self) {
        let hold = self.session.house.config.hold.connection_bytes;
        let most = if self.dialed.is_some() { hold.max(SPLICE_PIECE) } else { hold };
        let control: usize =
            frames::split(&self.client).0.iter().filter(|frame| !frame.is_data()).map(|frame| frame.raw.len()).sum();
        let is_read_to_drop = expected_code(self.outcome).is_some() || self.session.plan.last != Last::Stay;
        let kept = self.read.saturating_sub(self.upstream.len() + control);
        assert!(is_read_to_drop || kept <= most + BESIDE_THE_HOLD, "{kept} bytes kept of {most}");
    }
}

fn data_frames(bytes: &[u8]) -> usize {
    frames::split(bytes).0.iter().filter(|frame| frame.is_data()).count()
}

/// DESIGN's table, once more.
fn expected_code(outcome: Outcome) -> Option<u16> {
    match outcome {
        Outcome::Completed | Outcome::ClientGone | Outcome::Unconfirmed => None,
        Outcome::HoldTimeout | Outcome::HoldFull | Outcome::TooMany | Outcome::ConfirmTimeout => Some(1013),
        Outcome::TooBig => Some(1009),
        Outcome::ProtocolError => Some(1002),
        Outcome::InvalidPayload => Some(1007),
        Outcome::FrameTimeout | Outcome::ClientSilent => Some(1008),
        Outcome::UpstreamRefused(status) if status == 401 => Some(3000),
        Outcome::UpstreamRefused(status) if status == 403 => Some(3003),
        Outcome::UpstreamRefused(_)
        | Outcome::UpstreamUnreachable
        | Outcome::UpstreamTimeout
        | Outcome::BadHandshake => Some(1014),
        Outcome::UpstreamLost | Outcome::Drained => Some(1012),
        Outcome::Internal => Some(1011),
    }
}
