//! What a route's verdict counts: required and optional dependencies, its own and no others, or the upstream alone.

use serde_json::json;

use super::{check, echoed, names, route};
use crate::{
    dependencies::grpc::Health as GrpcHealth,
    harness::{
        gate::{Running, Setup},
        head::head,
        raw::Raw,
        upstream::{Echo, Health, Upstream},
    },
};

/// Runs of another check, after which whatever a request sets off has been set off.
const RUNS: f64 = 10.0;

#[tokio::test(flavor = "multi_thread")]
async fn without_an_optional_dependency_the_gate_is_degraded_and_sessions_pass() {
    let mut llm = GrpcHealth::start(&[]);
    llm.set(".", "NOT_SERVING");
    let echo = Echo::start().await;
    let dependency = format!("dependencies.llm = {{ check = \"grpc://127.0.0.1:{}\", required = false }}", llm.port);
    let gate = Setup::open(echo.address).with(&dependency).start().await;
    assert_degraded(&gate, "not-ready").await;
    llm.set(".", "SERVING");
    assert_eq!(route(gate.admin, "*", "open").await["missing"], json!([]));
    llm.kill();
    assert_degraded(&gate, "refused").await;
}

/// `/gate` says so with 200, and a client passes.
async fn assert_degraded(gate: &Running, class: &str) {
    check(gate.admin, "llm", |llm| llm["state"] == "failing" && llm["class"] == class).await;
    let told = route(gate.admin, "*", "degraded").await;
    assert_eq!((names(&told["missing"]), &told["blockers"]), (vec!["llm"], &json!([])), "{told}");
    assert_eq!(told["missing"][0]["class"], class);
    let answer = gate.admin("/gate").await;
    assert_eq!((answer.status(), &answer.json()["verdict"]), (200, &json!("degraded")));
    echoed(&mut gate.held_client().await, "degraded").await;
}

#[tokio::test]
async fn an_optional_dependency_does_not_make_up_for_a_required_one() {
    let (cache, llm) = (Health::start(false).await, Health::start(false).await);
    let optional = "dependencies.llm.required = false".to_owned();
    let lines = [required("cache", &cache), required("llm", &llm), optional].join("\n");
    let upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(&lines).start().await;
    gate.health.set(true);
    check(gate.admin, "llm", |llm| llm["state"] == "failing").await;
    let told = route(gate.admin, "*", "shut").await;
    assert_eq!(told["missing"], json!([]), "what is missing is told of a gate that is open: {told}");
    check(gate.admin, "upstream", |upstream| upstream["state"] == "passing").await;
    assert_eq!(names(&route(gate.admin, "*", "shut").await["blockers"]), ["cache"]);
    cache.set(true);
    assert_eq!(names(&route(gate.admin, "*", "degraded").await["missing"]), ["llm"]);
}

#[tokio::test]
async fn without_dependency_checks_the_upstream_is_alone_in_charge() {
    let mut cache = Upstream::start().await;
    let echo = Echo::start().await;
    let lines = format!("dependencies.cache.check = \"tcp://{}\"\nfeatures.dependency_checks = false", cache.address);
    let gate = Setup::open(echo.address).with(&lines).start().await;
    echoed(&mut gate.held_client().await, "open").await;
    let told = gate.admin("/gate").await.json();
    assert_eq!(told["checks"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["checks"][0]["name"], "upstream");
    gate.shut().await;
    assert_eq!(names(&route(gate.admin, "*", "shut").await["blockers"]), ["upstream"]);
    gate.open().await;
    assert!(cache.is_left_alone().await);
}

#[tokio::test]
async fn a_route_waits_for_what_it_depends_on_and_for_nothing_else() {
    let (cache, database) = (Health::start(true).await, Health::start(true).await);
    let routes = r#"routes = [
        { path = "/cached/*", depends_on = ["cache"] },
        { path = "/stored/*", depends_on = ["database"] },
        { path = "/plain/*", depends_on = [] },
    ]"#;
    let lines = [required("cache", &cache), required("database", &database), routes.to_owned()];
    let echo = Echo::start().await;
    let gate = Setup::shut(echo.address).with(&lines.join("\n")).start().await;
    gate.health.set(true);
    verdicts(&gate, ["open", "open", "open", "open"]).await;
    cache.set(false);
    verdicts(&gate, ["shut", "open", "open", "shut"]).await;
    database.set(false);
    verdicts(&gate, ["shut", "shut", "open", "shut"]).await;
    assert_eq!(names(&route(gate.admin, "/stored/*", "shut").await["blockers"]), ["database"]);
    assert_eq!(names(&route(gate.admin, "*", "shut").await["blockers"]), ["cache", "database"]);
    let mut cached = gate.client().await;
    cached.upgrade("/cached/1", &[]).await;
    gate.holds(1).await;
    cache.set(true);
    echoed(&mut cached, "released while the database is still gone").await;
    verdicts(&gate, ["open", "shut", "open", "shut"]).await;
}

/// Of the three routes, and of all the rest.
async fn verdicts(gate: &Running, wanted: [&str; 4]) {
    for (path, verdict) in ["/cached/*", "/stored/*", "/plain/*", "*"].into_iter().zip(wanted) {
        route(gate.admin, path, verdict).await;
    }
}

#[tokio::test]
async fn plain_requests_wait_for_the_upstream_alone_unless_they_are_told_to_wait_for_all() {
    for (wait_for, status) in [("upstream", 200), ("all", 503)] {
        let lines = format!("http.wait_for = \"{wait_for}\"\nhttp.when_shut = \"refuse\"");
        let (gate, mut upstream, _cache) = without_cache(&lines).await;
        let mut client = get(&gate).await;
        if status == 200 {
            serve(&mut upstream).await;
        }
        assert_eq!(client.response().await.status(), status, "{wait_for}");
        assert!(upstream.is_left_alone().await, "{wait_for}");
    }
}

#[tokio::test]
async fn a_plain_request_that_waits_for_all_goes_on_once_the_last_dependency_is_back() {
    let (gate, mut upstream, cache) = without_cache("http.wait_for = \"all\"").await;
    let mut client = get(&gate).await;
    let name = "readygate_check_duration_seconds_count{check=\"upstream\"}";
    let runs = gate.metric(name).await;
    crate::harness::eventually("runs", async || (gate.metric(name).await >= runs + RUNS).then_some(())).await;
    assert!(upstream.is_left_alone().await && client.is_silent().await);
    cache.set(true);
    serve(&mut upstream).await;
    assert_eq!(client.response().await.status(), 200);
}

/// The upstream is ready, its cache is not.
async fn without_cache(lines: &str) -> (Running, Upstream, Health) {
    let (upstream, cache) = (Upstream::start().await, Health::start(false).await);
    let gate = Setup::shut(upstream.address).with(&required("cache", &cache)).with(lines).start().await;
    gate.health.set(true);
    check(gate.admin, "upstream", |upstream| upstream["state"] == "passing").await;
    (gate, upstream, cache)
}

async fn get(gate: &Running) -> Raw {
    let mut client = gate.client().await;
    client.send(head("GET /page HTTP/1.1", &[("Host", "example.org"), ("Connection", "close")])).await;
    client
}

async fn serve(upstream: &mut Upstream) {
    let mut backend = upstream.dialed().await;
    assert_eq!(backend.head().await.first, "GET /page HTTP/1.1");
    backend.send(head("HTTP/1.1 200 OK", &[("Content-Length", "0")])).await;
}

fn required(name: &str, health: &Health) -> String {
    format!("dependencies.{name}.check = \"http://{}/\"", health.address)
}
