//! The values that say whether sessions may pass, and why not.
//!
//! Probes report here, sessions tell of refused dials, everybody else reads. `plan` says what is watched for whom, `state`
//! decides, a `hand` of the operator overrules it, a `lane` is one route's share of it, `release` meters who may go first
//! when a lane opens; a verdict lies in a watch, so that reading it takes no lock of ours. A `chronicle` keeps what
//! verdicts have been. When the configuration changes what is watched, `succession` hands over to a new gate,
//! and `visits` says when the old one is needed no more.

mod announce;
mod chronicle;
mod estimate;
mod forcing;
pub mod hand;
mod lane;
pub mod plan;
pub mod release;
mod rhythm;
pub mod state;
mod succession;
mod suspicion;
#[cfg(test)]
mod tests;
mod turns;
pub mod verdict;
mod view;
mod visits;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use self::{
    announce::Said,
    forcing::Laid,
    lane::LaneKeeper,
    plan::PlannedCheck,
    rhythm::Rhythm,
    state::{Fold, Track},
    succession::{Former, History},
    suspicion::Suspicion,
    view::LastRun,
    visits::Visits,
};
pub use self::{
    chronicle::{Change, Chronicle},
    forcing::NoRoute,
    hand::{Forced, Hand},
    lane::Lane,
    plan::{Plan, Role},
    rhythm::{BreakerState, Pace, Waiting},
    turns::Permit,
    verdict::{Blocker, CheckState, Class, Failure, Verdict},
    view::{CheckView, RouteView, Snapshot},
    visits::Visit,
};
use crate::{
    config,
    telemetry::{metrics::Metrics, millis},
};

/// So many intervals without a result, and the last one is too old to trust: one to have missed by a hair, one more
/// to have slept through.
const STALE_AFTER_INTERVALS: u32 = 2;

/// The gate. Cheap to clone; all clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    checks: Vec<Watched>,
    lanes: Vec<LaneKeeper>,
    board: Mutex<Board>,
    metrics: Arc<Metrics>,
    visits: Arc<Visits>,
    chronicle: Arc<Chronicle>,
    former: Former,
    born: Instant,
}

/// What never changes about a check, and how to wake it.
#[derive(Debug)]
struct Watched {
    name: String,
    kind: &'static str,
    /// What it asks for, if that is a path.
    path: Option<String>,
    required: bool,
    rhythm: Rhythm,
    stale_after: Duration,
    wake: Notify,
    /// Milliseconds from the gate's birth to the last result, or to the last arrival that asked for one.
    asked: AtomicU64,
}

#[derive(Debug)]
struct Board {
    fold: Fold,
    last: Vec<Option<LastRun>>,
    /// One per check.
    suspicions: Vec<Suspicion>,
    /// One per lane.
    said: Vec<Said>,
    /// One per lane.
    hands: Vec<Option<Laid>>,
}

impl Gate {
    /// A shut gate with one route for everything: each of `checks` (all of them the upstream's) has yet to pass. At
    /// most `release_concurrency` sessions hold a [`Permit`] at a time.
    #[must_use]
    pub fn new(checks: &[config::Check], release_concurrency: NonZeroUsize, metrics: Arc<Metrics>) -> Self {
        Self::of(&Plan::of_upstream(checks, release_concurrency), metrics)
    }

    /// A gate after `plan`: each check has yet to pass.
    #[must_use]
    pub fn of(plan: &Plan, metrics: Arc<Metrics>) -> Self {
        Self::after(&History::default(), plan, metrics)
    }

    /// A gate after `plan` that goes on from what is known.
    fn after(history: &History<'_>, plan: &Plan, metrics: Arc<Metrics>) -> Self {
        let (now, born) = (SystemTime::now(), Instant::now());
        let ((tracks, last), suspicions) = plan.checks.iter().map(|planned| history.check(planned, now)).unzip();
        let fold = Fold::new(tracks);
        let (lanes, said) = plan.lanes.iter().map(|lane| history.lane(lane, plan, &fold, (now, born))).unzip();
        let hands = plan.lanes.iter().map(|_| None).collect();
        let board = Mutex::new(Board { fold, last, suspicions, said, hands });
        let checks = plan.checks.iter().map(Watched::new).collect();
        let (visits, chronicle, former) = (Arc::default(), history.chronicle(), history.former());
        let inner = Inner { checks, lanes, board, metrics, visits, chronicle, former, born };
        inner.lanes.iter().for_each(|lane| inner.count(lane));
        (0..inner.lanes.len()).for_each(|lane| inner.count_forced(lane, None));
        let gate = Self { inner: Arc::new(inner) };
        gate.take_over(&history.hands(), now);
        gate
    }

