//! Readiness of many sockets, asked for with as few system calls as can be.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};

/// Events taken at a time.
const EVENTS: usize = 256;

/// Nothing at all for so long is a hang, and a failure of the run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sockets under watch.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: [Event; EVENTS],
}

/// A socket has something to say.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    /// What it was added under.
    pub(crate) key: usize,
    /// The other end sends no more: a short read is not the last one.
    pub(crate) ended: bool,
}

impl Poll {
    /// Watches nothing yet.
    pub(crate) fn new() -> Self {
        let nothing = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        Self { epoll: epoll::create(CreateFlags::CLOEXEC).unwrap(), events: [nothing; EVENTS] }
    }

    /// Tells of every change for the better, once: edges, not levels. Ends when the socket is closed.
    pub(crate) fn add(&self, socket: impl AsFd, key: usize) {
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), edges).unwrap();
    }

    /// Waits for what comes next.
    pub(crate) fn wait(&mut self) -> Vec<Ready> {
        let ready = self.wait_at_most(PATIENCE);
        assert!(!ready.is_empty(), "nothing has happened for {PATIENCE:?}");
        ready
    }

    /// The same, or nothing after `time`.
    pub(crate) fn wait_at_most(&mut self, time: Duration) -> Vec<Ready> {
        let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) };
        let count = match epoll::wait(&self.epoll, &mut self.events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => panic!("epoll: {error}"),
        };
        let ready = self.events[..count].iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            Ready { key: usize::try_from(data.u64()).unwrap(), ended }
        });
        ready.collect()
    }
}
