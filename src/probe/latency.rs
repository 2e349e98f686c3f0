//! How long an attempt of a check may take. PURE.
//!
//! The working timeout follows measured latency as TCP's retransmission timer does (RFC 6298): a smoothed mean and
//! mean deviation, `srtt + 4 × rttvar`, times the patience of the place. It is never shorter than the mean with a
//! [`SLACK`] on top, and never longer than `probe.timeout`, which is also what holds before anything was measured.
//! Only passed attempts are samples: a refusal says how long a refusal takes. After an attempt that ran out of time
//! the working timeout doubles, and stays so until an attempt passes.

use std::time::Duration;

use crate::config::Config;

/// Gain of the mean (RFC 6298 §2.3).
const MEAN_GAIN: f64 = 1.0 / 8.0;

/// Gain of the mean deviation (RFC 6298 §2.3).
const DEVIATION_GAIN: f64 = 1.0 / 4.0;

/// Deviations above the mean (RFC 6298 §2.2).
const DEVIATIONS: f64 = 4.0;

/// Least time above the mean, at a patience of 1: however even a latency was, one lost segment, which Linux sends again
/// after 200 ms (`TCP_RTO_MIN`), must not fail an attempt; the rest is for the answer to it.
const SLACK: Duration = Duration::from_millis(300);

/// What the working timeouts of all checks have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// They follow measured latency; otherwise each is its check's `timeout`.
    pub adaptive: bool,
    /// They are multiplied by this, within their limits.
    pub patience: f64,
}

/// The latency of one check, and the timeout that follows from it.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    timing: Timing,
    ceiling: Duration,
    measured: Option<Measured>,
    /// By timeouts since the last sample.
    doublings: u32,
}

/// In seconds.
#[derive(Clone, Copy, Debug)]
struct Measured {
    mean: f64,
    deviation: f64,
}

impl Timing {
    /// As `config` has it.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { adaptive: config.features.adaptive_timing, patience: config.profile.patience }
    }
}

impl Latency {
    /// Nothing measured; no working timeout will be longer than `ceiling`.
    pub(super) fn new(ceiling: Duration, timing: Timing) -> Self {
        Self { timing, ceiling, measured: None, doublings: 0 }
    }

    /// The same with what was measured `before`, under other limits perhaps.
    pub(super) fn after(self, before: &Self) -> Self {
        Self { measured: before.measured, doublings: before.doublings, ..self }
    }

    /// An attempt passed after `took`.
    pub(super) fn sample(&mut self, took: Duration) {
        let sample = took.as_secs_f64();
        self.doublings = 0;
        self.measured = Some(match self.measured {
            Some(measured) => measured.with(sample),
            None => Measured { mean: sample, deviation: sample / 2.0 },
        });
    }

    /// An attempt ran out of time.
    pub(super) fn timed_out(&mut self) {
        self.doublings = self.doublings.saturating_add(1);
    }

    /// For the next attempt.
    pub(super) fn timeout(&self) -> Duration {
        match self.measured {
            Some(measured) if self.timing.adaptive => {
                let doubled = measured.timeout(self.timing.patience) * 2f64.powf(f64::from(self.doublings));
                // Whole milliseconds: timers are no finer, and people read it.
                Duration::try_from_secs_f64((doubled * 1e3).round() / 1e3).unwrap_or(Duration::MAX).min(self.ceiling)
            }
            Some(_) | None => self.ceiling,
        }
    }
}

impl Measured {
    /// The deviation is updated from the mean before the sample (RFC 6298 §2.3).
    fn with(self, sample: f64) -> Self {
        let deviation = blend(self.deviation, (self.mean - sample).abs(), DEVIATION_GAIN);
        Self { mean: blend(self.mean, sample, MEAN_GAIN), deviation }
    }

    /// A patience below 1 shortens the slack alone: nobody is served by less time than an attempt usually takes.
    fn timeout(self, patience: f64) -> f64 {
        let usual = self.mean + DEVIATIONS * self.deviation;
        (usual * patience.max(1.0)).max(self.mean + SLACK.as_secs_f64() * patience)
    }
}

