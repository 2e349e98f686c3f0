//! Timeouts that follow the network, and a process that was stopped: its own lateness is nobody's failure.

use std::time::{Duration, Instant};

use super::{check, echoed};
use crate::{
    dependencies::{redis::Redis, relay::Relay},
    harness::{
        eventually,
        gate::{admin, metric, metric_is},
        head::head,
        process::Process,
        raw::Raw,
        upstream::{Echo, Upstream},
    },
};

/// By name, and in each direction.
const NETWORKS: [(&str, u64); 3] = [("near", 1), ("middling", 50), ("far", 300)];

/// Enough for the deviation to forget that it began as half of the first sample.
const SAMPLES: f64 = 12.0;

/// `probe.timeout`, where nothing else is said.
const CEILING_MS: f64 = 2000.0;

/// That of a server: beside a developer, timeouts are short enough to tell of the load of the other tests.
const PATIENCE: [(&str, &str); 1] = [("READYGATE_PROBE__PROFILE", "kubernetes")];

/// Longer than the whole timeout of the check, by more than any load explains.
const STOPPED: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn working_timeouts_follow_the_latency_of_each_dependency() {
    let timeouts = timeouts("").await;
    assert!(timeouts.is_sorted_by(|near, far| near < far), "{timeouts:?}");
    for ((name, delay), timeout) in NETWORKS.iter().zip(&timeouts) {
        assert!((2.0 * *delay as f64..CEILING_MS).contains(timeout), "{name}: {timeout} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_adaptive_timing_the_timeout_is_what_was_configured() {
    assert_eq!(timeouts("features.adaptive_timing = false").await, [CEILING_MS; 3]);
}

/// In milliseconds, in the order of [`NETWORKS`], after passed checks alone.
async fn timeouts(lines: &str) -> Vec<f64> {
    let redis = Redis::start(&[]);
    let mut relays = Vec::new();
    let mut dependencies = String::new();
    for (name, delay) in NETWORKS {
        let relay = Relay::start(redis.port, Duration::from_millis(delay)).await;
        dependencies += &format!("dependencies.{name}.check = \"redis://127.0.0.1:{}\"\n", relay.port);
        relays.push(relay);
    }
    let echo = Echo::start().await;
    let gate = Process::start(echo.address, &(dependencies + lines), &PATIENCE).await;
    let mut timeouts = Vec::new();
    for (name, _) in NETWORKS {
        timeouts.push(settled(&gate, name).await);
    }
    timeouts
}

async fn settled(gate: &Process, name: &str) -> f64 {
    let runs = format!("readygate_check_duration_seconds_count{{check=\"{name}\"}}");
    eventually(&runs, async || (metric(gate.admin, &runs).await >= SAMPLES).then_some(())).await;
    let metrics = admin(gate.admin, "/metrics").await;
    let failures = format!("readygate_check_failures_total{{check=\"{name}\"");
    let failed = |line: &&str| line.starts_with(&failures) && !line.ends_with(" 0");
    assert_eq!(metrics.text().lines().find(failed), None);
    check(gate.admin, name, |check| check["state"] == "passing").await["timeout_ms"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_while_its_dependency_answered_keeps_its_gate_open() {
    stopped(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_together_with_its_backend_keeps_its_gate_open() {
    stopped(false).await;
}

/// Stops readygate for longer than its check may take, with that check under way; its question is `answered` meanwhile,
/// or never.
async fn stopped(answered: bool) {
    let (mut backend, echo) = (Upstream::start().await, Echo::start().await);
    let check = format!("{{ url = \"http://{}/\", timeout = \"600ms\", fall = 1 }}", backend.address);
    let lines = format!("upstream.check = {check}\nfeatures.adaptive_timing = false");
    let mut gate = Process::start(echo.address, &lines, &[]).await;
    answer(question(&mut backend).await).await;
    gate.logged("gate open").await;
    let mut client = gate.client().await;
    client.upgrade("/ws", &[]).await;

    let asked = question(&mut backend).await;
    gate.signal("STOP").await;
    let mut unanswered = None;
    if answered {
        answer(asked).await;
    } else {
        unanswered = Some(asked);
    }
    has_passed(STOPPED).await;
    gate.signal("CONT").await;
    answer(question(&mut backend).await).await;
    // One more, so that the last answer has been judged.
    answer(question(&mut backend).await).await;
    drop(unanswered);

    if !answered {
        metric_is(gate.admin, "readygate_check_void_total{check=\"upstream\"}", 1.0).await;
    }
    for class in ["timeout", "refused"] {
        let failures = format!("readygate_check_failures_total{{check=\"upstream\",class=\"{class}\"}}");
        assert_eq!(metric(gate.admin, &failures).await, 0.0, "{class}");
    }
    echoed(&mut client, "open before").await;
    gate.signal("TERM").await;
    let line = gate.next_of(&["gate shut", "gate draining"]).await;
    assert_eq!(line["message"], "gate draining", "{line}");
}

/// Time itself is what the test is about, so it looks at the clock.
async fn has_passed(time: Duration) {
    let began = Instant::now();
    eventually("the time", async || (began.elapsed() >= time).then_some(())).await;
}

/// The next check, its request read.
async fn question(backend: &mut Upstream) -> Raw {
    let mut asked = backend.dialed().await;
    asked.head().await;
    asked
}

async fn answer(mut asked: Raw) {
    asked.send(head("HTTP/1.1 200 OK", &[("Content-Length", "0")])).await;
}
