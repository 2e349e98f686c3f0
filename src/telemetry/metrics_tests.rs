//! What `/metrics` shows after what was counted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn has(metrics: &Metrics, line: &str) {
    let text = metrics.render();
    assert!(text.lines().any(|shown| shown == line), "no line `{line}` in:\n{text}");
}

#[test]
fn states_fates_and_closes_stand_at_zero_from_the_start() {
    let metrics = Metrics::new();
    for state in STATES {
        has(&metrics, &format!("readygate_sessions{{state=\"{state}\"}} 0"));
        has(&metrics, &format!("readygate_stage_duration_seconds_count{{stage=\"{state}\"}} 0"));
    }
    for fate in ["received", "delivered", "refused"] {
        has(&metrics, &format!("readygate_frames_total{{fate=\"{fate}\"}} 0"));
    }
    has(&metrics, "readygate_closes_total{code=\"1014\",side=\"client\"} 0");
    has(&metrics, "readygate_ledger_imbalance_total 0");
    has(&metrics, &format!("readygate_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_session_is_counted_where_it_is_and_timed_where_it_was() {
    let metrics = Metrics::new();
    metrics.session_entered("held");
    assert!(metrics.sessions().contains(&("held", 1)));
    metrics.session_left("held", Duration::from_secs(200));
    metrics.session_entered("open");
    metrics.session_done("relayed");
    has(&metrics, "readygate_sessions{state=\"held\"} 0");
    has(&metrics, "readygate_sessions{state=\"open\"} 1");
    has(&metrics, "readygate_stage_duration_seconds_bucket{stage=\"held\",le=\"120\"} 0");
    has(&metrics, "readygate_stage_duration_seconds_bucket{stage=\"held\",le=\"300\"} 1");
    has(&metrics, "readygate_sessions_total{outcome=\"relayed\"} 1");
}

#[test]
fn an_unknown_state_is_counted_all_the_same() {
    let metrics = Metrics::new();
    metrics.session_entered("authorizing");
    metrics.session_entered("authorizing");
    metrics.session_left("authorizing", Duration::from_millis(3));
    has(&metrics, "readygate_sessions{state=\"authorizing\"} 1");
    has(&metrics, "readygate_stage_duration_seconds_count{stage=\"authorizing\"} 1");
}

#[test]
fn closes_count_by_side_and_strange_codes_share_a_label() {
    let metrics = Metrics::new();
    metrics.close_sent(Side::Client, 1013);
    metrics.close_sent(Side::Upstream, 3003);
    metrics.close_sent(Side::Upstream, 4711);
    metrics.close_sent(Side::Upstream, 1006);
    has(&metrics, "readygate_closes_total{code=\"1013\",side=\"client\"} 1");
    has(&metrics, "readygate_closes_total{code=\"1013\",side=\"upstream\"} 0");
    has(&metrics, "readygate_closes_total{code=\"3003\",side=\"upstream\"} 1");
    has(&metrics, "readygate_closes_total{code=\"other\",side=\"upstream\"} 2");
}

#[test]
fn what_can_happen_stands_at_zero_before_it_does() {
    let metrics = Metrics::new();
    metrics.check_paced("cache", Duration::from_millis(300), false);
    has(&metrics, "readygate_sessions_total{outcome=\"hold_timeout\"} 0");
    has(&metrics, "readygate_sessions_deferred_total{reason=\"origin\"} 0");
    has(&metrics, "readygate_check_failures_total{check=\"cache\",class=\"not-ready\"} 0");
    has(&metrics, "readygate_check_changes_total{check=\"cache\"} 0");
    has(&metrics, "readygate_drains_total 0");
}

#[test]
fn the_hold_is_shown_as_it_is_at_the_scrape() {
    let metrics = Metrics::new();
    let oldest = Duration::from_millis(1500);
    metrics.hold_is(&HoldUse { taken: (10, 2), limit: (100, 20), oldest });
    has(&metrics, "readygate_hold_oldest_seconds 1.5");
    has(&metrics, "readygate_hold_budget_taken_bytes 10");
    has(&metrics, "readygate_hold_budget_taken_sessions 2");
    has(&metrics, "readygate_hold_budget_limit_bytes 100");
    has(&metrics, "readygate_hold_budget_limit_sessions 20");
}

#[test]
fn a_drain_counts_itself_and_what_it_cut() {
    let metrics = Metrics::new();
    metrics.drain_began();
    metrics.drain_cuts(3);
    has(&metrics, "readygate_drains_total 1");
    has(&metrics, "readygate_drain_cut_sessions_total 3");
}

#[test]
fn a_session_that_waits_for_no_gate_adds_less_than_a_millisecond() {
    let metrics = Metrics::new();
    metrics.connected_after(Duration::from_micros(60));
    has(&metrics, "readygate_connect_added_seconds_bucket{le=\"0.0001\"} 1");
}

#[test]
fn a_route_names_the_checks_that_shut_or_degrade_it() {
    let metrics = Metrics::new();
    metrics.route_needs("*", "cache", true, false);
    metrics.route_needs("*", "llm", false, true);
    has(&metrics, "readygate_gate_blocker{check=\"cache\",route=\"*\"} 1");
    has(&metrics, "readygate_gate_missing{check=\"cache\",route=\"*\"} 0");
    has(&metrics, "readygate_gate_blocker{check=\"llm\",route=\"*\"} 0");
    has(&metrics, "readygate_gate_missing{check=\"llm\",route=\"*\"} 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_is_shown_where_there_is_one() {
    let metrics = Metrics::new();
    let (blocked, task) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(task);
    has(&metrics, "readygate_runtime_workers 2");
    has(&metrics, "readygate_runtime_tasks 1");
    assert!(metrics.render().contains("\n# TYPE readygate_runtime_busy_seconds_total counter\n"));
    drop(blocked);
    assert!(task.await.unwrap().is_err());
}

#[test]
fn a_route_has_exactly_one_verdict() {
    let metrics = Metrics::new();
    metrics.verdict("*", "shut");
    metrics.verdict("*", "open");
    for (verdict, value) in [("open", 1), ("degraded", 0), ("shut", 0), ("draining", 0)] {
        has(&metrics, &format!("readygate_gate_verdict{{route=\"*\",verdict=\"{verdict}\"}} {value}"));
    }
}

#[test]
fn a_check_shows_whether_it_is_up_how_long_it_took_and_why_it_failed() {
    let metrics = Metrics::new();
    metrics.checked("cache", "redis", true, Duration::from_micros(800), None);
    has(&metrics, "readygate_check_up{check=\"cache\",kind=\"redis\"} 1");
    metrics.checked("cache", "redis", false, Duration::from_secs(2), Some("auth"));
    has(&metrics, "readygate_check_up{check=\"cache\",kind=\"redis\"} 0");
    has(&metrics, "readygate_check_duration_seconds_count{check=\"cache\"} 2");
    has(&metrics, "readygate_check_failures_total{check=\"cache\",class=\"auth\"} 1");
}

#[test]
fn a_check_shows_its_timeout_and_its_breaker_from_the_start() {
    let metrics = Metrics::new();
    metrics.check_paced("cache", Duration::from_millis(300), false);
    has(&metrics, "readygate_check_timeout_seconds{check=\"cache\"} 0.3");
    for family in ["breaker_open", "breaker_opened_total", "void_total"] {
        has(&metrics, &format!("readygate_check_{family}{{check=\"cache\"}} 0"));
    }
    metrics.check_paced("cache", Duration::from_millis(300), true);
    metrics.check_breaker_opened("cache");
    metrics.check_void("cache");
    for family in ["breaker_open", "breaker_opened_total", "void_total"] {
        has(&metrics, &format!("readygate_check_{family}{{check=\"cache\"}} 1"));
    }
}

#[test]
fn amounts_add_up_and_every_status_has_a_label() {
    let metrics = Metrics::new();
    metrics.held(100, 3);
    metrics.held(-40, -1);
    metrics.frames(Fate::Refused, 7);
    metrics.dial_retried();
    metrics.ledger_imbalance();
    metrics.released(Duration::from_millis(4));
    for code in [100, 599, 99, 600] {
        metrics.http_answered(code, Duration::from_millis(30));
    }
    has(&metrics, "readygate_hold_bytes 60");
    has(&metrics, "readygate_hold_frames 2");
    has(&metrics, "readygate_frames_total{fate=\"refused\"} 7");
    has(&metrics, "readygate_dial_retries_total 1");
    has(&metrics, "readygate_ledger_imbalance_total 1");
    has(&metrics, "readygate_release_latency_seconds_bucket{le=\"0.005\"} 1");
    has(&metrics, "readygate_http_requests_total{code=\"100\"} 1");
    has(&metrics, "readygate_http_requests_total{code=\"599\"} 1");
    has(&metrics, "readygate_http_requests_total{code=\"other\"} 2");
    has(&metrics, "readygate_http_request_duration_seconds_bucket{le=\"0.05\"} 4");
}

#[test]
#[cfg(target_os = "linux")]
fn two_registries_live_side_by_side_and_each_tells_of_the_process() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.dial_retried();
    has(&other, "readygate_dial_retries_total 0");
    assert!(other.render().contains("process_resident_memory_bytes "));
}