fn blend(old: f64, new: f64, gain: f64) -> f64 {
    old + (new - old) * gain
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: Duration = Duration::from_secs(2);
    const PLAIN: Timing = Timing { adaptive: true, patience: 1.0 };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The working timeout after these samples, in whole milliseconds.
    fn after(timing: Timing, samples: &[u64]) -> u128 {
        let mut latency = Latency::new(CEILING, timing);
        samples.iter().for_each(|sample| latency.sample(millis(*sample)));
        latency.timeout().as_millis()
    }

    #[test]
    fn before_any_sample_the_ceiling_holds_and_timeouts_do_not_raise_it() {
        let mut latency = Latency::new(CEILING, PLAIN);
        assert_eq!(latency.timeout(), CEILING);
        latency.timed_out();
        assert_eq!(latency.timeout(), CEILING);
    }

    #[test]
    fn the_first_sample_counts_half_of_itself_as_deviation() {
        assert_eq!(after(PLAIN, &[400]), 1200);
    }

    #[test]
    fn later_samples_move_the_mean_by_an_eighth_and_the_deviation_by_a_quarter() {
        // mean 400 + 1/8 × 400 = 450; deviation 200 + 1/4 × (400 − 200) = 250
        assert_eq!(after(PLAIN, &[400, 800]), 1450);
    }

    #[test]
    fn an_even_latency_is_left_its_slack() {
        for (sample, expected) in [(1, 301), (50, 350), (300, 600)] {
            assert_eq!(after(PLAIN, &[sample; 60]), expected);
        }
    }

    #[test]
    fn patience_stretches_the_whole_and_impatience_shortens_the_slack_alone() {
        let samples = [400, 800];
        assert_eq!(after(Timing { patience: 1.1, ..PLAIN }, &samples), 1595);
        assert_eq!(after(Timing { patience: 0.3, ..PLAIN }, &samples), 1450);
        assert_eq!(after(Timing { patience: 1.5, ..PLAIN }, &[10; 60]), 460);
        assert_eq!(after(Timing { patience: 0.3, ..PLAIN }, &[10; 60]), 100);
    }

    #[test]
    fn no_sample_and_no_patience_lifts_the_timeout_above_the_ceiling() {
        assert_eq!(after(Timing { patience: 1e300, ..PLAIN }, &[1900, 10]), CEILING.as_millis());
    }

    #[test]
    fn each_timeout_doubles_it_up_to_the_ceiling_until_a_sample_comes() {
        let mut latency = Latency::new(CEILING, PLAIN);
        (0..60).for_each(|_| latency.sample(millis(1)));
        let doubled: Vec<_> = (0..4)
            .map(|_| {
                latency.timed_out();
                latency.timeout().as_millis()
            })
            .collect();
        assert_eq!(doubled, [602, 1204, 2000, 2000]);
        latency.sample(millis(1));
        assert_eq!(latency.timeout().as_millis(), 301);
    }

    #[test]
    fn timeouts_without_end_are_still_the_ceiling() {
        let mut latency = Latency::new(CEILING, PLAIN);
        latency.sample(millis(1));
        (0..5000).for_each(|_| latency.timed_out());
        assert_eq!(latency.timeout(), CEILING);
    }

    #[test]
    fn a_step_from_1_to_300_ms_costs_at_most_one_timeout_and_two_where_patience_is_least() {
        for (patience, allowed) in [(1.5, 0), (1.0, 1), (0.3, 2)] {
            let mut latency = Latency::new(CEILING, Timing { patience, ..PLAIN });
            (0..60).for_each(|_| latency.sample(millis(1)));
            let failures = (0..).take_while(|_| {
                let late = latency.timeout() < millis(310);
                latency.timed_out();
                late
            });
            assert_eq!(failures.count(), allowed, "patience {patience}");
        }
    }

    #[test]
    fn switched_off_it_is_the_ceiling_whatever_was_measured() {
        assert_eq!(after(Timing { adaptive: false, ..PLAIN }, &[1; 9]), CEILING.as_millis());
    }

    #[test]
    fn what_was_measured_goes_on_under_other_limits() {
        let mut before = Latency::new(CEILING, PLAIN);
        before.sample(millis(100));
        before.timed_out();
        let after = Latency::new(CEILING * 10, Timing { patience: 2.0, ..PLAIN }).after(&before);
        assert_eq!(after.timeout(), millis(2 * (100 + 2 * 300)));
        assert_eq!(Latency::new(millis(500), PLAIN).after(&before).timeout(), millis(500));
    }
}