    /// The gate of route number `route` of the configuration; a number that does not exist is the last route.
    #[must_use]
    pub fn lane(&self, route: usize) -> Lane {
        let last_route = self.inner.lanes.len().saturating_sub(2);
        Lane::at(self, route.min(last_route))
    }

    /// The gate of whatever needs the upstream alone.
    #[must_use]
    pub fn upstream(&self) -> Lane {
        Lane::at(self, self.inner.lanes.len().saturating_sub(1))
    }

    /// The verdict of the route that is worst off.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let routes = self.inner.lanes.iter().filter(|lane| lane.path.is_some()).map(LaneKeeper::verdict);
        routes.max_by_key(Verdict::severity).unwrap_or(Verdict::Draining)
    }

    /// Takes the result of a run of check `index` (its place in the list given at the start) that took `took` and
    /// ended `now`, and says where that leaves the check.
    pub fn report(&self, index: usize, result: Result<(), Failure>, took: Duration, now: SystemTime) -> CheckState {
        let mut board = self.inner.board();
        if let (Some(check), Some(last)) = (self.inner.checks.get(index), board.last.get_mut(index)) {
            *last = Some(LastRun { took, at: now });
            check.asked.store(self.inner.age(), Ordering::Relaxed);
        }
        let failure = result.as_ref().err().cloned();
        let state = board.fold.report(index, result, took, now);
        self.inner.suspect(&mut board, index, failure.as_ref(), now);
        self.inner.settle(&mut board, now);
        state
    }

    /// A session's dial was refused: shuts the gate at once, and has every check run at once. Where all are failing
    /// already it wakes nobody: sessions that dial a dead backend must not set the rhythm of its checks.
    pub fn dial_refused(&self) {
        let now = SystemTime::now();
        let mut board = self.inner.board();
        let news = board.fold.refused_dial(now);
        self.inner.settle(&mut board, now);
        drop(board);
        if news {
            self.inner.checks.iter().for_each(|check| check.wake.notify_one());
        }
    }

    /// A session lost its upstream without a Close, or had no usable answer to its handshake. One session proves little, so
    /// the upstream's checks run at once and decide; those that fail already keep their rhythm.
    pub fn upstream_doubted(&self) {
        let Some(lane) = self.inner.lanes.last() else { return };
        let board = self.inner.board();
        for index in &*lane.needs {
            if board.fold.checks()[*index].state() == CheckState::Passing {
                self.inner.checks[*index].wake.notify_one();
            }
        }
    }

    /// A session arrived: a check without a result for two intervals runs at once. After a stall of the whole process
    /// (no CPU between requests) timers are no guide to how fresh a result is.
    pub fn arrived(&self) {
        let age = self.inner.age();
        for check in self.inner.checks.iter().filter(|check| check.claims_stale(age)) {
            check.wake.notify_one();
        }
    }

    /// The process goes down: nobody passes any more, whatever the checks say.
    pub fn drain(&self) {
        self.and_former(|gate| {
            let mut board = gate.inner.board();
            board.fold.drain();
            gate.inner.settle(&mut board, SystemTime::now());
        });
    }

    /// What would be said of the lane at `place`, were it not for the drain.
    fn judged(&self, place: usize) -> Verdict {
        let board = self.inner.board();
        under(board.hands[place].as_ref(), board.fold.judged(&self.inner.lanes[place].needs))
    }

    /// The gate and every check at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let board = self.inner.board();
        let known = board.fold.checks().iter().zip(&board.last).zip(&board.suspicions);
        let checks = self.inner.checks.iter().zip(known);
        let checks = checks.map(|(check, ((track, last), suspicion))| check.view(track, *last, suspicion));
        let routes = self.inner.lanes.iter().zip(&board.said).zip(&board.hands).filter_map(|((lane, said), laid)| {
            let (path, verdict) = (lane.path.clone()?, lane.verdict());
            let hand = laid.as_ref().map(|laid| laid.hand.clone());
            Some(RouteView { path, verdict, since: said.since, hand })
        });
        Snapshot { verdict: self.verdict(), routes: routes.collect(), checks: checks.collect() }
    }

    /// What the verdicts have been.
    #[must_use]
    pub fn chronicle(&self) -> &Chronicle {
        &self.inner.chronicle
    }

    /// Resolves when check `index` should run before its pause is over. A wake that came before the call counts.
    pub async fn woken(&self, index: usize) {
        match self.inner.checks.get(index) {
            Some(check) => check.wake.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Inner {
    /// The board is valid after every statement, so a panic elsewhere need not spread.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> u64 {
        millis(self.born.elapsed())
    }

    /// Makes the board's verdicts everybody's.
    fn settle(&self, board: &mut Board, now: SystemTime) {
        let Board { fold, said, hands, .. } = board;
        let mut changed = false;
        for ((lane, said), laid) in self.lanes.iter().zip(said).zip(hands) {
            let verdict = under(laid.as_ref(), fold.verdict(&lane.needs));
            if verdict != lane.verdict() {
                let (before, at) = (lane.verdict().label(), Instant::now());
                let is_in_force = !self.visits.is_retired();
                if is_in_force {
                    said.say(lane, fold, &verdict, now, at);
                }
                lane.publish(verdict, at);
                self.count(lane);
                if is_in_force {
                    self.chronicle.note(lane, before, now);
                }
                changed = true;
            }
        }
        if changed {
            self.checks.iter().for_each(|check| check.rhythm.stir());
        }
    }

    /// Says once of a check that it may be a wrong one.
    fn suspect(&self, board: &mut Board, index: usize, failure: Option<&Failure>, now: SystemTime) {
        let (Some(check), Some(suspicion)) = (self.checks.get(index), board.suspicions.get_mut(index)) else { return };
        let is_news = suspicion.note(failure.map(|failure| failure.class), now);
        if let Some(failure) = failure.filter(|_| is_news && !self.visits.is_retired()) {
            tracing::warn!(check = check.name, class = failure.class.label(), "{}", check.suspected(failure));
        }
    }

    fn count(&self, lane: &LaneKeeper) {
        let Some(path) = lane.path.as_ref().filter(|_| !self.visits.is_retired()) else { return };
        let verdict = lane.verdict();
        self.metrics.verdict(path, verdict.label());
        for check in lane.needs.iter().filter_map(|needed| self.checks.get(*needed)) {
            let is_among = |named: &[Blocker]| named.iter().any(|blocker| blocker.check == check.name);
            let (blocks, missing) = (is_among(verdict.blockers()), is_among(verdict.missing()));
            self.metrics.route_needs(path, &check.name, blocks, missing);
        }
    }
}

impl PlannedCheck {
    fn track(&self, now: SystemTime) -> Track {
        Track::new(&self.check.name, self.role, self.check.pacing.rise, self.check.pacing.fall, now)
    }
}

impl Watched {
    fn new(planned: &PlannedCheck) -> Self {
        let check = &planned.check;
        Self {
            name: check.name.clone(),
            kind: check.kind.label(),
            path: check.kind.shown_path().map(str::to_owned),
            required: planned.role != Role::Optional,
            rhythm: Rhythm::new(check.pacing.timeout),
            stale_after: check.pacing.interval.saturating_mul(STALE_AFTER_INTERVALS),
            wake: Notify::new(),
            asked: AtomicU64::new(0),
        }
    }

    /// What a person should know of it while it fails so and was never seen to pass.
    fn suspected(&self, failure: &Failure) -> String {
        suspicion::told(&self.name, self.path.as_deref(), failure, self.required)
    }

    /// True for the first to ask after the last result has grown stale, and for nobody else until it is stale again.
    fn claims_stale(&self, age: u64) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        let stale = Duration::from_millis(age.saturating_sub(asked)) > self.stale_after;
        stale && self.asked.compare_exchange(asked, age, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What is said where `laid` is the hand on a lane and the checks say `seen`.
fn under(laid: Option<&Laid>, seen: Verdict) -> Verdict {
    match laid {
        Some(laid) => laid.hand.over(seen),
        None => seen,
    }
}
