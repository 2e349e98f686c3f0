//! Going down on one deadline: tell the held, let the open finish, cut what is left. Whoever is in a hurry has all that cut
//! at once.

use std::{
    array,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Before the deadline, so that Closes of ours still reach both ends and the process still ends by itself.
const CUT_MARGIN: Duration = Duration::from_millis(800);

/// Held clients are told over this part of the time, so that they do not all come back at once.
const SPREAD: f64 = 0.5;

/// The last call: open sessions are cut over this part of the time to the cut, its end, so that those of a backend that closes
/// none do not all come back at once either. With Cloud Run's 10 s these are 2 s, and a backend has had more than 5 to close
/// them itself.
const LAST_CALL: f64 = 0.25;

/// Open sessions are cut in so many groups: of 10,000, some 150 at a time, every 30 ms. A session waits for the word of its
/// group, and needs no timer of its own.
const TURNS: usize = 64;

/// Why what is left is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// The time is nearly over: each session in its turn.
    InTurns,
    /// Somebody is in a hurry: all at once.
    AtOnce,
}

/// The drain of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    timeout: Mutex<Duration>,
    begun: CancellationToken,
    turns: [CancellationToken; TURNS],
    cut: CancellationToken,
}

impl Drain {
    /// A drain that, once begun, has `timeout` to its end.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let timeout = Mutex::new(timeout);
        let (begun, cut) = (CancellationToken::new(), CancellationToken::new());
        let turns = array::from_fn(|_| CancellationToken::new());
        Self { inner: Arc::new(Inner { timeout, begun, turns, cut }) }
    }

    /// Gives it another time, if it has not begun.
    pub fn set_timeout(&self, timeout: Duration) {
        if !self.has_begun() {
            *self.inner.timeout.lock().unwrap_or_else(PoisonError::into_inner) = timeout;
        }
    }

    /// Begins it.
    pub fn begin(&self) {
        self.inner.begun.cancel();
    }

    /// Once it has begun: waits and cuts, or cuts as soon as `hurry` resolves. `say` is told of it before. Returns when those
    /// who were cut have had their moment.
    pub async fn run_out(&self, hurry: impl Future<Output = ()>, say: impl Fn(Cutting)) {
        let in_turns = async {
            let mut due = Instant::now() + self.time_to_last_call();
            sleep_until(due).await;
            say(Cutting::InTurns);
            for turn in &self.inner.turns {
                due += self.time_between_turns();
                sleep_until(due).await;
                turn.cancel();
            }
        };
        tokio::select! {
            biased;
            () = hurry => say(Cutting::AtOnce),
            () = in_turns => {}
        }
        self.cut();
        sleep(self.timeout() - self.time_to_cut()).await;
    }

    /// Ends what is still there.
    pub fn cut(&self) {
        self.inner.cut.cancel();
        self.inner.turns.iter().for_each(CancellationToken::cancel);
    }

    /// It has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.inner.begun.is_cancelled()
    }

    /// Returns when it begins.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.inner.begun.cancelled()
    }

    /// How long after the beginning it is one held session's turn to be told: a random moment of the first half.
    #[must_use]
    pub fn turn(&self) -> Duration {
        self.timeout().mul_f64(SPREAD * fastrand::f64())
    }

    /// Returns when everything is cut.
    pub fn cut_due(&self) -> WaitForCancellationFuture<'_> {
        self.inner.cut.cancelled()
    }

    /// Returns when it is the turn of the open session number `seq` to be cut: at a moment of the last call, or with everything.
    pub fn cut_turn(&self, seq: u64) -> WaitForCancellationFuture<'_> {
        self.inner.turns[seq as usize % TURNS].cancelled()
    }

    /// From the beginning to the first moment at which an open session may be cut.
    #[must_use]
    pub fn time_to_last_call(&self) -> Duration {
        self.time_to_cut().mul_f64(1.0 - LAST_CALL)
    }

    fn time_between_turns(&self) -> Duration {
        (self.time_to_cut() - self.time_to_last_call()).div_f64(TURNS as f64)
    }

    fn time_to_cut(&self) -> Duration {
        self.timeout().saturating_sub(CUT_MARGIN).max(self.timeout() / 2)
    }

    /// From the beginning to the end.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        *self.inner.timeout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::future::pending;

    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    /// Longer than any drain: the clock is paused.
    const DAY: Duration = Duration::from_secs(86_400);

    /// Twenty open sessions, and when each is cut.
    fn open(drain: &Drain) -> JoinSet<Duration> {
        let began = Instant::now();
        let wait = |drain: Drain, seq| async move {
            drain.cut_turn(seq).await;
            began.elapsed()
        };
        (0..20).map(|seq| wait(drain.clone(), seq)).collect()
    }

    async fn moments(sessions: JoinSet<Duration>) -> Vec<Duration> {
        timeout(DAY, sessions.join_all()).await.expect("a session that is not cut")
    }

    #[tokio::test(start_paused = true)]
    async fn open_sessions_are_cut_at_different_moments_of_the_last_call_and_all_by_the_cut() {
        let (drain, began) = (Drain::new(Duration::from_millis(8_800)), Instant::now());
        let sessions = open(&drain);
        drain.run_out(pending(), |cutting| assert_eq!(cutting, Cutting::InTurns)).await;
        assert_eq!(began.elapsed(), Duration::from_millis(8_800));
        let mut moments = moments(sessions).await;
        let last_call = Duration::from_secs(6)..=Duration::from_millis(8_001);
        assert!(moments.iter().all(|moment| last_call.contains(moment)), "{moments:?}");
        moments.sort_unstable();
        moments.dedup();
        assert_eq!(moments.len(), 20, "{moments:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_hurry_all_are_cut_at_once_before_the_last_call_and_in_the_middle_of_it() {
        for hurry in [Duration::from_secs(1), Duration::from_secs(7)] {
            let (drain, began) = (Drain::new(Duration::from_millis(8_800)), Instant::now());
            let sessions = open(&drain);
            drain.run_out(sleep(hurry), |_| ()).await;
            assert_eq!(began.elapsed(), hurry + CUT_MARGIN);
            timeout(DAY, drain.cut_due()).await.expect("a cut");
            let moments = moments(sessions).await;
            assert!(moments.iter().all(|moment| *moment <= hurry), "{hurry:?}: {moments:?}");
        }
    }

    #[test]
    fn held_sessions_are_told_at_different_moments_of_the_first_half() {
        let drain = Drain::new(Duration::from_secs(8));
        let mut moments: Vec<_> = (0..20).map(|_| drain.turn()).collect();
        assert!(moments.iter().all(|moment| *moment <= Duration::from_secs(4)), "{moments:?}");
        moments.dedup();
        assert!(moments.len() > 10, "{moments:?}");
    }

    #[test]
    fn the_time_may_change_until_the_drain_begins() {
        let drain = Drain::new(Duration::from_secs(8));
        drain.clone().set_timeout(Duration::from_secs(2));
        assert_eq!(drain.timeout(), Duration::from_secs(2));
        drain.begin();
        drain.set_timeout(Duration::from_secs(9));
        assert_eq!(drain.timeout(), Duration::from_secs(2));
    }

    #[test]
    fn the_cut_leaves_time_for_the_closes_even_when_the_whole_time_is_short() {
        assert_eq!(Drain::new(Duration::from_millis(8500)).time_to_cut(), Duration::from_millis(7700));
        assert_eq!(Drain::new(Duration::from_millis(500)).time_to_cut(), Duration::from_millis(250));
    }
}
