//! Clients that count: each message of theirs is answered once and in its order, or they are told by a Close.

use std::net::SocketAddr;

use futures_util::future::join_all;

use crate::harness::{
    frame::{CLOSE, Frame},
    raw::Raw,
};

/// A bulky message, of which a client that does not read has many under way.
const BULK: usize = 4 << 10;
const BULKS: usize = 64;

/// Larger than `hold.connection_bytes` of the soak.
const TOO_BIG: usize = 32 << 10;

/// Less than it has under way, so that what it does not read stands with others; not less than a segment of the loopback,
/// for then TCP sends as much only when a timer says so.
const SLOW_BUFFER: usize = 64 << 10;

/// One client.
pub(crate) struct Client {
    raw: Raw,
    name: String,
    /// Messages under way and answered.
    pub(crate) sent: usize,
    received: usize,
}

/// Clients that do the same.
pub(crate) struct Wave(pub(crate) Vec<Client>);

/// What a client does once it is connected and has sent some messages, through an open gate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passing {
    /// Reads its answers, closes, and waits for the answering Close.
    Leaves,
    /// Sends no more, and reads what is left.
    HalfCloses,
    /// Is cut off inside a frame.
    Aborts,
    /// Has much under way and reads none of it until nothing more can be sent.
    ReadsLate,
}

/// How a held client makes that it is refused, and what it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    /// Cut off inside a frame: there is nobody to tell.
    Aborts,
    /// Sends a frame without a mask.
    BreaksProtocol,
    /// Begins a message that can never be held.
    SendsTooMuch,
}

/// What became of a client that arrived while its backend went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Every message was answered.
    Whole,
    /// By a status instead of the 101.
    Status(u16),
    /// By a Close after it.
    Close(u16),
}

impl Client {
    pub(crate) async fn arrive(address: SocketAddr, path: &str, name: String) -> Self {
        let mut raw = Raw::connect(address).await;
        raw.upgrade(path, &[]).await;
        Self::upgraded(raw, name)
    }

    /// One that has its 101.
    pub(crate) fn upgraded(raw: Raw, name: String) -> Self {
        Self { raw, name, sent: 0, received: 0 }
    }

    /// So many messages, glued together.
    pub(crate) async fn send(&mut self, messages: usize) {
        let bytes: Vec<u8> = (self.sent..self.sent + messages).flat_map(|seq| self.message(seq).masked()).collect();
        self.raw.send(bytes).await;
        self.sent += messages;
    }

    /// Whatever is under way, once and in order; what came twice is found by the next to read.
    pub(crate) async fn receive(&mut self) {
        while self.received < self.sent {
            assert_eq!(self.raw.frame().await, self.message(self.received));
            self.received += 1;
        }
    }

    pub(crate) async fn talk(&mut self, messages: usize) {
        for _ in 0..messages {
            self.send(1).await;
            self.receive().await;
        }
    }

    pub(crate) async fn leave(mut self) {
        self.close().await;
        self.closed().await;
    }

    async fn close(&mut self) {
        self.raw.send_frame(&Frame::close(1000, "")).await;
    }

    /// What is under way, and the answer to its Close.
    async fn closed(mut self) {
        self.receive().await;
        assert_eq!(self.raw.closed().await.0, 1000, "{}", self.name);
    }

    async fn half_close(&mut self) {
        self.raw.finish().await;
    }

    /// What is under way, and the end.
    async fn receive_to_the_end(mut self) {
        self.receive().await;
        self.raw.ended().await;
    }

    /// Reads the Close, and nothing else.
    pub(crate) async fn told(mut self) -> u16 {
        self.raw.closed().await.0
    }

    async fn abort(mut self) {
        let frame = self.message(self.sent).masked();
        self.raw.send(&frame[..frame.len() / 2]).await;
        self.raw.reset();
    }

    async fn read_late(&mut self) {
        let frames: Vec<_> = (0..BULKS).map(|seq| Frame::binary(&[seq as u8; BULK])).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::masked).collect();
        let answers: Vec<u8> = frames.iter().flat_map(Frame::plain).collect();
        let sent = self.raw.send_until_full(&bytes);
        assert!(self.raw.exchange(&bytes[sent..], answers.len()).await == answers, "{}", self.name);
    }

    fn message(&self, seq: usize) -> Frame {
        Frame::text(&format!("{} {seq}", self.name))
    }
}

