//! Every living session and the last ones that ended, each with its timeline: the answer to "why is this client
//! waiting?".

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{deferral::Deferral, state::State};
use crate::telemetry::{metrics::Metrics, request::shown};

/// Ended sessions that can still be asked about. Enough for the last minutes of a small incident, under 100 KiB.
const REMEMBERED: usize = 256;

/// Steps that a timeline makes room for at a time: one that waits has two, one that is open and never waited has four.
const STEPS: usize = 2;

/// What a session that waits has here.
#[cfg(test)]
pub(super) const KEPT: usize = size_of::<Record>() + STEPS * size_of::<Step>();

/// Outcome of a session whose task ended without one: the process stopped, or the task panicked.
const ABANDONED: &str = "abandoned";

/// The sessions of one process.
#[derive(Debug)]
pub struct Registry {
    next: AtomicU64,
    metrics: Arc<Metrics>,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    living: BTreeMap<u64, Arc<Record>>,
    ended: VecDeque<Arc<Record>>,
}

#[derive(Debug)]
struct Record {
    id: u64,
    path: Box<str>,
    peer: SocketAddr,
    arrived: Instant,
    arrived_at: SystemTime,
    held_bytes: AtomicUsize,
    held_frames: AtomicUsize,
    waits: OnceLock<Waits>,
    steps: Mutex<Vec<Step>>,
}

/// How a held session's client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// readygate has answered its handshake.
    Early,
    /// Its handshake waits for the backend's answer.
    Deferred(Deferral),
}

/// One step of a session's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The state entered, or the outcome.
    pub state: &'static str,
    /// Why.
    pub reason: Box<str>,
    /// Microseconds since arrival.
    after: u64,
}

/// One session as others see it.
#[derive(Clone, Debug)]
pub struct View {
    /// Unique within the process.
    pub id: u64,
    /// The request's path without its query, cut at 256 bytes.
    pub path: String,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it arrived.
    pub arrived_at: SystemTime,
    /// Time since arrival; for an ended session, at the moment of asking.
    pub age: Duration,
    /// Bytes in its hold.
    pub held_bytes: usize,
    /// Data frames in its hold.
    pub held_frames: usize,
    /// How its client waits, or has waited; none if it did not.
    pub waits: Option<Waits>,
    /// Every state so far, the present one last. Never empty.
    pub steps: Vec<Step>,
}

/// A living session's hand on its own record; leaves the registry when dropped.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    record: Arc<Record>,
    finished: bool,
}

impl Registry {
    /// An empty registry that keeps `metrics` up to date.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(1), metrics, sessions: Mutex::default() })
    }

    /// Enters a session that just arrived, in the state `first`.
    #[must_use]
    pub fn enter(self: &Arc<Self>, mut path: String, peer: SocketAddr, arrived: Instant, first: &'static str) -> Entry {
        path.truncate(shown(&path).len());
        let record = Arc::new(Record {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            path: path.into(),
            peer,
            arrived,
            arrived_at: SystemTime::now(),
            held_bytes: AtomicUsize::new(0),
            held_frames: AtomicUsize::new(0),
            waits: OnceLock::new(),
            steps: Mutex::new(Step { state: first, reason: Box::default(), after: 0 }.begin()),
        });
        self.metrics.session_entered(first);
        lock(&self.sessions).living.insert(record.id, Arc::clone(&record));
        Entry { registry: Arc::clone(self), record, finished: false }
    }

    /// The living sessions, oldest first.
    #[must_use]
    pub fn living(&self, now: Instant) -> Vec<View> {
        let living: Vec<_> = lock(&self.sessions).living.values().map(Arc::clone).collect();
        living.iter().map(|record| record.view(now)).collect()
    }

    /// How many sessions live.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.sessions).living.len()
    }

    /// Since the arrival of the session that is held longest; zero when none is.
    #[must_use]
    pub fn oldest_held(&self, now: Instant) -> Duration {
        let sessions = lock(&self.sessions);
        let held = sessions.living.values().find(|record| record.is_held());
        held.map_or(Duration::ZERO, |record| now.saturating_duration_since(record.arrived))
    }

    /// One session, living or among the last that ended.
    #[must_use]
    pub fn find(&self, id: u64, now: Instant) -> Option<View> {
        let sessions = lock(&self.sessions);
        let ended = || sessions.ended.iter().find(|record| record.id == id);
        sessions.living.get(&id).or_else(ended).map(|record| record.view(now))
    }
}

