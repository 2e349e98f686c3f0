//! What hyper leaves out of a connection: a deadline for each request head that is answered (408, where hyper would only
//! hang up), how its names were spelt, and an eye on a client whose handshake waits for its answer.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::{stall, upstream::spelling::Spelling};

const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The connection was just taken: the first head is due.
const FIRST: u8 = 0;
/// Between two requests: an idle client is hung up on without a word.
const IDLE: u8 = 1;
/// A later head has begun.
const BEGUN: u8 = 2;
/// A request is being answered; its body and its answer have no deadline here.
const BUSY: u8 = 3;

/// Where a connection stands, told by whoever answers its requests.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<Standing>);

#[derive(Debug)]
struct Standing {
    phase: AtomicU8,
    /// Whoever reads, to be told that a deadline has begun: the read was asked for while there was none.
    reader: Mutex<Option<Waker>>,
}

/// Bytes read from a client that sends before its handshake is answered. RFC 6455 §4.1 forbids it to; one that sends
/// more than this is no longer watched.
const MOST_AHEAD: usize = 4 << 10;

/// A stream whose reads fail once a request head is overdue.
#[derive(Debug)]
pub(super) struct Timed<S> {
    line: Line<S>,
    phase: Phase,
    time: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    answered: usize,
}

/// The stream, shared by hyper and whoever watches for its end. Both run in the connection's task, so the lock is free.
#[derive(Debug)]
pub(super) struct Line<S>(Arc<Mutex<Shared<S>>>);

#[derive(Debug)]
struct Shared<S> {
    /// None once it was handed over.
    stream: Option<S>,
    /// Read while watching, and not yet by hyper.
    ahead: Vec<u8>,
    /// The present head, as it came.
    head: BytesMut,
}

impl Phase {
    /// The head is read, the request is being answered.
    pub(super) fn begin(&self) {
        self.set(BUSY);
    }

    /// The answer is written, the next head may come.
    pub(super) fn end(&self) {
        self.set(IDLE);
        if let Some(reader) = self.reader().take() {
            reader.wake();
        }
    }

    fn get(&self) -> u8 {
        self.0.phase.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.0.phase.store(phase, Ordering::Relaxed);
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Timed<S> {
    /// Gives each request head of `stream` so much `time`.
    pub(super) fn new(stream: S, time: Duration) -> (Self, Phase) {
        let phase = Phase(Arc::new(Standing { phase: AtomicU8::new(FIRST), reader: Mutex::default() }));
        let line =
            Line(Arc::new(Mutex::new(Shared { stream: Some(stream), ahead: Vec::new(), head: BytesMut::new() })));
        (Self { line, phase: phase.clone(), time, timer: None, answered: 0 }, phase)
    }

    /// The stream, to be watched.
    pub(super) fn line(&self) -> Line<S> {
        self.line.clone()
    }

    /// Has `bytes`, which were read, read again.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        let mut shared = self.line.lock();
        shared.head.clear();
        shared.ahead.splice(..0, bytes.iter().copied());
    }

    /// The stream itself, and what was read of it while it was watched. None if it was handed over before.
    pub(super) fn hand_over(&mut self) -> Option<(S, Vec<u8>)> {
        let mut shared = self.line.lock();
        let stream = shared.stream.take()?;
        Some((stream, std::mem::take(&mut shared.ahead)))
    }
}

impl<S> Line<S> {
    fn lock(&self) -> MutexGuard<'_, Shared<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the names of the present head were spelt, to be taken once it has been read.
    pub(super) fn spelling(&self) -> Spelling {
        Spelling::of(std::mem::take(&mut self.lock().head).freeze())
    }

    /// Nobody will ask how the names of the present head were spelt. The next one would be put behind it.
    pub(super) fn forget(&self) {
        self.lock().head = BytesMut::new();
    }

