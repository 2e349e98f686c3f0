//! One configuration after another: what the gate remembers, and what becomes of whoever waits under an earlier one.

use serde_json::{Value, json};

use super::{OPEN, Scene};
use crate::harness::{
    eventually,
    frame::Frame,
    gate::{admin, metric, metric_is, post, sessions},
    upstream::{Health, Upstream},
};

/// So many more answers of a check that goes on, and one that has ended would have been asked too.
const MORE: usize = 5;

const ENDED: &str = "the checks of an earlier configuration ended";

#[tokio::test]
async fn a_gate_stays_open_over_reloads_that_change_how_its_checks_run() {
    let mut scene = Scene::start("").await;
    let health = scene.health.address;
    let with_a_dependency = |lines: &str| format!("dependencies.a.check = \"http://{health}/\"\n{lines}");
    scene.reload_to(&with_a_dependency("")).await;
    scene.process.logged(ENDED).await;
    metric_is(scene.process.admin, OPEN, 1.0).await;
    let before = admin(scene.process.admin, "/gate").await.json();
    for lines in [
        "dependencies.a.required = false",
        "gate.release.concurrency = 3",
        "http.wait_for = \"all\"",
        "[[routes]]\npath = \"/other\"",
        "upstream.backoff.max = \"3s\"",
    ] {
        scene.reload_to(&with_a_dependency(lines)).await;
        let gate = admin(scene.process.admin, "/gate").await.json();
        assert_eq!((&gate["verdict"], since(&gate)), (&json!("open"), since(&before)));
    }
    scene.process.signal("TERM").await;
    let log = scene.process.everything().await;
    let after_the_last_new_check = log.rsplit("gate open").next().unwrap();
    assert!(!after_the_last_new_check.contains("gate shut"), "{log}");
}

/// Since when the route for everything has its verdict.
fn since(gate: &Value) -> &Value {
    &gate["routes"].as_array().unwrap().last().unwrap()["since"]
}

#[tokio::test]
async fn a_held_session_waits_for_what_it_began_with_and_then_its_checks_end() {
    let mut scene = Scene::start("").await;
    let (cache, store) = (Health::start(false).await, Health::start(true).await);
    let needs = |health: &Health| format!("dependencies.a.check = \"http://{}/\"", health.address);
    scene.reload_to(&needs(&cache)).await;
    let mut waiting = scene.process.client().await;
    waiting.upgrade("/ws", &[]).await;
    waiting.send_frame(&Frame::text("held")).await;
    eventually("a held frame", async || {
        let held = sessions(scene.process.admin, "held").await;
        (held.len() == 1 && held[0]["held_frames"] == 1).then_some(())
    })
    .await;

    scene.reload_to(&needs(&store)).await;
    metric_is(scene.process.admin, OPEN, 1.0).await;
    let mut new = scene.process.client().await;
    new.ask("/ws", &[]).await;
    let mut backend = scene.upstream.dialed().await;
    backend.accept(&[]).await;
    new.upgraded().await;
    let asked = cache.asked();
    eventually("more checks for the held session", async || (cache.asked() > asked).then_some(())).await;
    assert_eq!(sessions(scene.process.admin, "held").await.len(), 1);
    assert!(scene.upstream.is_left_alone().await);
    assert_eq!(admin(scene.process.admin, "/gate").await.json()["verdict"], "open");

    cache.set(true);
    let mut released = scene.upstream.dialed().await;
    released.accept(&[]).await;
    assert_eq!(released.frame().await, Frame::text("held"));
    // The first to end are those of the configuration without a dependency, which nobody waited for.
    scene.process.logged(ENDED).await;
    scene.process.logged(ENDED).await;
    let (cache_asked, store_asked) = (cache.asked(), store.asked());
    eventually("the new checks go on", async || (store.asked() >= store_asked + MORE).then_some(())).await;
    assert_eq!(cache.asked(), cache_asked);
    for (mut client, mut backend) in [(new, backend), (waiting, released)] {
        client.send_frame(&Frame::text("still")).await;
        assert_eq!(backend.frame().await, Frame::text("still"));
    }
}

