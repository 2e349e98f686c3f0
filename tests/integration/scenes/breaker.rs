//! A dependency that stays away is left in peace until somebody waits for it, and a fault that needs a person is named
//! once.

use serde_json::json;

use super::{check, echoed, route};
use crate::{
    dependencies::redis::Redis,
    harness::{
        eventually,
        gate::{Running, Setup, metric},
        process::Process,
        upstream::{Echo, Health, Upstream, nowhere},
    },
};

/// Failures in a row before the breaker opens.
const ATTEMPTS: f64 = 3.0;

/// Runs of another check, after which whatever was to come at once has come.
const RUNS: f64 = 25.0;

/// Attempts that meet the same fault.
const ENOUGH: f64 = 10.0;

const WRONG: &[u8] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";

#[tokio::test]
async fn a_dead_dependency_nobody_waits_for_rests_and_is_asked_again_for_the_first_client() {
    let address = nowhere().await;
    // Within the longest cooldown nothing is asked unless for a client's sake.
    let breaker = format!("breaker = {{ attempts = {ATTEMPTS}, cooldown = \"24h\" }}");
    let dependency = format!("dependencies.cache.check = {{ url = \"http://{address}/\", {breaker} }}");
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).with(&dependency).start().await;
    gate.health.set(true);
    let cache = check(gate.admin, "cache", |cache| cache["breaker"] == "open").await;
    assert_eq!((&cache["state"], &cache["class"]), (&json!("failing"), &json!("refused")), "{cache}");
    assert_eq!(gate.metric("readygate_check_breaker_open{check=\"cache\"}").await, 1.0);
    assert_eq!(gate.metric("readygate_check_breaker_opened_total{check=\"cache\"}").await, 1.0);

    let mut returned = Upstream::start_on(address).await;
    others_run(&gate).await;
    assert!(returned.is_left_alone().await, "asked within its cooldown");
    let runs = gate.metric("readygate_check_duration_seconds_count{check=\"cache\"}").await;
    assert_eq!(runs, ATTEMPTS);

    let mut client = gate.held_client().await;
    let mut asked = returned.dialed().await;
    asked.head().await;
    let trial = check(gate.admin, "cache", |cache| cache["breaker"] == "half-open").await;
    assert_eq!(trial["state"], "failing");
    asked.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    echoed(&mut client, "released").await;
    route(gate.admin, "*", "open").await;
    check(gate.admin, "cache", |cache| cache["breaker"] == "closed").await;
    assert_eq!(gate.metric("readygate_check_breaker_open{check=\"cache\"}").await, 0.0);
}

#[tokio::test]
async fn a_transient_fault_is_tried_again_and_again_for_those_who_wait_whatever_the_breaker_says() {
    let address = nowhere().await;
    let breaker = format!("breaker = {{ attempts = {ATTEMPTS}, cooldown = \"24h\" }}");
    let dependency = format!("dependencies.cache.check = {{ url = \"http://{address}/\", {breaker} }}");
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).with(&dependency).start().await;
    gate.health.set(true);
    check(gate.admin, "cache", |cache| cache["breaker"] == "open").await;
    let _client = gate.held_client().await;
    let failures = "readygate_check_failures_total{check=\"cache\",class=\"refused\"}";
    at_least(&gate, failures, ATTEMPTS + ENOUGH).await;
    assert_eq!(gate.metric("readygate_check_breaker_opened_total{check=\"cache\"}").await, 1.0, "it never closed");
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_however_many_wait() {
    let mut cache = Upstream::start().await;
    let pacing = r#"backoff = { initial = "10ms", max = "24h" }, breaker = { cooldown = "24h" }"#;
    let url = format!("redis://:wrong@{}", cache.address);
    let echo = Echo::start().await;
    let dependency = format!("dependencies.cache.check = {{ url = \"{url}\", {pacing} }}");
    let gate = Setup::shut(echo.address).with(&dependency).start().await;
    gate.health.set(true);
    let mut asked = cache.dialed().await;
    // AUTH and PING come in one piece, and both are answered.
    asked.exactly(b"*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n*1\r\n$4\r\nPING\r\n".len()).await;
    asked.send([WRONG, b"-NOAUTH Authentication required.\r\n"].concat()).await;
    let told = check(gate.admin, "cache", |cache| cache["class"] == "auth" && cache["breaker"] == "open").await;
    assert_eq!(told["hint"], "check user and password in the URL");

    let _clients = [gate.held_client().await, gate.held_client().await];
    gate.holds(2).await;
    others_run(&gate).await;
    assert!(cache.is_left_alone().await, "a second connection with the wrong password");
    assert_eq!(gate.metric("readygate_check_failures_total{check=\"cache\",class=\"auth\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_needs_a_person_is_one_error_in_the_log_however_often_it_is_met() {
    let redis = Redis::start(&["--requirepass", "right"]);
    let (echo, health) = (Echo::start().await, Health::start(true).await);
    let pacing = r#"backoff = { initial = "1ms", max = "5ms" }, breaker = { cooldown = "10ms" }"#;
    let url = format!("redis://:wrong@127.0.0.1:{}", redis.port);
    let lines = format!(
        "upstream.check = \"http://{}/\"\ndependencies.cache.check = {{ url = \"{url}\", {pacing} }}",
        health.address
    );
    let mut gate = Process::start(echo.address, &lines, &[]).await;
    let failures = "readygate_check_failures_total{check=\"cache\",class=\"auth\"}";
    let met = async || (metric(gate.admin, failures).await >= ENOUGH).then_some(());
    eventually(failures, met).await;
    gate.signal("TERM").await;
    let log = gate.everything().await;
    let errors: Vec<_> = log.lines().filter(|line| line.contains("\"severity\":\"ERROR\"")).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    for part in ["WRONGPASS", "check user and password in the URL", "\"check\":\"cache\""] {
        assert!(errors[0].contains(part), "{part}: {}", errors[0]);
    }
}

/// Another check has run so often meanwhile.
async fn others_run(gate: &Running) {
    let runs = "readygate_check_duration_seconds_count{check=\"upstream\"}";
    let before = gate.metric(runs).await;
    at_least(gate, runs, before + RUNS).await;
}

async fn at_least(gate: &Running, name: &str, wanted: f64) {
    eventually(name, async || (gate.metric(name).await >= wanted).then_some(())).await;
}
