//! readygate with few file descriptors, and without one: its own trouble, not the backend's.

use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::{
    eventually,
    frame::Frame,
    gate::{admin, metric, metric_is, post},
    process::{FILE, Process, text},
    raw::Raw,
    upstream::{Echo, Health, Upstream},
};

/// Silent connections stay, and open sessions are not waited for at the end.
const PATIENT: &str = "server.header_timeout = \"60s\"\ndrain.timeout = \"300ms\"";

/// One line of each dialer.
const TOLD: &str = "out of file descriptors: raise the limit or lower hold.sessions";

/// Of a start that can hold fewer than it was told to.
const CUT: &str = "hold.sessions is more than the limit of open files carries: \
                   raise the limit (ulimit -n, LimitNOFILE) or lower hold.sessions";

/// Of one that was told nothing.
const FOLLOWED: &str = "as many sessions are held as the limit of open files carries";

#[tokio::test]
async fn a_shortage_of_descriptors_shuts_no_gate_and_the_dial_is_tried_again_until_there_are_some() {
    let (mut upstream, health) = (Upstream::start().await, Health::start(true).await);
    let mut gate = Process::start(upstream.address, &lines(&health), &[]).await;
    gate.logged("gate open").await;
    let mut client = gate.client().await;
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut first = upstream.dialed().await;
    first.head().await;
    first.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 204);

    gate.limit_files(Some(0));
    gate.logged(TOLD).await;
    client.ask("/ws", &[]).await;
    gate.logged(TOLD).await;
    gate.limit_files(None);
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.upgraded().await;

    assert_eq!(admin(gate.admin, "/gate").await.json()["verdict"], "open");
    assert!(metric(gate.admin, "readygate_check_void_total{check=\"upstream\"}").await > 0.0);
    assert_eq!(metric(gate.admin, "readygate_check_failures_total{check=\"upstream\",class=\"refused\"}").await, 0.0);
    gate.signal("TERM").await;
    let log = gate.everything().await;
    assert!(!log.contains("gate shut"), "{log}");
}

#[tokio::test]
async fn as_many_are_held_as_can_be_released_and_all_others_are_told_to_come_back() {
    let (echo, health) = (Echo::start().await, Health::start(false).await);
    let mut gate = Process::start_with_files(echo.address, &lines(&health), 64).await;
    let mut held = crowd(&gate, 100).await;
    assert_eq!(held.len(), 16);
    metric_is(gate.admin, "readygate_sessions{state=\"held\"}", 16.0).await;
    metric_is(gate.admin, "readygate_sessions_total{outcome=\"too_many\"}", 84.0).await;
    assert_eq!(metric(gate.admin, "readygate_hold_budget_limit_sessions").await, 16.0);
    assert_eq!(statuses(gate.admin, &["/livez", "/readyz", "/gate"]).await, [200, 503, 503]);
    for client in &mut held {
        client.send_frame(&Frame::text("early")).await;
    }

    health.set(true);
    for client in &mut held {
        assert_eq!(client.frame().await, Frame::text("early"));
    }
    gate.signal("TERM").await;
    let log = gate.everything().await;
    let told =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| line["message"] == FOLLOWED);
    let told = told.expect("a line at the start");
    assert_eq!((&told["severity"], &told["limit"], &told["in_force"]), (&"INFO".into(), &64.into(), &16.into()));
    assert!(!log.contains(CUT) && !log.contains(TOLD), "{log}");
}

#[tokio::test]
async fn a_number_that_was_asked_for_and_is_not_carried_is_a_warning() {
    let (upstream, health) = (Upstream::start().await, Health::start(false).await);
    let lines = format!("{}\nhold.sessions = 9999", lines(&health));
    let mut gate = Process::start_with_files(upstream.address, &lines, 64).await;
    gate.signal("TERM").await;
    let log = gate.everything().await;
    let told = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| line["message"] == CUT);
    let told = told.expect("a warning at the start");
    assert_eq!((&told["severity"], &told["limit"]), (&"WARNING".into(), &64.into()));
    assert_eq!((&told["configured"], &told["in_force"]), (&9999.into(), &16.into()));
    assert!(!log.contains(FOLLOWED), "{log}");
}

