//! How many lines of one kind are written when very many come: a bucket of tokens, filled at a steady rate. PURE.

use std::time::Instant;

use crate::config::Flood;

/// Of one kind of line.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// None before the first line: then it is full.
    seen: Option<Seen>,
    left_out: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    tokens: f64,
}

impl Bucket {
    /// Whether one more line may be written at `now`; one that may not is counted.
    pub(super) fn admits(&mut self, flood: Flood, now: Instant) -> bool {
        let tokens = self.tokens(flood, now);
        let admitted = tokens >= 1.0;
        self.seen = Some(Seen { at: now, tokens: if admitted { tokens - 1.0 } else { tokens } });
        self.left_out += u64::from(!admitted);
        admitted
    }

    /// How many were left out since this was last asked.
    pub(super) fn settle(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    fn tokens(&self, Flood { burst, per_second }: Flood, now: Instant) -> f64 {
        let most = f64::from(burst);
        let Some(Seen { at, tokens }) = self.seen else { return most };
        let gained = now.saturating_duration_since(at).as_secs_f64() * f64::from(per_second);
        (tokens + gained).min(most)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FLOOD: Flood = Flood { burst: 10, per_second: 2 };

    /// How many of `lines` at `now` are written.
    fn written(bucket: &mut Bucket, lines: u64, now: Instant) -> u64 {
        (0..lines).filter(|_| bucket.admits(FLOOD, now)).count() as u64
    }

    #[test]
    fn a_burst_is_written_and_what_is_beyond_it_is_counted_once() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(written(&mut bucket, 100, now), 10);
        assert_eq!((bucket.settle(), bucket.settle()), (90, 0));
    }

    #[test]
    fn a_flood_that_lasts_is_written_at_the_rate() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let each = (0..5).map(|second| written(&mut bucket, 1000, start + Duration::from_secs(second)));
        assert_eq!(each.collect::<Vec<_>>(), [10, 2, 2, 2, 2]);
    }

    #[test]
    fn lines_that_come_one_by_one_fill_it_as_one_pause_would() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(written(&mut bucket, 10, start), 10);
        // A quarter of a second is half a line.
        let quarters = (1..=8).map(|quarter| written(&mut bucket, 1, start + Duration::from_millis(250 * quarter)));
        assert_eq!(quarters.collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_rest_fills_it_up_to_the_burst_and_no_further() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(written(&mut bucket, 20, start), 10);
        assert_eq!(written(&mut bucket, 20, start + Duration::from_secs(3600)), 10);
    }

    #[test]
    fn written_and_left_out_are_all_whatever_the_clock_does() {
        let (mut bucket, start) = (Bucket::default(), Instant::now() + Duration::from_secs(60));
        let early = start - Duration::from_secs(30);
        let written = [start, early, start, early].map(|now| written(&mut bucket, 7, now)).iter().sum::<u64>();
        assert_eq!(written + bucket.settle(), 28);
    }

    #[test]
    fn a_lower_burst_counts_from_the_next_line_on() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert!(bucket.admits(FLOOD, now));
        let lower = Flood { burst: 3, ..FLOOD };
        assert_eq!((0..9).filter(|_| bucket.admits(lower, now)).count(), 3);
    }
}
