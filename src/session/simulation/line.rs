//! A simulated connection: the code under test has the [`Socket`], the script of the peer has the [`Line`].
//!
//! Every poll of the socket may stall or move less than asked; a seed decides.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep, sleep},
};

use super::purse::Purse;
use crate::dial::Hangup;

/// The first byte of a Close.
const CLOSING: u8 = 0x88;

/// One connection in so many fails at a poll of its own.
const FAILS_ONE_IN: u32 = 12;

/// Beyond so many polls a session is long open, and one more teaches nothing.
const MOST_POLLS: u32 = 80;

/// What goes wrong on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// One poll in so many stalls; 0 for never.
    pub(super) stall_one_in: u32,
    /// Longest stall.
    pub(super) stall: Duration,
    /// Most bytes moved by one poll.
    pub(super) piece: usize,
}

/// How the peer stops sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Eof,
    Reset,
}

/// When the code may write: once it has read so many bytes, or at that time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmation {
    pub(super) after: usize,
    pub(super) waived: Option<Instant>,
}

/// What a socket has seen, for the checks.
#[derive(Debug)]
pub(super) struct Log {
    rng: Rng,
    weather: Weather,
    purse: Option<Arc<Purse>>,
    /// Polls until one fails and the connection is reset.
    fails_after: Option<u32>,
    inbound: VecDeque<u8>,
    pub(super) ending: Option<Ending>,
    /// All that the peer sent.
    pub(super) sent: Vec<u8>,
    /// Bytes of it that the code has read.
    pub(super) read: usize,
    /// All that the code wrote.
    pub(super) taken: Vec<u8>,
    /// Bytes that may be taken in all; a reader raises it.
    pub(super) window: usize,
    /// After so many taken bytes the peer resets.
    pub(super) reset_after: Option<usize>,
    /// What the peer must have said before it is written to.
    pub(super) confirmation: Option<Confirmation>,
    /// The code has ended its side.
    pub(super) shut: bool,
    /// In order, and not only by going.
    pub(super) shut_in_order: bool,
    pub(super) dropped: bool,
    readers: Option<Waker>,
    writers: Option<Waker>,
}

/// The peer's end.
#[derive(Clone, Debug)]
pub(super) struct Line {
    log: Arc<Mutex<Log>>,
    changed: Arc<Notify>,
}

/// The end of the code under test.
#[derive(Debug)]
pub(super) struct Socket {
    line: Line,
    read_stall: Option<Pin<Box<Sleep>>>,
    write_stall: Option<Pin<Box<Sleep>>>,
}

/// A connection whose peer takes up to `window` bytes until it reads on.
pub(super) fn connect(rng: &mut Rng, weather: Weather, window: usize, purse: Option<Arc<Purse>>) -> (Line, Socket) {
    let log = Log {
        rng: rng.fork(),
        weather,
        purse,
        fails_after: (rng.u32(0..FAILS_ONE_IN) == 0).then(|| rng.u32(0..MOST_POLLS)),
        inbound: VecDeque::new(),
        ending: None,
        sent: Vec::new(),
        read: 0,
        taken: Vec::new(),
        window,
        reset_after: None,
        confirmation: None,
        shut: false,
        shut_in_order: false,
        dropped: false,
        readers: None,
        writers: None,
    };
    let line = Line { log: Arc::new(Mutex::new(log)), changed: Arc::new(Notify::new()) };
    (line.clone(), Socket { line, read_stall: None, write_stall: None })
}