    /// Does `act` on the stream.
    fn with<T>(&self, act: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        match &mut self.lock().stream {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> Line<S> {
    /// Returns once the client's stream has ended. hyper looks too, but not once the client has sent a byte ahead.
    pub(super) async fn ended(&self) {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await;
    }

    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.lock();
        let Shared { stream: Some(stream), ahead, .. } = &mut *shared else { return Poll::Pending };
        let mut piece = [0; 512];
        while ahead.len() < MOST_AHEAD {
            let mut read = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => ahead.extend(read.filled()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// What was read ahead comes first.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if shared.ahead.is_empty() {
            drop(shared);
            return self.with(|stream| stream.poll_read(cx, buf));
        }
        let count = shared.ahead.len().min(buf.remaining());
        buf.put_slice(&shared.ahead[..count]);
        shared.ahead.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S> Clone for Line<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    /// Ready once the head is overdue and the client has been told.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.time)));
        if self.answered == 0 {
            ready!(stall::poll_expired(timer.as_mut(), cx));
        }
        while self.phase.get() != IDLE && self.answered < TOO_LATE.len() {
            match self.line.with(|stream| stream.poll_write(cx, &TOO_LATE[self.answered..])) {
                Poll::Ready(Ok(count)) if count > 0 => self.answered += count,
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Once it is being told, it is no longer heard, whoever asks.
        if self.answered > 0 {
            return self.poll_overdue(cx).map(Ok);
        }
        let before = buf.filled().len();
        let read = self.line.poll_read(cx, buf);
        if self.phase.get() == BUSY {
            self.timer = None;
            *self.phase.reader() = Some(cx.waker().clone());
            return read;
        }
        if read.is_pending() {
            return self.poll_overdue(cx).map(Ok);
        }
        self.line.lock().head.extend_from_slice(&buf.filled()[before..]);
        if buf.filled().len() > before && self.phase.get() == IDLE {
            self.phase.set(BEGUN);
            let deadline = Instant::now() + self.time;
            if let Some(timer) = &mut self.timer {
                timer.as_mut().reset(deadline);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.line.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.with(|stream| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.line.lock().stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const TIME: Duration = Duration::from_secs(10);

    async fn told(client: &mut tokio::io::DuplexStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_not_whole_in_time_is_answered_408() {
        let (mut client, server) = duplex(1024);
        let (mut timed, _phase) = Timed::new(server, TIME);
        client.write_all(b"GET / HT").await.unwrap();
        let start = Instant::now();
        let mut head = Vec::new();
        timed.read_to_end(&mut head).await.unwrap();
        drop(timed);
        assert_eq!((head.as_slice(), start.elapsed().as_secs()), (b"GET / HT".as_slice(), TIME.as_secs()));
        assert!(told(&mut client).await.starts_with("HTTP/1.1 408 "));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_been_told_408_is_not_heard_any_more() {
        let (mut client, server) = duplex(1024);
        let (mut timed, _phase) = Timed::new(server, TIME);
        assert_eq!(timed.read(&mut [0; 8]).await.unwrap(), 0);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(timed.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_nobody_asks_for_is_not_put_before_the_next() {
        let (mut client, server) = duplex(1024);
        let (mut timed, phase) = Timed::new(server, TIME);
        for (head, name) in [("HOST: a\r\n", None), ("hOsT: a\r\n", Some(b"hOsT"))] {
            client.write_all(head.as_bytes()).await.unwrap();
            timed.read_exact(&mut [0; 9]).await.unwrap();
            phase.begin();
            match name {
                None => timed.line().forget(),
                Some(name) => assert_eq!(timed.line().spelling().speller().spell(&http::header::HOST), name),
            }
            phase.end();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_whose_rest_came_while_the_process_was_stopped_is_read() {
        let (mut client, server) = duplex(1024);
        let (mut timed, _phase) = Timed::new(server, TIME);
        client.write_all(b"GET / HT").await.unwrap();
        let mut head = [0; 8];
        timed.read_exact(&mut head).await.unwrap();
        let mut reading = std::pin::pin!(timed.read_u8());
        assert!(futures_util::poll!(&mut reading).is_pending());
        tokio::time::advance(TIME * 6).await;
        assert!(futures_util::poll!(&mut reading).is_pending(), "the stop was taken for silence");
        client.write_all(b"T").await.unwrap();
        assert_eq!(reading.await.unwrap(), b'T');
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_is_hung_up_on_without_a_word() {
        let (mut client, server) = duplex(1024);
        let (mut timed, phase) = Timed::new(server, TIME);
        phase.end();
        assert_eq!(timed.read(&mut [0; 8]).await.unwrap(), 0);
        drop(timed);
        assert_eq!(told(&mut client).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_idle_while_it_is_read_from_is_hung_up_on_too() {
        let (mut client, server) = duplex(1024);
        let (mut timed, phase) = Timed::new(server, TIME);
        phase.begin();
        let reader = tokio::spawn(async move { timed.read(&mut [0; 8]).await.unwrap() });
        tokio::task::yield_now().await;
        phase.end();
        assert_eq!(reader.await.unwrap(), 0);
        assert_eq!(told(&mut client).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_head_has_its_own_deadline() {
        let (mut client, server) = duplex(1024);
        let (mut timed, phase) = Timed::new(server, TIME);
        phase.begin();
        phase.end();
        client.write_all(b"G").await.unwrap();
        assert_eq!(timed.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(timed.read(&mut [0; 8]).await.unwrap(), 0);
        drop(timed);
        assert!(told(&mut client).await.starts_with("HTTP/1.1 408 "));
    }

    #[tokio::test]
    async fn what_was_read_while_watching_comes_first_and_the_end_is_seen() {
        let (mut client, server) = duplex(1024);
        let (mut timed, phase) = Timed::new(server, TIME);
        phase.begin();
        client.write_all(b"ahead").await.unwrap();
        let line = timed.line();
        assert!(futures_util::poll!(std::pin::pin!(line.ended())).is_pending());
        client.write_all(b", then").await.unwrap();
        let mut first = [0; 2];
        timed.read_exact(&mut first).await.unwrap();
        drop(client);
        line.ended().await;
        let (_, rest) = timed.hand_over().unwrap();
        assert_eq!((&first, rest.as_slice()), (b"ah", b"ead, then".as_slice()));
    }

    #[tokio::test]
    async fn a_client_that_sends_too_much_ahead_is_watched_no_more() {
        let (mut client, server) = duplex(MOST_AHEAD * 4);
        let (mut timed, _phase) = Timed::new(server, TIME);
        client.write_all(&[7; MOST_AHEAD * 3]).await.unwrap();
        drop(client);
        assert!(futures_util::poll!(std::pin::pin!(timed.line().ended())).is_pending());
        let (mut stream, mut ahead) = timed.hand_over().unwrap();
        stream.read_to_end(&mut ahead).await.unwrap();
        assert_eq!(ahead, [7; MOST_AHEAD * 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_has_no_deadline_here() {
        let (mut client, server) = duplex(1024);
        let (mut timed, phase) = Timed::new(server, TIME);
        phase.begin();
        let writer = tokio::spawn(async move {
            tokio::time::sleep(TIME * 3).await;
            client.write_all(b"body").await.unwrap();
        });
        assert_eq!(timed.read(&mut [0; 8]).await.unwrap(), 4);
        writer.await.unwrap();
    }
}
