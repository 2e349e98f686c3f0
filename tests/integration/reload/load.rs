//! Every switch flipped and flipped back under load: no connection is lost, no frame is lost, doubled or reordered.

use std::fs;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::{OPEN, put};
use crate::harness::{
    frame::Frame,
    gate::{admin, metric, metric_is, post},
    process::{FILE, Process, text},
    raw::Raw,
    upstream::{Echo, Health},
};

/// Clients that were joined before the first reload.
const OPENED: usize = 250;
/// Clients that wait over all reloads.
const HELD: usize = 250;

/// Each is set by one reload, and taken back by the next.
const SWITCHES: [&str; 15] = [
    "features.early_accept = false",
    "features.degraded_mode = false",
    "features.client_notices = true",
    "gate.mode = \"observe\"",
    "gate.rollout_percent = 0",
    "features.dependency_checks = false",
    "features.adaptive_timing = false",
    "gate.accept = \"deferred\"",
    "gate.on_timeout = \"pass\"",
    "gate.release.concurrency = 7",
    "hold.when_full = \"close\"",
    "http.when_shut = \"refuse\"",
    "http.wait_for = \"all\"",
    "dependencies.cache.required = false",
    "log.level = \"debug\"",
];

/// Nobody's time is over before the machine is done, however slow it is.
const PATIENT: &str = "gate.hold_timeout = \"300s\"\nhold.ping_interval = \"300s\"";

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sessions_do_not_notice_that_every_switch_is_flipped() {
    let (health, cache, echo) = (Health::start(true).await, Health::start(true).await, Echo::start().await);
    let process = start(&health, &cache, &echo).await;
    let mut open = Crowd::arrive(&process, OPENED).await;
    open.talk().await;
    health.set(false);
    metric_is(process.admin, OPEN, 0.0).await;
    let mut held = Crowd::arrive(&process, HELD).await;
    held.send().await;
    metric_is(process.admin, r#"readygate_sessions{state="held"}"#, HELD as f64).await;
    for switch in SWITCHES {
        for lines in [switch, ""] {
            let hash = put(&process, &whole(&health, &cache, &echo, lines));
            let (answer, (), ()) = tokio::join!(post(process.admin, "/reload"), open.talk(), held.send());
            assert_eq!(answer.status(), 200, "{switch}: {}", answer.text());
            assert_eq!(admin(process.admin, "/status").await.json()["config"]["hash"], hash, "{switch}");
        }
    }
    for (state, sessions) in [("open", OPENED), ("held", HELD)] {
        metric_is(process.admin, &format!("readygate_sessions{{state=\"{state}\"}}"), sessions as f64).await;
    }
    health.set(true);
    tokio::join!(open.talk(), held.receive());
    held.talk().await;
    open.leave().await;
    held.leave().await;
    let frames = async |fate: &str| metric(process.admin, &format!("readygate_frames_total{{fate=\"{fate}\"}}")).await;
    let sent = (HELD * (1 + 2 * SWITCHES.len())) as f64;
    // A session is in the books when it has ended.
    metric_is(process.admin, r#"readygate_frames_total{fate="received"}"#, sent).await;
    assert_eq!((frames("received").await, frames("delivered").await, frames("refused").await), (sent, sent, 0.0));
    assert_eq!(metric(process.admin, "readygate_ledger_imbalance_total").await, 0.0);
}

/// Clients and how many frames of each are under way and were answered.
struct Crowd {
    clients: Vec<Raw>,
    sent: usize,
    received: usize,
}

impl Crowd {
    async fn arrive(process: &Process, clients: usize) -> Self {
        let arrive = async || {
            let mut client = process.client().await;
            client.upgrade("/ws", &[]).await;
            client
        };
        Self { clients: join_all((0..clients).map(|_| arrive())).await, sent: 0, received: 0 }
    }

    async fn talk(&mut self) {
        self.send().await;
        self.receive().await;
    }

    async fn send(&mut self) {
        let seq = self.sent;
        let clients = self.clients.iter_mut().enumerate();
        join_all(clients.map(async |(number, client)| client.send_frame(&message(number, seq)).await)).await;
        self.sent += 1;
    }

    /// Whatever is under way, once and in order.
    async fn receive(&mut self) {
        let expected = self.received..self.sent;
        join_all(self.clients.iter_mut().enumerate().map(async |(number, client)| {
            for seq in expected.clone() {
                assert_eq!(client.frame().await, message(number, seq));
            }
        }))
        .await;
        self.received = self.sent;
    }

    async fn leave(mut self) {
        join_all(self.clients.iter_mut().map(async |client| {
            client.send_frame(&Frame::close(1000, "")).await;
            assert_eq!(client.closed().await.0, 1000);
        }))
        .await;
    }
}

fn message(number: usize, seq: usize) -> Frame {
    Frame::text(&format!("{number} {seq}"))
}

async fn start(health: &Health, cache: &Health, echo: &Echo) -> Process {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(FILE), whole(health, cache, echo, "")).unwrap();
    let process = Process::start_in(directory, &[]).await;
    metric_is(process.admin, OPEN, 1.0).await;
    process
}

fn whole(health: &Health, cache: &Health, echo: &Echo, lines: &str) -> String {
    let checks = format!(
        "upstream.check = \"http://{}/\"\ndependencies.cache.check = \"http://{}/\"",
        health.address, cache.address
    );
    text(echo.address, &format!("{checks}\n{PATIENT}\n{lines}"))
}
