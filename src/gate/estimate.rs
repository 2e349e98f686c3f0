//! How long a shut lane is likely to stay shut, learned from how long it was shut before. PURE.
//!
//! Of the times it was shut longer than it is by now, the median counts; what is left of that is the estimate. A wait that is
//! longer than any before has none.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Earlier times that count: enough to make one odd start harmless, few enough to follow a new release of the backend.
const REMEMBERED: usize = 16;

/// One lane's memory.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    shut_at: Option<Instant>,
    past: VecDeque<Duration>,
}

impl Estimate {
    /// A lane that is open, or shut, since `now`.
    pub(super) fn new(is_open: bool, now: Instant) -> Self {
        Self { shut_at: (!is_open).then_some(now), past: VecDeque::new() }
    }

    /// The lane is open, or shut, from `now` on.
    pub(super) fn turn(&mut self, is_open: bool, now: Instant) {
        match (self.shut_at, is_open) {
            (Some(since), true) => {
                if self.past.len() == REMEMBERED {
                    self.past.pop_front();
                }
                self.past.push_back(now.saturating_duration_since(since));
                self.shut_at = None;
            }
            (None, false) => self.shut_at = Some(now),
            (Some(_), false) | (None, true) => {}
        }
    }

    /// What is likely left at `now`; none for an open lane, and where nothing is known.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.shut_at?);
        let mut longer: Vec<Duration> = self.past.iter().copied().filter(|past| *past > elapsed).collect();
        longer.sort_unstable();
        longer.get(longer.len() / 2).map(|likely| *likely - elapsed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    /// A lane that was shut for so many seconds each time, and is shut again at the instant returned.
    fn after(seconds: &[u64]) -> (Estimate, Instant) {
        let mut now = Instant::now();
        let mut estimate = Estimate::new(false, now);
        for length in seconds {
            now += Duration::from_secs(*length);
            estimate.turn(true, now);
            now += Duration::from_secs(1_000);
            estimate.turn(false, now);
        }
        (estimate, now)
    }

    fn left(estimate: &Estimate, shut_at: Instant, seconds: u64) -> Option<u64> {
        estimate.left(shut_at + Duration::from_secs(seconds)).map(|left| left.as_secs())
    }

    #[test]
    fn nothing_is_said_before_the_first_start_is_over() {
        let (estimate, start) = after(&[]);
        assert_eq!(left(&estimate, start, 5), None);
    }

    #[test]
    fn an_open_lane_has_no_estimate() {
        let (mut estimate, now) = after(&[10]);
        estimate.turn(true, now + Duration::from_secs(1));
        assert_eq!(estimate.left(now + Duration::from_secs(2)), None);
    }

    #[test]
    fn the_median_of_earlier_times_counts_down() {
        let (estimate, start) = after(&[8, 100, 10]);
        assert_eq!([0, 4, 9].map(|second| left(&estimate, start, second)), [Some(10), Some(6), Some(91)]);
    }

    #[test]
    fn a_wait_longer_than_any_before_has_no_estimate() {
        let (estimate, start) = after(&[8, 10]);
        assert_eq!(left(&estimate, start, 10), None);
    }

    #[test]
    fn a_change_of_blockers_is_no_new_start() {
        let (mut estimate, start) = after(&[10]);
        estimate.turn(false, start + Duration::from_secs(4));
        assert_eq!(left(&estimate, start, 4), Some(6));
    }

    #[test]
    fn only_the_last_times_count() {
        let mut times = vec![500; REMEMBERED];
        times.extend([10; REMEMBERED]);
        let (estimate, start) = after(&times);
        assert_eq!(left(&estimate, start, 0), Some(10));
        assert_eq!(estimate.past.len(), REMEMBERED);
    }
}
