//! Many who wait cause no more checks than one.

use futures_util::future::join_all;

use super::route;
use crate::harness::{
    gate::{Running, Setup},
    head::head,
    raw::Raw,
    upstream::{Echo, Upstream},
};

const CROWD: usize = 500;

/// Checks that fail before one passes.
const ROUNDS: usize = 10;

/// Runs of the cache's check so far.
const RUNS: &str = "readygate_check_duration_seconds_count{check=\"cache\"}";

/// The upstream is ready, and the cache answers when the test does.
async fn gate(check: &str) -> (Running, Upstream, Echo) {
    let (cache, echo) = (Upstream::start().await, Echo::start().await);
    let check = format!("dependencies.cache.check = {{ url = \"http://{}/\", {check} }}", cache.address);
    let gate = Setup::shut(echo.address).with(&check).with("features.adaptive_timing = false").start().await;
    gate.health.set(true);
    (gate, cache, echo)
}

#[tokio::test]
async fn a_check_under_way_is_the_check_of_everybody_who_comes_meanwhile() {
    for sessions in [1, CROWD] {
        let (gate, mut cache, _echo) = gate("timeout = \"10m\"").await;
        let mut asked = Some(question(&mut cache).await);
        let clients = join_all((0..sessions).map(|_| gate.held_client())).await;
        gate.holds(sessions as u32).await;
        for round in 0..ROUNDS {
            assert!(cache.is_left_alone().await, "a second check beside the one of round {round}, {sessions} wait");
            answer(asked.take().unwrap(), "503 Service Unavailable").await;
            asked = Some(question(&mut cache).await);
            assert_eq!(gate.metric(RUNS).await as usize, round + 1, "{sessions} wait");
        }
        assert!(cache.is_left_alone().await);
        answer(asked.unwrap(), "200 OK").await;
        gate.metric_is(r#"readygate_sessions{state="open"}"#, sessions as f64).await;
        drop(clients);
    }
}

#[tokio::test]
async fn a_crowd_that_arrives_during_a_rest_does_not_cut_it_short() {
    // As long as a configuration may have it: what is asked meanwhile is asked because of the crowd.
    let day = "interval = \"24h\", backoff = { initial = \"24h\", max = \"24h\" }, breaker = { attempts = 1 }";
    let (gate, mut cache, _echo) = gate(day).await;
    answer(question(&mut cache).await, "503 Service Unavailable").await;
    route(gate.admin, "*", "shut").await;
    gate.metric_is(RUNS, 1.0).await;
    let clients = join_all((0..CROWD).map(|_| gate.held_client())).await;
    gate.holds(CROWD as u32).await;
    assert_eq!(gate.metric(RUNS).await, 1.0);
    assert!(cache.is_left_alone().await);
    drop(clients);
}

/// The next check, its request read.
async fn question(cache: &mut Upstream) -> Raw {
    let mut asked = cache.dialed().await;
    asked.head().await;
    asked
}

async fn answer(mut asked: Raw, status: &str) {
    asked.send(head(&format!("HTTP/1.1 {status}"), &[("Content-Length", "0")])).await;
}
