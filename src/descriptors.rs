//! Open files: how many this process may have, and who may take how many of them.
//!
//! A client that is let in has two set aside, its own connection's and that of the one to the backend which it may need
//! later: whoever waits can be released. The rest is kept back from clients, so that checks and the admin port go on
//! however many come. Who finds no seat is let in as far as the doorway: its request is read, and answered 503.

use std::{io, sync::Arc};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kept back from clients, but never more than half of all: some 16 for standard streams, the runtime, signals, listeners
/// and files that are read, as many as [`Share`] says for each other use, and what is left, 80 or so, for checks, of which
/// each has one at a time.
const RESERVE: u64 = 192;

/// Of a client: to it, and from it to the backend.
const FOR_A_CLIENT: u64 = 2;

/// As much as no limit at all: more connections than this have no ports (Linux: `fs.nr_open` is 1,048,576).
const NO_LIMIT: u64 = 1 << 22;

/// Files that the kernel's table has room for from the start: two for each of 10,000 clients, in the power of two that the
/// kernel takes anyway. A slot is 8 bytes.
const ROOM: u64 = 1 << 15;

/// How the open files of a process are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Open files that the process may have.
    pub limit: u64,
    /// Clients that may be there at a time.
    pub seats: usize,
    /// Connections of the admin port: a probe, a scraper and a few pages.
    pub admin: usize,
    /// Clients that may be on their way out with a 503.
    pub doorway: usize,
    /// Idle connections to the backend that are kept for later.
    pub idle: usize,
}

/// Where clients come in.
#[derive(Clone, Debug)]
pub struct Door {
    seats: Arc<Semaphore>,
    doorway: Arc<Semaphore>,
}

/// One client's place, given back when the last clone of it is dropped.
#[derive(Clone, Debug)]
pub struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    is_seat: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Raises the soft limit of this process, which is 1024 as a rule and was made for programs that use `select`, to its
/// hard one.
///
/// # Errors
/// The kernel does not let it.
pub fn raise() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(())
}

/// Makes room in the kernel's table of this process for all files it may open, `ROOM` at most. Left alone the table
/// doubles when it is full, and where threads share it that waits until every CPU has been elsewhere once
/// (`synchronize_rcu` in `expand_fdtable`): 6 to 9 ms in which a worker and all its sessions stand still, at the 257th file
/// in the middle of a release.
///
/// # Errors
/// The kernel has no memory for it.
pub fn make_room() -> io::Result<()> {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(ROOM).min(ROOM);
    let last = i32::try_from(files.saturating_sub(1)).unwrap_or(i32::MAX);
    // Closed at once: the table does not shrink.
    fcntl_dupfd_cloexec(io::stdin(), last)?;
    Ok(())
}

impl Share {
    /// Of this process, as its limit is at this moment.
    #[must_use]
    pub fn here() -> Self {
        Self::of(getrlimit(Resource::Nofile).current)
    }

    /// Of a process with this limit; none is no limit.
    #[must_use]
    pub fn of(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(NO_LIMIT).min(NO_LIMIT);
        let reserve = RESERVE.min(limit / 2);
        let part = |of: u64| usize::try_from(of).unwrap_or(usize::MAX).max(1);
        Self {
            limit,
            seats: part((limit - reserve) / FOR_A_CLIENT),
            admin: part(reserve / 4),
            doorway: part(reserve / 8),
            idle: part(reserve / 8),
        }
    }
}

impl Door {
    /// A door to so many seats.
    #[must_use]
    pub fn new(share: &Share) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { seats: places(share.seats), doorway: places(share.doorway) }
    }

    /// Who comes next finds no seat.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.seats.available_permits() == 0
    }

    /// A seat, or while there is none a place in the doorway; waits for the first of them that comes free.
    pub async fn enter(&self) -> Place {
        let (seats, doorway) = (Arc::clone(&self.seats), Arc::clone(&self.doorway));
        // Neither is ever closed.
        let (is_seat, permit) = tokio::select! {
            biased;
            seat = seats.acquire_owned() => (true, seat.ok()),
            place = doorway.acquire_owned() => (false, place.ok()),
        };
        Place(Arc::new(Held { is_seat, _permit: permit }))
    }
}

impl Place {
    /// A seat that no door counts.
    #[cfg(test)]
    pub(crate) fn uncounted() -> Self {
        Self(Arc::new(Held { is_seat: true, _permit: None }))
    }

    /// There are descriptors for this client; otherwise it is to be told to come back.
    #[must_use]
    pub fn is_seat(&self) -> bool {
        self.0.is_seat
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    #[test]
    fn afterwards_the_soft_limit_is_the_hard_one() {
        raise().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(Share::here(), Share::of(limit.maximum));
    }

    #[test]
    fn afterwards_the_table_has_room_for_all_files_there_may_be() {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(ROOM).min(ROOM);
        make_room().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let room = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(room.trim().parse::<u64>().unwrap() >= files, "{room} of {files}");
    }

    #[test]
    fn two_for_each_client_and_the_reserve_are_all_there_is() {
        let seats = |limit| Share::of(Some(limit)).seats;
        assert_eq!([20_000, 25_000, 1024].map(seats), [9904, 12_404, 416]);
    }

    #[test]
    fn of_a_small_limit_clients_get_half_and_of_the_smallest_there_is_room_for_one() {
        assert_eq!(Share::of(Some(64)), Share { limit: 64, seats: 16, admin: 8, doorway: 4, idle: 4 });
        assert_eq!(Share::of(Some(0)), Share { limit: 0, seats: 1, admin: 1, doorway: 1, idle: 1 });
    }

    #[test]
    fn without_a_limit_no_configuration_is_cut() {
        assert!(Share::of(None).seats > 1_000_000);
        assert_eq!(Share::of(None), Share::of(Some(u64::MAX)));
    }

    #[tokio::test]
    async fn who_finds_no_seat_stands_in_the_doorway_and_who_finds_neither_waits_for_the_first_that_is_free() {
        let door = Door::new(&Share { seats: 2, doorway: 1, ..Share::of(Some(64)) });
        let mut places = join_all([door.enter(), door.enter(), door.enter()]).await;
        assert_eq!(places.iter().map(Place::is_seat).collect::<Vec<_>>(), [true, true, false]);
        assert!(door.enter().now_or_never().is_none());
        drop(places.remove(2));
        let doorway = door.enter().now_or_never().unwrap();
        assert!(!doorway.is_seat());
        let clone = places[0].clone();
        drop(places.remove(0));
        assert!(door.enter().now_or_never().is_none(), "a clone keeps the seat");
        drop(clone);
        assert!(door.enter().now_or_never().unwrap().is_seat());
    }
}