#[tokio::test]
async fn a_new_upstream_is_for_new_sessions_and_open_ones_stay() {
    let mut scene = Scene::start("").await;
    let mut old = scene.process.client().await;
    old.ask("/ws", &[]).await;
    let mut old_backend = scene.upstream.dialed().await;
    old_backend.accept(&[]).await;
    old.upgraded().await;

    let mut former = std::mem::replace(&mut scene.upstream, Upstream::start().await);
    assert_eq!(scene.reload_to("").await["changed"], json!(["upstream.url"]));
    let mut new = scene.process.client().await;
    new.ask("/ws", &[]).await;
    let mut new_backend = scene.upstream.dialed().await;
    new_backend.accept(&[]).await;
    new.upgraded().await;
    let mut plain = scene.process.client().await;
    plain.send("GET /plain HTTP/1.1\r\nHost: example.org\r\n\r\n").await;
    assert_eq!(scene.upstream.dialed().await.head().await.first, "GET /plain HTTP/1.1");
    assert!(former.is_left_alone().await);
    for (client, backend) in [(&mut old, &mut old_backend), (&mut new, &mut new_backend)] {
        client.send_frame(&Frame::text("hi")).await;
        assert_eq!(backend.frame().await, Frame::text("hi"));
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_meets_each_request_with_the_configuration_in_force() {
    let mut scene = Scene::start("").await;
    let request = "GET /plain HTTP/1.1\r\nHost: example.org\r\n\r\n";
    let mut client = scene.process.client().await;
    client.send(request).await;
    let mut backend = scene.upstream.dialed().await;
    backend.head().await;
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 200);
    scene.health.set(false);
    metric_is(scene.process.admin, OPEN, 0.0).await;
    scene.reload_to("http.when_shut = \"refuse\"").await;
    client.send(request).await;
    assert_eq!(client.response().await.status(), 503);
}

#[tokio::test]
async fn the_operators_hand_stays_over_a_reload_and_reaches_who_was_held_before_it() {
    let mut scene = Scene::start("").await;
    assert_eq!(post(scene.process.admin, "/gate/shut?reason=works").await.status(), 200);
    let mut held = scene.process.client().await;
    held.upgrade("/ws", &[]).await;
    let health = scene.health.address;
    scene.reload_to(&format!("dependencies.a.check = \"http://{health}/\"")).await;
    let gate = admin(scene.process.admin, "/gate").await.json();
    assert_eq!((&gate["verdict"], &gate["routes"][0]["blockers"][0]["check"]), (&json!("shut"), &json!("operator")));
    assert!(scene.upstream.is_left_alone().await);
    assert_eq!(post(scene.process.admin, "/gate/auto").await.status(), 200);
    scene.upstream.dialed().await.accept(&[]).await;
    metric_is(scene.process.admin, OPEN, 1.0).await;
}

#[tokio::test]
async fn routes_and_checks_that_are_gone_have_no_series() {
    let scene = Scene::start("").await;
    let health = scene.health.address;
    scene
        .reload_to(&format!("[[routes]]\npath = \"/former\"\n[dependencies.former]\ncheck = \"http://{health}/\""))
        .await;
    metric_is(scene.process.admin, r#"readygate_check_up{check="former",kind="http"}"#, 1.0).await;
    metric_is(scene.process.admin, r#"readygate_gate_verdict{route="/former",verdict="open"}"#, 1.0).await;
    scene.reload_to("").await;
    let metrics = eventually("no series of theirs", async || {
        let metrics = admin(scene.process.admin, "/metrics").await;
        let left: Vec<&str> = metrics.text().lines().filter(|line| line.contains("former")).collect();
        left.is_empty().then_some(metrics)
    })
    .await;
    assert!(metrics.text().contains(r#"readygate_check_up{check="upstream",kind="http"} 1"#), "{}", metrics.text());
    let gate = admin(scene.process.admin, "/gate").await.json();
    assert_eq!((gate["routes"].as_array().unwrap().len(), gate["checks"].as_array().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_drain_tells_those_who_wait_under_an_earlier_configuration() {
    let mut scene = Scene::start("drain.timeout = \"2s\"").await;
    let cache = Health::start(false).await;
    let needy = format!(
        "drain.timeout = \"2s\"\nhttp.wait_for = \"all\"\ndependencies.a.check = \"http://{}/\"",
        cache.address
    );
    scene.reload_to(&needy).await;
    let mut held = scene.process.client().await;
    held.upgrade("/ws", &[]).await;
    let mut plain = scene.process.client().await;
    plain.send("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").await;
    eventually("both wait", async || (scene.all_status().await["hold"]["sessions"] == 2).then_some(())).await;
    scene.reload_to("drain.timeout = \"2s\"").await;
    scene.process.signal("TERM").await;
    assert_eq!(held.closed().await, (1012, "restarting".into()));
    assert_eq!(plain.response().await.status(), 503);
    drop((held, plain));
    assert!(scene.process.ended().await.success());
}

#[tokio::test]
async fn a_breaker_that_is_open_stays_open_over_a_reload_that_changes_nothing_but_the_rhythm() {
    const FAILURES: &str = "readygate_check_failures_total{check=\"a\",class=\"not-ready\"}";
    const OPENED: &str = "readygate_check_breaker_opened_total{check=\"a\"}";
    let cache = Health::start(false).await;
    let needs = |name: &str, cache: &Health, interval: &str| {
        let rhythm = format!("interval = \"{interval}\", backoff = {{ initial = \"1ms\", max = \"5ms\" }}");
        let breaker = "breaker = { attempts = 3, cooldown = \"20ms\" }";
        format!("dependencies.{name}.check = {{ url = \"http://{}/\", {rhythm}, {breaker} }}", cache.address)
    };
    let scene = Scene::start("").await;
    let port = scene.process.admin;
    scene.reload_to(&needs("a", &cache, "5s")).await;
    metric_is(port, OPENED, 1.0).await;
    scene.reload_to(&needs("a", &cache, "7s")).await;
    let before = metric(port, FAILURES).await;
    // More than would open a breaker that begins afresh.
    eventually("more failures", async || (metric(port, FAILURES).await >= before + 5.0).then_some(())).await;
    assert_eq!(metric(port, OPENED).await, 1.0);
    // One that asks somebody else begins afresh, and so does one of another name.
    let other = Health::start(false).await;
    scene.reload_to(&needs("a", &other, "7s")).await;
    metric_is(port, OPENED, 2.0).await;
    scene.reload_to(&needs("b", &other, "7s")).await;
    metric_is(port, "readygate_check_breaker_opened_total{check=\"b\"}", 1.0).await;
}
