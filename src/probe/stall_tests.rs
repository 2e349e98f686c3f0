//! What a check's runner makes of the answers: what counts, and what is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::advance;
use tracing::subscriber::DefaultGuard;

use super::bench::{Bench, GRAIN, STALL, check};
use crate::{
    gate::{Class, Verdict},
    telemetry::bystander::stand_by,
};

#[tokio::test(start_paused = true)]
async fn a_failure_right_after_a_stall_is_void_and_looked_into_at_once() {
    let mut check = check();
    check.pacing.fall = 1;
    let mut bench = Bench::of(&check, None, Duration::ZERO);
    let mut verdict = bench.gate.lane(0).subscribe();
    bench.next().await;
    verdict.wait_for(Verdict::is_open).await.unwrap();
    bench.set(|behaviour| behaviour.fails = Some(Class::Refused));
    advance(STALL).await;
    let first = bench.next().await;
    assert_eq!(bench.next().await, first);
    verdict.wait_for(|verdict| !verdict.is_open()).await.unwrap();
    bench.shows("readygate_check_void_total{check=\"upstream\"} 1");
    bench.shows("readygate_check_failures_total{check=\"upstream\",class=\"refused\"} 1");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_not_late_leaves_a_failure_its_weight() {
    let mut bench = Bench::new(Some(Class::Refused), Duration::ZERO);
    bench.skip(20).await;
    bench.shows("readygate_check_void_total{check=\"upstream\"} 0");
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_a_stall_made_long_counts_and_is_no_sample() {
    let mut bench = Bench::new(None, GRAIN);
    bench.skip(60).await;
    let before = bench.view().await.timeout;
    bench.set(|behaviour| (behaviour.stalls, behaviour.takes) = (STALL, Duration::ZERO));
    bench.next().await;
    bench.set(|behaviour| behaviour.stalls = Duration::ZERO);
    let view = bench.view().await;
    assert!(view.latency.unwrap() >= STALL, "{view:?}");
    assert_eq!((view.timeout, view.class), (before, None));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_fires_late_is_void_and_doubles_nothing() {
    let mut bench = Bench::new(None, GRAIN);
    bench.skip(60).await;
    let before = bench.view().await.timeout;
    bench.set(|behaviour| (behaviour.stalls, behaviour.takes) = (STALL, Duration::MAX));
    let stalled = bench.next().await;
    bench.set(|behaviour| (behaviour.stalls, behaviour.takes) = (Duration::ZERO, GRAIN));
    assert!(bench.next().await - stalled <= STALL + GRAIN * 2, "not looked into at once");
    bench.shows("readygate_check_void_total{check=\"upstream\"} 1");
    assert_eq!(bench.view().await.timeout, before);
}

#[tokio::test(start_paused = true)]
async fn stalls_without_end_do_not_hide_what_is_down() {
    let mut bench = Bench::new(None, Duration::ZERO);
    let mut verdict = bench.gate.lane(0).subscribe();
    bench.next().await;
    verdict.wait_for(Verdict::is_open).await.unwrap();
    bench.set(|behaviour| (behaviour.fails, behaviour.stalls) = (Some(Class::Refused), STALL));
    bench.skip(9).await;
    verdict.wait_for(|verdict| !verdict.is_open()).await.unwrap();
    bench.shows("readygate_check_void_total{check=\"upstream\"} 6");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_fault_is_shouted_once_until_it_changes_or_the_check_passes() {
    let (lines, _guard) = Lines::collect();
    let mut bench = Bench::new(Some(Class::Auth), Duration::ZERO);
    bench.skip(3).await;
    for fails in [Some(Class::Refused), Some(Class::Auth), Some(Class::Tls), None, Some(Class::Tls)] {
        bench.view().await;
        bench.set(|behaviour| behaviour.fails = fails);
        bench.next().await;
    }
    bench.view().await;
    let shouts: Vec<_> = lines.with("ERROR").iter().map(|line| line.contains("class=\"auth\"")).collect();
    assert_eq!(shouts, [true, false, false]);
    assert_eq!(lines.with("breaker"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_tells_when_it_opens_and_when_it_closes_and_nothing_in_between() {
    let (lines, _guard) = Lines::collect();
    let mut bench = Bench::new(Some(Class::Refused), Duration::ZERO);
    bench.tripped().await;
    bench.skip(3).await;
    bench.view().await;
    bench.set(|behaviour| behaviour.fails = None);
    bench.skip(2).await;
    let told = lines.with("breaker");
    assert_eq!(told.len(), 2, "{told:?}");
    let opened = "breaker open check=\"upstream\" failures=10 class=\"refused\" cooldown=\"10s\"";
    assert!(told[0].contains("WARN") && told[0].contains(opened), "{told:?}");
    assert!(told[1].contains("INFO") && told[1].contains("breaker closed check=\"upstream\""), "{told:?}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What this thread logs while the guard lives.
    fn collect() -> (Self, DefaultGuard) {
        stand_by();
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn with(&self, what: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