#[tokio::test]
async fn a_number_that_a_reload_asks_for_and_is_not_carried_is_a_warning_too() {
    let (upstream, health) = (Upstream::start().await, Health::start(false).await);
    let mut gate = Process::start_with_files(upstream.address, &lines(&health), 64).await;
    let asking = text(upstream.address, &format!("{}\nhold.sessions = 9999", lines(&health)));
    std::fs::write(gate.directory().join(FILE), asking).unwrap();
    assert_eq!(post(gate.admin, "/reload").await.status(), 200);
    assert_eq!(gate.logged(CUT).await["configured"], 9999);
}

#[tokio::test]
async fn open_sessions_leave_descriptors_for_checks_and_for_the_admin_port() {
    let (echo, health) = (Echo::start().await, Health::start(true).await);
    let mut gate = Process::start_with_files(echo.address, &lines(&health), 96).await;
    gate.logged("gate open").await;
    let mut open = crowd(&gate, 40).await;
    assert_eq!(open.len(), 24);
    for (ready, told) in [(false, "gate shut"), (true, "gate open")] {
        health.set(ready);
        gate.logged(told).await;
    }
    assert_eq!(statuses(gate.admin, &["/livez", "/gate", "/readyz"]).await, [200, 200, 503]);
    let unready = admin(gate.admin, "/readyz").await.json()["reason"].clone();
    assert_eq!(unready, "no file descriptors are left for one more client");
    let mut plain = gate.client().await;
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = plain.response().await;
    assert_eq!((answer.status(), answer.head.get("retry-after")), (503, Some("5")));
    assert_eq!((answer.head.get("connection"), &answer.json()["error"]), (Some("close"), &"too many waiting".into()));

    drop(open.pop());
    let mut next = eventually("a seat", async || seated(&gate).await).await;
    next.send_frame(&Frame::text("seated")).await;
    assert_eq!(next.frame().await, Frame::text("seated"));
    drop(next);
    eventually("a seat again", async || (statuses(gate.admin, &["/readyz"]).await == [200]).then_some(())).await;
    gate.signal("TERM").await;
    let log = gate.everything().await;
    assert!(!log.contains(TOLD), "{log}");
}

#[tokio::test]
async fn clients_that_say_nothing_keep_no_check_out() {
    let (upstream, health) = (Upstream::start().await, Health::start(true).await);
    let mut gate = Process::start_with_files(upstream.address, &lines(&health), 64).await;
    gate.logged("gate open").await;
    let silent = join_all((0..200).map(|_| gate.client())).await;
    for (ready, told) in [(false, "gate shut"), (true, "gate open"), (false, "gate shut")] {
        health.set(ready);
        gate.logged(told).await;
        assert_eq!(statuses(gate.admin, &["/livez"]).await, [200]);
    }
    drop(silent);
    eventually("a seat", async || seated(&gate).await).await;
}

fn lines(health: &Health) -> String {
    format!("upstream.check = \"http://{}/\"\n{PATIENT}", health.address)
}

/// So many clients at once; those that are upgraded. All others must be told to come back.
async fn crowd(gate: &Process, count: usize) -> Vec<Raw> {
    let clients = join_all((0..count).map(|_| async {
        let mut client = gate.client().await;
        client.ask("/ws", &[]).await;
        let head = client.head().await;
        if head.status() != 101 {
            assert_eq!((head.status(), head.get("retry-after")), (503, Some("5")), "{head:?}");
            return None;
        }
        Some(client)
    }));
    clients.await.into_iter().flatten().collect()
}

/// One more client, if there is room for it.
async fn seated(gate: &Process) -> Option<Raw> {
    crowd(gate, 1).await.pop()
}

async fn statuses(address: SocketAddr, paths: &[&str]) -> Vec<u16> {
    join_all(paths.iter().map(|path| admin(address, path))).await.iter().map(|answer| answer.status()).collect()
}