impl Line {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    /// Sends, unless the peer has ended.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut log = self.log();
        if log.ending.is_none() {
            log.sent.extend(bytes);
            log.inbound.extend(bytes);
            log.wake();
        }
    }

    /// Notes bytes that reach the code another way, before all others.
    pub(super) fn sent_elsewhere(&self, bytes: &[u8]) {
        let mut log = self.log();
        log.sent.extend(bytes);
        log.read += bytes.len();
    }

    pub(super) fn end(&self, ending: Ending) {
        let mut log = self.log();
        log.ending.get_or_insert(ending);
        if ending == Ending::Reset {
            log.ending = Some(ending);
            log.inbound.clear();
        }
        log.wake();
    }

    /// Reads `count` bytes more.
    pub(super) fn read_on(&self, count: usize) {
        let mut log = self.log();
        log.window = log.window.saturating_add(count);
        log.wake();
    }

    /// From here on nothing is taken or said, and nobody is told.
    pub(super) fn vanish(&self) {
        let mut log = self.log();
        log.window = log.taken.len();
    }

    pub(super) fn reset_after(&self, count: usize) {
        self.log().reset_after = Some(count);
    }

    pub(super) fn wait_for(&self, confirmation: Confirmation) {
        self.log().confirmation = Some(confirmation);
    }

    /// Returns after the code has written or ended something since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Log {
    fn wake(&mut self) {
        self.readers.take().into_iter().chain(self.writers.take()).for_each(Waker::wake);
    }

    fn is_reset(&self) -> bool {
        self.ending == Some(Ending::Reset)
    }

    fn stalls(&mut self) -> Option<Pin<Box<Sleep>>> {
        let one_in = self.weather.stall_one_in;
        let most = u64::try_from(self.weather.stall.as_millis()).unwrap();
        (one_in > 0 && self.rng.u32(0..one_in) == 0)
            .then(|| Box::pin(sleep(Duration::from_millis(self.rng.u64(0..=most)))))
    }

    fn piece(&mut self, most: usize) -> usize {
        let most = most.min(self.weather.piece);
        if self.rng.bool() { most } else { self.rng.usize(1..=most) }
    }

    /// Whether the fault of this connection is due. At no moment is more taken of the budget than there is.
    fn fails(&mut self) -> bool {
        if let Some(purse) = &self.purse {
            purse.check();
        }
        match &mut self.fails_after {
            Some(0) => {
                self.reset();
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn reset(&mut self) {
        self.ending = Some(Ending::Reset);
        self.inbound.clear();
        self.wake();
    }

    /// Before its confirmation a peer hears nothing but a Close.
    fn check_confirmed(&self, bytes: &[u8]) {
        let Some(Confirmation { after, waived }) = self.confirmation else { return };
        let is_confirmed = self.read >= after || waived.is_some_and(|at| Instant::now() >= at);
        let first = self.taken.first().or(bytes.first());
        assert!(is_confirmed || first == Some(&CLOSING), "written before the confirmation: {bytes:?}");
    }

    fn read(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let most = buffer.remaining().min(self.inbound.len());
        if self.is_reset() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if most > 0 {
            let count = self.piece(most);
            let bytes: Vec<u8> = self.inbound.drain(..count).collect();
            buffer.put_slice(&bytes);
            self.read += count;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let until_reset = self.reset_after.map_or(usize::MAX, |at| at - self.taken.len());
        if self.is_reset() || until_reset == 0 {
            self.reset();
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.window - self.taken.len();
        let count = self.piece(bytes.len().min(room).min(until_reset));
        self.taken.extend(&bytes[..count]);
        Ok(count)
    }
}

fn stalled(stall: &mut Option<Pin<Box<Sleep>>>, line: &Line, cx: &mut Context<'_>) -> bool {
    let was_stalled = stall.is_some();
    if !was_stalled {
        *stall = line.log().stalls();
    }
    if stall.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_pending()) {
        return true;
    }
    *stall = None;
    false
}

impl Socket {
    /// What may happen to a flush, and to the end of the stream.
    fn poll_beside_writes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.log().fails() {
            self.line.changed.notify_one();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if stalled(&mut self.write_stall, &self.line, cx) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Hangup for Socket {}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = &mut *self;
        if socket.line.log().fails() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if stalled(&mut socket.read_stall, &socket.line, cx) {
            return Poll::Pending;
        }
        let mut log = socket.line.log();
        if log.inbound.is_empty() && log.ending.is_none() {
            log.readers = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(log.read(buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = &mut *self;
        assert!(!socket.line.log().shut, "written after the end of the stream");
        if socket.line.log().fails() {
            socket.line.changed.notify_one();
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if stalled(&mut socket.write_stall, &socket.line, cx) {
            return Poll::Pending;
        }
        let mut log = socket.line.log();
        log.check_confirmed(bytes);
        if log.taken.len() >= log.window && !log.is_reset() {
            log.writers = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let written = log.write(bytes);
        drop(log);
        socket.line.changed.notify_one();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_beside_writes(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_beside_writes(cx))?;
        let mut log = self.line.log();
        (log.shut, log.shut_in_order) = (true, true);
        drop(log);
        self.line.changed.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut log = self.line.log();
        (log.shut, log.dropped) = (true, true);
        drop(log);
        self.line.changed.notify_one();
    }
}