impl Wave {
    pub(crate) async fn arrive(address: SocketAddr, path: &str, name: &str, clients: usize) -> Self {
        let client = |number| Client::arrive(address, path, format!("{name} {number}"));
        Self(join_all((0..clients).map(client)).await)
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.0.iter().map(|client| client.sent).sum()
    }

    pub(crate) async fn send(&mut self, messages: usize) {
        join_all(self.0.iter_mut().map(|client| client.send(messages))).await;
    }

    pub(crate) async fn receive(&mut self) {
        join_all(self.0.iter_mut().map(Client::receive)).await;
    }

    pub(crate) async fn talk(&mut self, messages: usize) {
        join_all(self.0.iter_mut().map(|client| client.talk(messages))).await;
    }

    pub(crate) async fn leave(self) {
        join_all(self.0.into_iter().map(Client::leave)).await;
    }

    /// Everybody's Close, which waits with what they have sent.
    pub(crate) async fn close(&mut self) {
        join_all(self.0.iter_mut().map(Client::close)).await;
    }

    pub(crate) async fn closed(self) {
        join_all(self.0.into_iter().map(Client::closed)).await;
    }

    pub(crate) async fn half_close(&mut self) {
        join_all(self.0.iter_mut().map(Client::half_close)).await;
    }

    pub(crate) async fn receive_to_the_end(self) {
        join_all(self.0.into_iter().map(Client::receive_to_the_end)).await;
    }

    /// Everybody is told this and nothing else.
    pub(crate) async fn all_told(self, code: u16) {
        let codes = join_all(self.0.into_iter().map(Client::told)).await;
        assert!(codes.iter().all(|told| *told == code), "{code} was expected: {codes:?}");
    }
}

impl Passing {
    pub(crate) const ALL: [Self; 4] = [Self::Leaves, Self::HalfCloses, Self::Aborts, Self::ReadsLate];

    /// A whole life.
    pub(crate) async fn live(self, address: SocketAddr, name: String, messages: usize) {
        let mut client = Client::arrive(address, "/ws", name).await;
        match self {
            Self::Leaves => {
                client.talk(messages).await;
                client.leave().await;
            }
            Self::HalfCloses => {
                client.send(messages).await;
                client.half_close().await;
                client.receive_to_the_end().await;
            }
            Self::Aborts => {
                client.talk(messages).await;
                client.abort().await;
            }
            Self::ReadsLate => {
                client.raw.read_through(SLOW_BUFFER);
                client.read_late().await;
                client.leave().await;
            }
        }
    }
}

impl Refused {
    pub(crate) const ALL: [Self; 3] = [Self::Aborts, Self::BreaksProtocol, Self::SendsTooMuch];

    /// Brings it on itself.
    pub(crate) async fn provoke(self, mut client: Client) {
        let (wrong, code) = match self {
            Self::Aborts => return client.abort().await,
            Self::BreaksProtocol => (client.message(0).plain(), 1002),
            Self::SendsTooMuch => (Frame::binary(&[0; TOO_BIG]).masked()[..16].to_vec(), 1009),
        };
        client.raw.send(wrong).await;
        assert_eq!(client.told().await, code, "{self:?}");
    }
}

impl Fate {
    /// Arrives, sends, and sees what becomes of it.
    pub(crate) async fn meet(address: SocketAddr, name: String, messages: usize) -> Self {
        let mut raw = Raw::connect(address).await;
        raw.ask("/ws", &[]).await;
        let status = raw.head().await.status();
        if status != 101 {
            return Self::Status(status);
        }
        let mut client = Client::upgraded(raw, name);
        // A session that is over takes no more.
        let bytes: Vec<u8> = (0..messages).flat_map(|seq| client.message(seq).masked()).collect();
        let _ = client.raw.try_send(bytes).await;
        for seq in 0..messages {
            let frame = client.raw.frame().await;
            if frame.opcode() == CLOSE {
                return Self::Close(frame.closing().0);
            }
            assert_eq!(frame, client.message(seq));
        }
        // Its backend may be gone before the answer to its Close.
        let _ = client.raw.try_send(Frame::close(1000, "").masked()).await;
        match client.told().await {
            1000 => Self::Whole,
            code => Self::Close(code),
        }
    }
}
