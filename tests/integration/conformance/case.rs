//! One conversation with an echo server, and what may differ of it while it is held.

use crate::harness::frame::{CLOSE, Frame, PING, PONG};

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;
const KEY: [u8; 4] = [0x0f, 0xf0, 0x5a, 0xa5];

/// What a client sends, step by step; it goes on when a step is answered.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Its section of RFC 6455 (or 7692) and what is tried.
    pub(super) name: String,
    /// Sec-WebSocket-Extensions of its handshake.
    pub(super) offer: Option<&'static str>,
    /// The first is sent while the client is held.
    pub(super) steps: Vec<Step>,
    /// It sends a Close of its own.
    pub(super) closes: bool,
    pub(super) held: Held,
}

/// Bytes, and what the client waits for before it goes on.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) bytes: Vec<u8>,
    pub(super) awaits: Awaits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// So many messages and pongs since the connection began, or its end.
    Answers { messages: usize, pongs: usize },
    /// A Close, or the end without one.
    End,
}

/// What a client receives that was accepted early and sent its first step while it was held, beside what a client
/// receives that is connected to the server directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The same bytes.
    Same,
    /// readygate judges in the server's place: a Close with the same code, with a reason of readygate's.
    Judged(u16),
    /// The same, where this server is more patient, or has another code for it.
    Stricter(u16),
    /// The same bytes, before the gate opens: nothing is held that the server could answer, so readygate sends the Close
    /// back as servers do.
    Echoed,
    /// An early accept agrees on no extension: the same messages, but not compressed.
    Plain,
}

impl Case {
    /// A client that sends `bytes` at once and is told to go.
    pub(super) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        Self { name, offer: None, steps: Vec::new(), closes: false, held: Held::Same }.then(bytes)
    }

    /// Frames that are in order, answered by so many messages.
    pub(super) fn echoed(name: impl Into<String>, frames: &[Frame], messages: usize) -> Self {
        let pongs = frames.iter().filter(|frame| frame.opcode() == PING).count();
        Self::new(name, wire(frames)).answered(messages, pongs)
    }

    /// Bytes that break RFC 6455: at once, and in a session that is open by then, where they are the server's own business.
    pub(super) fn broken(name: &str, bytes: &[u8], held: Held) -> [Self; 2] {
        let first = Self { held, ..Self::new(name, bytes) };
        let later = Self::echoed(format!("{name}, later"), &[Frame::text("before")], 1).then(bytes);
        [first, later]
    }

    /// One step more, after which the client waits for the end.
    pub(super) fn then(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step { bytes: bytes.into(), awaits: Awaits::End });
        self
    }

    /// The last step is answered by so many messages and pongs, those before it counted in.
    pub(super) fn answered(mut self, messages: usize, pongs: usize) -> Self {
        let last = self.steps.last_mut().unwrap();
        last.awaits = Awaits::Answers { messages, pongs };
        self
    }

    pub(super) fn offering(self, offer: &'static str) -> Self {
        Self { offer: Some(offer), ..self }
    }

    pub(super) fn held(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// What it sends holds its own Close.
    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The frames of the first step that are held: all but pings and pongs, which end at readygate.
    pub(super) fn kept(&self) -> usize {
        let sizes = frames(&self.steps[0].bytes).into_iter().map(|(frame, wire)| (frame.opcode(), wire));
        sizes.filter(|(opcode, _)| ![PING, PONG].contains(opcode)).map(|(_, wire)| wire).sum()
    }

    /// The messages of the first step as one frame each.
    pub(super) fn messages(&self) -> Vec<Frame> {
        let mut messages = Vec::new();
        let mut open: Option<Frame> = None;
        for (frame, _) in frames(&self.steps[0].bytes) {
            if frame.opcode() >= CLOSE {
                continue;
            }
            let message = open.get_or_insert_with(|| Frame::new(FIN | frame.opcode(), []));
            message.payload.extend(&frame.payload);
            if frame.first & FIN != 0 {
                messages.extend(open.take());
            }
        }
        messages
    }
}

/// Whole frames at the start of `bytes`, each with its length on the wire.
fn frames(mut bytes: &[u8]) -> Vec<(Frame, usize)> {
    let mut frames = Vec::new();
    while let Some((frame, _, wire)) = Frame::parse(bytes) {
        frames.push((frame, wire));
        bytes = &bytes[wire..];
    }
    frames
}

/// As a client sends them.
pub(super) fn wire(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::masked).collect()
}

/// A masked header whose length is written as `form` says, in 2 or 8 bytes, whether that is the shortest form or not;
/// without a payload.
pub(super) fn forged(first: u8, form: u8, length: u64) -> Vec<u8> {
    let field = length.to_be_bytes();
    let field = if form == 126 { &field[6..] } else { &field[..] };
    [&[first, MASKED | form], field, &KEY].concat()
}

/// A payload under the mask of [`forged`].
pub(super) fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}
