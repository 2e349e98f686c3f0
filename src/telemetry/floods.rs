//! Lines that come once for each client, of which ten thousand may come at once: of each kind so many are written as
//! `log.flood` says, and once a second a line tells how many were left out. What is said of the gate, of checks and of the
//! configuration does not pass here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};
use tracing::{Level, level_filters::LevelFilter};

use super::{
    bucket::Bucket,
    metrics::Metrics,
    series::{OUTCOMES, STATES},
};
use crate::config::Flood;

/// Between two lines on what was left out of a kind.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The kind of the lines on observed sessions.
pub const WOULD_BE_HELD: &str = "would_be_held";

/// The kind of the lines on plain requests. All other kinds are states that were entered and outcomes.
pub const REQUEST: &str = "request";

/// The buckets of one process.
#[derive(Debug)]
pub struct Floods {
    buckets: Mutex<Buckets>,
    begun: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Buckets {
    flood: Flood,
    kinds: Vec<(&'static str, Level, Bucket)>,
}

/// Every kind of line that may be left out.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    STATES.into_iter().chain(OUTCOMES).chain([WOULD_BE_HELD, REQUEST])
}

impl Floods {
    /// Full buckets.
    #[must_use]
    pub fn new(flood: Flood, metrics: Arc<Metrics>) -> Arc<Self> {
        let kinds = kinds().map(|kind| (kind, Level::INFO, Bucket::default())).collect();
        Arc::new(Self { buckets: Mutex::new(Buckets { flood, kinds }), begun: Notify::new(), metrics })
    }

    /// Other limits from here on.
    pub fn limit(&self, flood: Flood) {
        self.with(|buckets| buckets.flood = flood);
    }

    /// Whether a line of this kind, which always has this level, is to be written at `now`. One below the log's own level
    /// is not, and is not missed.
    #[must_use]
    pub fn admits(&self, kind: &str, level: Level, now: Instant) -> bool {
        if level > LevelFilter::current() {
            return false;
        }
        let admitted = self.with(|buckets| {
            let known = buckets.kinds.iter_mut().find(|(known, ..)| *known == kind);
            known.is_none_or(|(_, of_kind, bucket)| {
                *of_kind = level;
                bucket.admits(buckets.flood, now)
            })
        });
        if !admitted {
            self.metrics.line_suppressed(kind);
            self.begun.notify_one();
        }
        admitted
    }

    /// Tells of every flood, for ever.
    pub async fn run(&self) {
        loop {
            self.begun.notified().await;
            sleep(TELL_EVERY).await;
            self.settle();
        }
    }

    /// Tells what was left out and not told yet.
    pub fn settle(&self) {
        let settled = |(kind, level, bucket): &mut (&'static str, Level, Bucket)| (*kind, *level, bucket.settle());
        let left_out: Vec<_> = self.with(|buckets| buckets.kinds.iter_mut().map(settled).collect());
        left_out.into_iter().filter(|(.., suppressed)| *suppressed > 0).for_each(tell);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Buckets) -> T) -> T {
        act(&mut self.buckets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// With the severity of the lines themselves.
fn tell((line, level, suppressed): (&str, Level, u64)) {
    match level {
        Level::ERROR => tracing::error!(line, suppressed, "log lines left out"),
        Level::WARN => tracing::warn!(line, suppressed, "log lines left out"),
        _ => tracing::info!(line, suppressed, "log lines left out"),
    }
}
