//! What a check's runner asks when.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, SystemTime};

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::bench::{Bench, GRAIN, STALL, about, check};
use crate::gate::{BreakerState, Class, Failure, Verdict};

#[tokio::test(start_paused = true)]
async fn the_first_run_is_at_once_and_a_passing_check_waits_its_interval() {
    let begun = Instant::now();
    let mut bench = Bench::new(None, Duration::ZERO);
    let mut last = bench.next().await;
    assert_eq!(last, begun);
    about(bench.pause(&mut last).await, bench.check.pacing.interval);
    assert!(bench.gate.verdict().is_open());
}

#[tokio::test(start_paused = true)]
async fn the_first_retry_comes_within_ten_milliseconds_and_later_ones_up_to_a_second_apart() {
    let takes = Duration::from_millis(30);
    let mut bench = Bench::new(Some(Class::NotReady), takes);
    let _waiting = bench.gate.wait_begins(&[0]);
    let mut last = bench.next().await;
    assert!(bench.pause(&mut last).await <= takes + Duration::from_millis(10) + GRAIN * 2);
    let mut pauses = Vec::new();
    for _ in 0..40 {
        pauses.push(bench.pause(&mut last).await);
    }
    let longest = *pauses.iter().max().unwrap();
    assert!(longest <= takes + bench.max() + GRAIN * 2, "{longest:?}");
    assert!(longest > bench.max() / 2, "the backoff does not grow: {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn one_who_begins_to_wait_cuts_the_pause_of_a_cheap_check_short() {
    let mut bench = Bench::new(Some(Class::NotReady), Duration::ZERO);
    bench.skip(12).await;
    let (came, _waiting) = (Instant::now(), bench.gate.wait_begins(&[0]));
    assert!(bench.next().await - came <= Duration::from_millis(10) + GRAIN * 2);
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_within_the_largest_pause_after_the_backend_came_back_if_somebody_waits() {
    let mut bench = Bench::new(Some(Class::NotReady), Duration::ZERO);
    let _waiting = bench.gate.wait_begins(&[0]);
    bench.skip(40).await;
    let (back, mut verdict) = (Instant::now(), bench.gate.lane(0).subscribe());
    bench.set(|behaviour| behaviour.fails = None);
    verdict.wait_for(Verdict::is_open).await.unwrap();
    assert!(back.elapsed() <= bench.max() + GRAIN * 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_dial_brings_the_next_run_forward() {
    let mut bench = Bench::new(None, Duration::ZERO);
    let mut verdict = bench.gate.lane(0).subscribe();
    let first = bench.next().await;
    verdict.wait_for(Verdict::is_open).await.unwrap();
    bench.gate.dial_refused();
    assert!(bench.next().await - first <= bench.check.pacing.backoff.initial + GRAIN * 2);
}

#[tokio::test(start_paused = true)]
async fn a_wake_before_a_run_is_served_by_that_run() {
    let mut bench = Bench::new(None, Duration::ZERO);
    bench.gate.dial_refused();
    bench.gate.report(1, Ok(()), Duration::ZERO, SystemTime::now());
    bench.gate.report(1, Ok(()), Duration::ZERO, SystemTime::now());
    let mut last = bench.next().await;
    assert!(bench.pause(&mut last).await >= bench.check.pacing.interval);
}

#[tokio::test(start_paused = true)]
async fn wakes_during_a_run_lead_to_one_more_run_and_never_to_two_at_a_time() {
    let takes = Duration::from_secs(1);
    let mut bench = Bench::new(None, takes);
    let mut last = bench.next().await;
    for _ in 0..3 {
        bench.gate.dial_refused();
        yield_now().await;
    }
    assert!(bench.asked.try_recv().is_err(), "a second run while the first is under way");
    let second = bench.pause(&mut last).await;
    assert!(second >= takes && second <= takes + bench.check.pacing.backoff.initial + GRAIN * 2, "{second:?}");
    assert!(bench.pause(&mut last).await >= takes * 2, "a third run at once");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_a_timeout_that_names_the_time() {
    let mut bench = Bench::new(None, Duration::MAX);
    let mut verdict = bench.gate.lane(0).subscribe();
    bench.next().await;
    verdict.changed().await.unwrap();
    let blocker = bench.gate.verdict().blockers()[0].clone();
    assert_eq!((blocker.class, blocker.reason.as_str()), (Class::Timeout, "no answer within 2s"));
}

#[tokio::test(start_paused = true)]
async fn the_working_timeout_follows_a_latency_of_1_50_and_300_ms() {
    for (latency, expected) in [(1, 301), (50, 350), (300, 600)] {
        let mut bench = Bench::new(None, Duration::from_millis(latency));
        assert_eq!(bench.view().await.timeout, bench.check.pacing.timeout);
        bench.skip(60).await;
        about(bench.view().await.timeout, Duration::from_millis(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_goes_on_under_another_gate_begins_with_what_it_has_learned() {
    let mut before = Bench::new(None, Duration::from_millis(50));
    before.skip(60).await;
    let measured = before.view().await.timeout;
    assert!(measured < before.check.pacing.timeout);
    let mut after = before.succeeded();
    after.next().await;
    assert_eq!(after.view().await.timeout, measured);

    let mut before = Bench::new(Some(Class::Refused), Duration::from_millis(50));
    before.tripped().await;
    let mut after = before.succeeded();
    after.next().await;
    assert_eq!(after.view().await.breaker, BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_hangs_is_noticed_by_its_working_timeouts() {
    let mut bench = Bench::new(None, GRAIN);
    let mut verdict = bench.gate.lane(0).subscribe();
    let last = bench.skip(60).await;
    bench.view().await;
    bench.set(|behaviour| behaviour.takes = Duration::MAX);
    bench.next().await;
    verdict.wait_for(|verdict| !verdict.is_open()).await.unwrap();
    // 301 + 602 + 1204 ms and two short pauses, where fixed timeouts would take 6 s.
    let took = last.elapsed() - bench.check.pacing.interval;
    assert!(took > Duration::from_secs(2) && took < Duration::from_millis(2200), "{took:?}");
    assert_eq!(bench.view().await.timeout, bench.check.pacing.timeout);
}

#[tokio::test(start_paused = true)]
async fn a_latency_that_steps_up_to_300_ms_does_not_shut_the_gate() {
    let mut bench = Bench::new(None, GRAIN);
    bench.skip(60).await;
    let verdict = bench.gate.lane(0).subscribe();
    bench.set(|behaviour| behaviour.takes = Duration::from_millis(300));
    bench.skip(20).await;
    assert!(!verdict.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_open_the_breaker_and_nobody_waiting_leaves_it_a_trial_each_cooldown() {
    let mut bench = Bench::new(Some(Class::Refused), Duration::from_millis(10));
    let mut last = bench.tripped().await;
    bench.shows("readygate_check_breaker_open{check=\"upstream\"} 1");
    for _ in 0..3 {
        about(bench.pause(&mut last).await, bench.check.pacing.breaker.cooldown + Duration::from_millis(10));
        assert_eq!(bench.view().await.breaker, BreakerState::HalfOpen);
    }
    bench.shows("readygate_check_breaker_opened_total{check=\"upstream\"} 1");
    bench.set(|behaviour| behaviour.fails = None);
    bench.next().await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.view().await.breaker, BreakerState::Closed);
    bench.shows("readygate_check_breaker_open{check=\"upstream\"} 0");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_begins_to_fail_and_passes_again_has_changed_twice_and_its_first_result_is_no_change() {
    let mut bench = Bench::new(None, Duration::ZERO);
    let mut verdict = bench.gate.lane(0).subscribe();
    verdict.wait_for(Verdict::is_open).await.unwrap();
    bench.skip(2).await;
    bench.shows("readygate_check_changes_total{check=\"upstream\"} 0");
    bench.set(|behaviour| behaviour.fails = Some(Class::Refused));
    verdict.wait_for(|verdict| !verdict.is_open()).await.unwrap();
    bench.skip(2).await;
    bench.shows("readygate_check_changes_total{check=\"upstream\"} 1");
    bench.set(|behaviour| behaviour.fails = None);
    verdict.wait_for(Verdict::is_open).await.unwrap();
    bench.skip(2).await;
    bench.shows("readygate_check_changes_total{check=\"upstream\"} 2");
}

#[tokio::test(start_paused = true)]
async fn the_first_to_wait_has_a_resting_check_run_at_once_and_often_and_the_last_lets_it_rest() {
    let mut bench = Bench::new(Some(Class::Refused), Duration::ZERO);
    let mut last = bench.tripped().await;
    sleep(bench.max() * 2).await;
    let (waiting, began) = (bench.gate.wait_begins(&[0]), Instant::now());
    let also_waiting = bench.gate.wait_begins(&[0, 7]);
    bench.pause(&mut last).await;
    assert!(last - began <= GRAIN);
    drop(waiting);
    for _ in 0..20 {
        assert!(bench.pause(&mut last).await <= bench.max() + GRAIN * 2);
        assert_eq!(bench.view().await.breaker, BreakerState::Open);
    }
    drop(also_waiting);
    bench.pause(&mut last).await;
    about(bench.pause(&mut last).await, bench.check.pacing.breaker.cooldown);
}

#[tokio::test(start_paused = true)]
async fn clients_that_come_and_go_do_not_set_the_rhythm() {
    let mut bench = Bench::new(Some(Class::Refused), Duration::ZERO);
    bench.tripped().await;
    let mut runs = 0;
    for _ in 0..10_000 {
        drop(bench.gate.wait_begins(&[0]));
        bench.gate.arrived();
        sleep(GRAIN).await;
        runs += usize::from(bench.asked.try_recv().is_ok());
    }
    assert!((1..=60).contains(&runs), "{runs} runs in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_fault_rests_whoever_waits() {
    let mut bench = Bench::new(Some(Class::Auth), Duration::ZERO);
    let _waiting = bench.gate.wait_begins(&[0]);
    let mut last = bench.skip(5).await;
    assert_eq!(bench.view().await.breaker, BreakerState::Open);
    for _ in 0..3 {
        about(bench.pause(&mut last).await, bench.check.pacing.breaker.cooldown);
    }
}

#[tokio::test(start_paused = true)]
async fn an_arrival_does_not_wake_what_rests() {
    let mut check = check();
    check.pacing.breaker.cooldown = STALL;
    let mut bench = Bench::of(&check, Some(Class::Refused), Duration::ZERO);
    let mut last = bench.tripped().await;
    sleep(STALL / 2).await;
    bench.gate.arrived();
    about(bench.pause(&mut last).await, STALL);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_shuts_because_of_another_quickens_a_check_in_the_middle_of_its_rest() {
    let mut bench = Bench::new(None, Duration::ZERO);
    let mut last = bench.next().await;
    sleep(Duration::from_millis(500)).await;
    for _ in 0..bench.check.pacing.fall {
        let failure = Failure { class: Class::Refused, reason: String::new(), hint: None };
        bench.gate.report(1, Err(failure), Duration::ZERO, SystemTime::now());
    }
    about(bench.pause(&mut last).await, bench.check.pacing.interval / 5);
    bench.gate.report(1, Ok(()), Duration::ZERO, SystemTime::now());
    about(bench.pause(&mut last).await, bench.check.pacing.interval);
}

#[tokio::test(start_paused = true)]
async fn those_who_doubt_the_upstream_have_it_asked_at_once_and_do_not_set_the_rhythm() {
    let mut bench = Bench::new(None, Duration::ZERO);
    bench.next().await;
    sleep(bench.check.pacing.interval / 2).await;
    let lost = Instant::now();
    bench.gate.upstream_doubted();
    assert_eq!(bench.next().await, lost, "at once");
    let least = bench.check.pacing.backoff.initial;
    for _ in 0..20 {
        bench.gate.upstream_doubted();
        yield_now().await;
    }
    about(bench.next().await - lost, least);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_for_which_there_was_no_descriptor_is_void_however_often_and_does_not_spin() {
    let mut check = check();
    check.pacing.fall = 1;
    let mut bench = Bench::of(&check, None, Duration::ZERO);
    bench.next().await;
    bench.set(|behaviour| behaviour.fails = Some(Class::Starved));
    let mut last = bench.next().await;
    for _ in 0..8 {
        assert!(bench.pause(&mut last).await >= Duration::from_millis(250));
    }
    assert!(bench.view().await.class.is_none() && bench.gate.verdict().is_open());
    bench.shows("readygate_check_void_total{check=\"upstream\"} 9");
    bench.shows("readygate_check_breaker_open{check=\"upstream\"} 0");
}
