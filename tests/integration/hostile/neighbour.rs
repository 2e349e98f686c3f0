//! A client beside the hostile ones, who must not notice them.

use crate::harness::{frame::Frame, gate::Running, raw::Raw, upstream::Upstream};

/// What it has sent while held.
const WORDS: &str = "a word of a neighbour";

/// Held, with a message.
pub(super) struct Neighbour(Raw);

impl Neighbour {
    /// Its message is held.
    pub(super) async fn held(gate: &Running) -> Self {
        let mut client = gate.held_client().await;
        client.send_frame(&Frame::text(WORDS)).await;
        let neighbour = Self(client);
        gate.holds_bytes(|bytes| bytes as usize == neighbour.bytes()).await;
        neighbour
    }

    /// What it has in the hold.
    pub(super) fn bytes(&self) -> usize {
        Frame::text(WORDS).masked().len()
    }

    /// Its message reaches the backend first, and is answered.
    pub(super) async fn hears_back(mut self, upstream: &mut Upstream) {
        let mut backend = upstream.dialed().await;
        backend.accept(&[]).await;
        assert_eq!(backend.frame().await, Frame::text(WORDS));
        backend.send_frame(&Frame::text("heard")).await;
        assert_eq!(self.0.frame().await, Frame::text("heard"));
    }
}