impl Entry {
    /// The session's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.record.id
    }

    /// The request's path without its query, cut at 256 bytes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.record.path
    }

    /// The client's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.record.peer
    }

    /// When it arrived.
    #[must_use]
    pub fn arrived(&self) -> Instant {
        self.record.arrived
    }

    /// Notes a step and returns how long the one before lasted.
    pub fn step(&self, state: &'static str, reason: &str, now: Instant) -> Duration {
        let (before, spent) = self.note(state, reason, now);
        self.registry.metrics.session_left(before, spent);
        self.registry.metrics.session_entered(state);
        spent
    }

    /// Notes the outcome and returns how long the last state lasted.
    pub fn finish(mut self, outcome: &'static str, reason: &str, now: Instant) -> Duration {
        self.finished = true;
        let (before, spent) = self.note(outcome, reason, now);
        self.registry.metrics.session_left(before, spent);
        self.registry.metrics.session_done(outcome);
        spent
    }

    /// Says how the client waits. What was said first stays.
    pub fn waits(&self, waits: Waits) {
        let _ = self.record.waits.set(waits);
    }

    /// Says how much is held for this session.
    pub fn held(&self, bytes: usize, frames: usize) {
        let bytes_before = self.record.held_bytes.swap(bytes, Ordering::Relaxed);
        let frames_before = self.record.held_frames.swap(frames, Ordering::Relaxed);
        self.registry.metrics.held(difference(bytes, bytes_before), difference(frames, frames_before));
    }

    /// A session whose task was dropped or panicked still leaves the numbers right.
    fn abandon(&self) {
        let (before, spent) = self.note(ABANDONED, "", Instant::now());
        self.registry.metrics.session_left(before, spent);
        self.registry.metrics.session_done(ABANDONED);
    }

    fn note(&self, state: &'static str, reason: &str, now: Instant) -> (&'static str, Duration) {
        let after = micros(now.saturating_duration_since(self.record.arrived));
        let mut steps = lock(&self.record.steps);
        let (before, since) = steps.last().map_or((state, Duration::ZERO), |step| (step.state, step.after()));
        if steps.len() == steps.capacity() {
            steps.reserve_exact(STEPS);
        }
        steps.push(Step { state, reason: reason.into(), after });
        (before, Duration::from_micros(after).saturating_sub(since))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.held(0, 0);
        if !self.finished {
            self.abandon();
        }
        let mut sessions = lock(&self.registry.sessions);
        sessions.living.remove(&self.record.id);
        if sessions.ended.len() == REMEMBERED {
            sessions.ended.pop_front();
        }
        sessions.ended.push_back(Arc::clone(&self.record));
    }
}

impl Step {
    /// Time since arrival.
    #[must_use]
    pub fn after(&self) -> Duration {
        Duration::from_micros(self.after)
    }

    /// A timeline that begins with it.
    fn begin(self) -> Vec<Self> {
        let mut steps = Vec::with_capacity(STEPS);
        steps.push(self);
        steps
    }
}

impl Record {
    fn is_held(&self) -> bool {
        lock(&self.steps).last().is_some_and(|step| step.state == State::Held.label())
    }

