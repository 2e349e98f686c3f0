//! Going down on one deadline: tell the held, let the open finish, cut what is left.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Before the deadline, so that Closes of ours still reach both ends and the process still ends by itself.
const CUT_MARGIN: Duration = Duration::from_millis(800);

/// Held clients are told over this part of the time, so that they do not all come back at once.
const SPREAD: f64 = 0.5;

/// The drain of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    timeout: Mutex<Duration>,
    begun: CancellationToken,
    cut: CancellationToken,
}

impl Drain {
    /// A drain that, once begun, has `timeout` to its end.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let timeout = Mutex::new(timeout);
        let inner = Inner { timeout, begun: CancellationToken::new(), cut: CancellationToken::new() };
        Self { inner: Arc::new(inner) }
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

    /// Ends what is still open. Due [`Drain::time_to_cut`] after the beginning.
    pub fn cut(&self) {
        self.inner.cut.cancel();
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

    /// Returns when open sessions are cut.
    pub fn cut_due(&self) -> WaitForCancellationFuture<'_> {
        self.inner.cut.cancelled()
    }

    /// From the beginning to the cut.
    #[must_use]
    pub fn time_to_cut(&self) -> Duration {
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
    use super::*;

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
