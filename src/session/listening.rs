//! A session between its upstream's 101 and its confirmation: what the upstream says goes to the client, what the client
//! says goes into its hold, and the rule listens.
//!
//! One piece of the upstream's stream is on its way at a time: a client that does not take it stops the reading.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    client::{BUFFER, Client},
    confirm::{Watch, agreed},
    event::Input,
};
use crate::{
    config::Confirm,
    upstream::Joined,
    wire::{close, header::Opcode},
};

/// Both streams, not joined yet.
pub(super) struct Listening<C, S> {
    client: Client<C>,
    /// The upstream; its early bytes are those that were read and not looked at.
    joined: Joined<S>,
    watch: Watch,
    /// It need not confirm any more: the next place between two frames will do.
    waived: bool,
    goodbye: Goodbye,
    /// The upstream sends no more.
    ended: bool,
}

/// What the upstream is told when the session ends before it is joined.
#[derive(Debug, PartialEq, Eq)]
enum Goodbye {
    /// Nothing, for it goes on.
    None,
    /// These bytes.
    Saying(Vec<u8>),
    /// Said; the end of our stream follows.
    Ending,
    /// Said, or nobody is there to hear it.
    Over,
}

impl<C, S> Listening<C, S>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Begins with the upstream's 101.
    pub(super) fn new(mut client: Client<C>, joined: Joined<S>, rule: Arc<Confirm>) -> Self {
        client.hear_upstream(joined.extensions().next().is_some());
        let watch = Watch::new(rule, agreed(joined.extensions()));
        Self { client, joined, watch, waived: false, goodbye: Goodbye::None, ended: false }
    }

    /// The client's side.
    pub(super) fn client(&self) -> &Client<C> {
        &self.client
    }

    /// The client's side, to be told something.
    pub(super) fn client_mut(&mut self) -> &mut Client<C> {
        &mut self.client
    }

    /// It may go on without a confirmation.
    pub(super) fn waive(&mut self) {
        self.waived = true;
    }

    /// What was heard ends between two messages.
    pub(super) fn is_between_messages(&self) -> bool {
        self.watch.is_between_messages()
    }

    /// The code of the upstream's Close.
    pub(super) fn close_code(&self) -> Option<u16> {
        self.watch.close_code()
    }

    /// Puts a Close to the upstream, which has got nothing before, and ends its stream.
    pub(super) fn part(&mut self, code: Option<u16>) {
        let (code, key) = (code.map(u16::to_be_bytes), fastrand::u32(..).to_ne_bytes());
        let payload = code.as_ref().map_or(&[][..], |code| code);
        self.goodbye = Goodbye::Saying(close::control(Opcode::Close, payload, Some(key)));
    }

    /// Gives everything away. What the upstream said behind its confirmation has become its early bytes.
    pub(super) fn hand_over(self) -> (Client<C>, Joined<S>) {
        (self.client, self.joined)
    }

    /// The next thing that the session must know of, as [`Client::poll_next`].
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, progress: &impl Fn(usize, usize)) -> Poll<Input> {
        loop {
            if let Poll::Ready(input) = self.client.poll_next(cx, progress) {
                return Poll::Ready(input);
            }
            let heard = match self.goodbye {
                Goodbye::None => self.poll_hear(cx),
                Goodbye::Saying(_) | Goodbye::Ending | Goodbye::Over => self.poll_part(cx),
            };
            if let Some(input) = ready!(heard) {
                return Poll::Ready(input);
            }
        }
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        if self.waived && self.client.outbox().is_between_frames() {
            return Poll::Ready(Some(Input::Confirmed));
        }
        if !self.client.outbox().unsent().is_empty() {
            return Poll::Pending;
        }
        if !self.joined.early.is_empty() {
            let early = std::mem::take(&mut self.joined.early);
            return Poll::Ready(self.hear(&early));
        }
        match ready!(self.poll_read(cx, Self::hear)) {
            Some(input) => Poll::Ready(input),
            None => Poll::Ready(Some(self.lost())),
        }
    }

    /// Passes a piece on and looks at it.
    fn hear(&mut self, piece: &[u8]) -> Option<Input> {
        let confirmed = if self.waived { Some(self.look_to_boundary(piece)) } else { self.watch.look(piece) };
        let (heard, rest) = piece.split_at(confirmed.unwrap_or(piece.len()));
        self.client.pass(heard);
        let outbox = self.client.outbox();
        if outbox.has_closed() {
            return Some(Input::UpstreamClosed);
        }
        if outbox.is_lost() {
            return Some(self.lost());
        }
        if confirmed.is_none() || !outbox.is_between_frames() {
            return None;
        }
        self.joined.early = rest.to_vec().into();
        Some(Input::Confirmed)
    }

    /// What lies behind the boundary is not heard: whether a message is under way is asked of the place where it stops.
    fn look_to_boundary(&mut self, piece: &[u8]) -> usize {
        let end = self.client.outbox().until_boundary(piece);
        self.watch.look(&piece[..end]);
        end
    }

    fn lost(&self) -> Input {
        Input::UpstreamLost { between_frames: self.client.outbox().is_between_frames() }
    }

    /// Says goodbye to the upstream, and reads it to its end meanwhile: a socket that is closed with unread bytes resets
    /// and can take the Close with it. A Close of ours that waits for the end of a frame gets the rest of that frame.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        self.say_goodbye(cx);
        let is_waiting = self.client.outbox().is_waiting();
        if self.ended || (is_waiting && !self.client.outbox().unsent().is_empty()) {
            return Poll::Pending;
        }
        if ready!(self.poll_read(cx, |listening, piece| listening.client.pass(piece))).is_some() {
            return Poll::Ready(None);
        }
        self.ended = true;
        Poll::Ready(is_waiting.then_some(Input::ClientLost))
    }

    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if let Goodbye::Saying(left) = &mut self.goodbye {
            self.goodbye = match poll_write_all(Pin::new(&mut self.joined.stream), left, cx) {
                Poll::Pending => return,
                Poll::Ready(true) => Goodbye::Ending,
                Poll::Ready(false) => Goodbye::Over,
            };
        }
        if self.goodbye == Goodbye::Ending && Pin::new(&mut self.joined.stream).poll_shutdown(cx).is_ready() {
            self.goodbye = Goodbye::Over;
        }
    }

    /// One piece of the upstream's stream, for `take`; none at its end, orderly or not.
    fn poll_read<T>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut Self, &[u8]) -> T) -> Poll<Option<T>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.joined.stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => Poll::Ready(Some(take(self, read.filled()))),
                Ok(()) | Err(_) => Poll::Ready(None),
            }
        })
    }
}

/// Writes and flushes all that is `left`; false if the stream takes no more.
fn poll_write_all<S: AsyncWrite>(mut stream: Pin<&mut S>, left: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<bool> {
    while !left.is_empty() {
        match ready!(stream.as_mut().poll_write(cx, left)) {
            Ok(count) if count > 0 => drop(left.drain(..count)),
            Ok(_) | Err(_) => return Poll::Ready(false),
        }
    }
    stream.poll_flush(cx).map(|flushed| flushed.is_ok())
}

#[cfg(test)]
#[path = "listening_tests.rs"]
mod tests;