    fn view(&self, now: Instant) -> View {
        View {
            id: self.id,
            path: self.path.to_string(),
            peer: self.peer,
            arrived_at: self.arrived_at,
            age: now.saturating_duration_since(self.arrived),
            held_bytes: self.held_bytes.load(Ordering::Relaxed),
            held_frames: self.held_frames.load(Ordering::Relaxed),
            waits: self.waits.get().copied(),
            steps: lock(&self.steps).clone(),
        }
    }
}

/// Half a million years of them fit.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn difference(after: usize, before: usize) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX)
}

/// A panic elsewhere must not take the registry with it: its data is valid after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn registry() -> (Arc<Registry>, Arc<Metrics>) {
        let metrics = Metrics::new();
        (Registry::new(Arc::clone(&metrics)), metrics)
    }

    fn enter(registry: &Arc<Registry>) -> Entry {
        registry.enter("/ws".to_owned(), SocketAddr::from(([127, 0, 0, 1], 1)), Instant::now(), "arrived")
    }

    #[test]
    fn an_ended_session_leaves_the_living_and_can_still_be_asked_about() {
        let (registry, metrics) = registry();
        let entry = enter(&registry);
        let id = entry.id();
        entry.step("held", "upstream: refused", Instant::now());
        entry.finish("completed", "", Instant::now());
        assert_eq!(registry.count(), 0);
        let steps = registry.find(id, Instant::now()).unwrap().steps;
        let states: Vec<_> = steps.iter().map(|step| (step.state, &*step.reason)).collect();
        assert_eq!(states, [("arrived", ""), ("held", "upstream: refused"), ("completed", "")]);
        assert!(metrics.sessions().iter().all(|(_, count)| *count == 0));
        assert_eq!(metrics.outcomes(), 1);
    }

    #[test]
    fn a_long_path_is_cut() {
        let (registry, _) = registry();
        let path = format!("/{}", "\u{e9}".repeat(200));
        let entry = registry.enter(path.clone(), SocketAddr::from(([127, 0, 0, 1], 1)), Instant::now(), "arrived");
        assert_eq!(entry.path(), &path[..255]);
    }

    #[test]
    fn a_session_whose_task_is_dropped_leaves_the_numbers_right() {
        let (registry, metrics) = registry();
        let entry = enter(&registry);
        let id = entry.id();
        entry.held(100, 3);
        assert_eq!((metrics.books().held_bytes, metrics.books().held_frames), (100, 3));
        drop(entry);
        assert_eq!((metrics.books().held_bytes, metrics.books().held_frames), (0, 0));
        assert!(metrics.sessions().iter().all(|(_, count)| *count == 0));
        assert_eq!(registry.find(id, Instant::now()).unwrap().steps.last().unwrap().state, ABANDONED);
    }

    #[test]
    fn the_oldest_held_is_the_first_to_have_arrived_of_those_that_are_held() {
        let (registry, _) = registry();
        let start = Instant::now();
        let arrive = |after| {
            let at = start + Duration::from_secs(after);
            registry.enter("/ws".to_owned(), SocketAddr::from(([127, 0, 0, 1], 1)), at, "arrived")
        };
        let [open, first, second] = [0, 10, 20].map(arrive);
        let now = start + Duration::from_secs(60);
        assert_eq!(registry.oldest_held(now), Duration::ZERO);
        open.step("open", "", now);
        second.step("held", "", now);
        assert_eq!(registry.oldest_held(now), Duration::from_secs(40));
        first.step("held", "", now);
        assert_eq!(registry.oldest_held(now), Duration::from_secs(50));
        drop(first);
        assert_eq!(registry.oldest_held(now), Duration::from_secs(40));
    }

    #[test]
    fn only_the_last_of_the_ended_are_remembered() {
        let (registry, _) = registry();
        let first = enter(&registry).id();
        (0..REMEMBERED).for_each(|_| drop(enter(&registry)));
        assert!(registry.find(first, Instant::now()).is_none());
        assert!(registry.find(first + 1, Instant::now()).is_some());
    }
}
