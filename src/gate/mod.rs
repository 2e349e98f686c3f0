//! The values that say whether sessions may pass, and why not.
//!
//! Probes report here, sessions tell of refused dials, everybody else reads. `plan` says what is watched for whom, `state`
//! decides, a `lane` is one route's share of it, `release` meters who may go first when a lane opens; a verdict lies in
//! a watch, so that reading it takes no lock of ours.

mod announce;
mod lane;
pub mod plan;
pub mod release;
mod rhythm;
pub mod state;
#[cfg(test)]
mod tests;
mod turns;
pub mod verdict;
mod view;

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
    lane::LaneKeeper,
    plan::{PlannedCheck, PlannedLane},
    rhythm::Rhythm,
    state::{Fold, Track},
    view::LastRun,
};
pub use self::{
    lane::Lane,
    plan::{Plan, Role},
    rhythm::{BreakerState, Pace, Waiting},
    turns::Permit,
    verdict::{Blocker, CheckState, Class, Failure, Verdict},
    view::{CheckView, RouteView, Snapshot},
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
    born: Instant,
}

/// What never changes about a check, and how to wake it.
#[derive(Debug)]
struct Watched {
    name: String,
    kind: &'static str,
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
    /// One per lane.
    said: Vec<Said>,
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
        let (now, born) = (SystemTime::now(), Instant::now());
        let fold = Fold::new(plan.checks.iter().map(|planned| planned.track(now)).collect());
        let keeper = |lane: &PlannedLane| LaneKeeper::new(lane, plan.blocking(lane), fold.verdict(&lane.needs));
        let lanes = plan.lanes.iter().map(keeper).collect();
        let said = vec![Said::new(now, born); plan.lanes.len()];
        let board = Board { fold, last: vec![None; plan.checks.len()], said };
        let checks = plan.checks.iter().map(Watched::new).collect();
        let inner = Inner { checks, lanes, board: Mutex::new(board), metrics, born };
        inner.lanes.iter().for_each(|lane| inner.count(lane));
        Self { inner: Arc::new(inner) }
    }

    /// The gate of route number `route` of the configuration; a number that does not exist is the last route.
    #[must_use]
    pub fn lane(&self, route: usize) -> Lane {
        let last_route = self.inner.lanes.len().saturating_sub(2);
        self.inner.lanes[route.min(last_route)].lane(self)
    }

    /// The gate of whatever needs the upstream alone.
    #[must_use]
    pub fn upstream(&self) -> Lane {
        self.inner.lanes[self.inner.lanes.len().saturating_sub(1)].lane(self)
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
        let state = board.fold.report(index, result, took, now);
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
        let mut board = self.inner.board();
        board.fold.drain();
        self.inner.settle(&mut board, SystemTime::now());
    }

    /// The gate and every check at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let board = self.inner.board();
        let tracks = board.fold.checks().iter().zip(&board.last);
        let checks = self.inner.checks.iter().zip(tracks).map(|(check, (track, last))| check.view(track, *last));
        let routes = self.inner.lanes.iter().zip(&board.said).filter_map(|(lane, said)| {
            let (path, verdict) = (lane.path.clone()?, lane.verdict());
            Some(RouteView { path, verdict, since: said.since })
        });
        Snapshot { verdict: self.verdict(), routes: routes.collect(), checks: checks.collect() }
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
        let Board { fold, said, .. } = board;
        let mut changed = false;
        for (lane, said) in self.lanes.iter().zip(said) {
            let verdict = fold.verdict(&lane.needs);
            if verdict != lane.verdict() {
                let at = Instant::now();
                said.say(lane, fold, &verdict, now, at);
                lane.publish(verdict, at);
                self.count(lane);
                changed = true;
            }
        }
        if changed {
            self.checks.iter().for_each(|check| check.rhythm.stir());
        }
    }

    fn count(&self, lane: &LaneKeeper) {
        let Some(path) = &lane.path else { return };
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
            required: planned.role != Role::Optional,
            rhythm: Rhythm::new(check.pacing.timeout),
            stale_after: check.pacing.interval.saturating_mul(STALE_AFTER_INTERVALS),
            wake: Notify::new(),
            asked: AtomicU64::new(0),
        }
    }

    /// True for the first to ask after the last result has grown stale, and for nobody else until it is stale again.
    fn claims_stale(&self, age: u64) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        let stale = Duration::from_millis(age.saturating_sub(asked)) > self.stale_after;
        stale && self.asked.compare_exchange(asked, age, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
