//! Clients that talk: round trips in a closed loop, and messages by a timetable.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read},
    net::TcpStream,
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::{
    backend::write_some,
    frames::Message,
    machine::{self, Nanos, between},
    poll::Poll,
};

/// Read at a time: much, so that bulk costs few calls.
const READ: usize = 256 * 1024;

const SECOND: u64 = 1_000_000_000;

/// Sessions in a closed loop: the next message goes out when an echo is back.
pub(crate) struct Loop<'streams> {
    streams: &'streams [TcpStream],
    states: Vec<State>,
    poll: Poll,
    buffer: Vec<u8>,
    /// Whose turn is next, when fewer talk than are open.
    cursor: usize,
}

#[derive(Clone, Copy, Default)]
struct State {
    unsent: usize,
    missing: usize,
}

impl<'streams> Loop<'streams> {
    /// Nobody talks yet.
    pub(crate) fn new(streams: &'streams [TcpStream]) -> Self {
        let poll = Poll::new();
        streams.iter().enumerate().for_each(|(key, stream)| poll.add(stream, key));
        Self { streams, states: vec![State::default(); streams.len()], poll, buffer: vec![0; READ], cursor: 0 }
    }

    /// `count` round trips, `at_once` of them under way, the sessions in turns; how long it took.
    pub(crate) fn run(&mut self, message: &Message, at_once: usize, count: usize) -> Duration {
        let (began, mut begun, mut ended) = (machine::now(), 0, 0);
        for _ in 0..at_once.min(self.streams.len()).min(count) {
            self.begin_next(0, message);
            begun += 1;
        }
        while ended < count {
            for ready in self.poll.wait() {
                if self.states[ready.key].missing == 0 || !self.go_on(ready.key, message) {
                    continue;
                }
                ended += 1;
                if begun < count {
                    self.begin_next(ready.key, message);
                    begun += 1;
                }
            }
        }
        between(began, machine::now())
    }

    /// The session whose turn it is, or `free` if that one is still talking.
    fn begin_next(&mut self, free: usize, message: &Message) {
        let turn = self.cursor;
        self.cursor = (self.cursor + 1) % self.streams.len();
        let key = if self.states[turn].missing == 0 { turn } else { free };
        self.states[key] = State { unsent: message.request.len(), missing: message.echo };
        self.send(key, message);
    }

    fn send(&mut self, key: usize, message: &Message) {
        let state = &mut self.states[key];
        if state.unsent > 0 {
            let rest = &message.request[message.request.len() - state.unsent..];
            state.unsent -= write_some(&self.streams[key], rest).unwrap();
        }
    }

    /// Sends and reads what can be; whether the echo is whole.
    fn go_on(&mut self, key: usize, message: &Message) -> bool {
        self.send(key, message);
        let mut stream = &self.streams[key];
        loop {
            match stream.read(&mut self.buffer) {
                Ok(0) => panic!("a session has ended inside a round trip"),
                Ok(read) => self.states[key].missing -= read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("a session has broken: {error}"),
            }
            if self.states[key].missing == 0 {
                return true;
            }
        }
    }
}

/// One message by hand, and whether its echo is right to the byte.
pub(crate) fn verify(stream: &TcpStream, payload: usize) {
    let message = Message::new(payload, 1);
    let mut echo = Vec::new();
    stream.set_nonblocking(false).unwrap();
    let writer = stream.try_clone().unwrap();
    let request = message.request.clone();
    let writing = std::thread::spawn(move || write_some(&writer, &request).unwrap());
    stream.take(message.echo as u64).read_to_end(&mut echo).unwrap();
    writing.join().unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(echo == message.expected(payload), "the echo is not what was sent");
}

/// `count` messages, one every `pause` whatever becomes of those before, the sessions in turns. The latency of each counts
/// from the moment at which it was due, so that a stall is felt by every message that falls into it.
pub(crate) fn timetable(streams: &[TcpStream], message: &Message, pause: Duration, count: usize) -> Vec<Duration> {
    let mut poll = Poll::new();
    streams.iter().enumerate().for_each(|(key, stream)| poll.add(stream, key));
    let timer = timer(pause);
    poll.add(&timer, streams.len());
    let pause = u64::try_from(pause.as_nanos()).unwrap();
    let first = machine::now() + pause;
    let mut waiting = vec![VecDeque::new(); streams.len()];
    let (mut sent, mut latencies, mut buffer) = (0, Vec::with_capacity(count), vec![0; READ]);
    while latencies.len() < count {
        for ready in poll.wait() {
            if ready.key == streams.len() {
                rustix::io::read(&timer, &mut [0; 8]).ok();
            } else {
                let got = read_echoes(&streams[ready.key], &mut buffer);
                settle(&mut waiting[ready.key], got, message.echo, &mut latencies);
            }
        }
        while sent < count && machine::now() >= first + pause * sent as u64 {
            let session = sent % streams.len();
            assert_eq!(write_some(&streams[session], &message.request).unwrap(), message.request.len());
            waiting[session].push_back((first + pause * sent as u64, 0));
            sent += 1;
        }
    }
    latencies
}

/// Ticks at the kernel's full precision, unlike a timeout of epoll.
fn timer(pause: Duration) -> OwnedFd {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK).unwrap();
    let nanos = u64::try_from(pause.as_nanos()).unwrap();
    let pause = Timespec { tv_sec: (nanos / SECOND).cast_signed(), tv_nsec: (nanos % SECOND).cast_signed() };
    let times = Itimerspec { it_interval: pause, it_value: pause };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times).unwrap();
    timer
}

fn read_echoes(mut stream: &TcpStream, buffer: &mut [u8]) -> usize {
    match stream.read(buffer) {
        Ok(0) => panic!("a session has ended by itself"),
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("a session has broken: {error}"),
    }
}

/// Hands `got` bytes to the messages that wait, oldest first.
fn settle(waiting: &mut VecDeque<(Nanos, usize)>, mut got: usize, echo: usize, latencies: &mut Vec<Duration>) {
    while got > 0 {
        let (due, have) = waiting.front_mut().expect("an echo belongs to a message");
        let take = got.min(echo - *have);
        got -= take;
        *have += take;
        if *have == echo {
            latencies.push(between(*due, machine::now()));
            waiting.pop_front();
        }
    }
}
