//! A real Prometheus scrapes a real readygate (R20), its alerts (R21) and the dashboard (R22) are held to what it sees, and
//! the README to what there is to see.

mod alerts;
mod dashboard;
mod server;
mod table;

use server::{Prometheus, promtool};

use crate::harness::{
    eventually,
    frame::Frame,
    gate::{admin, metric_is},
    process::Process,
    raw::Raw,
    upstream::{Echo, Health, nowhere},
};

/// Clients that wait until the backend is ready.
const HELD: usize = 3;

/// Trials often enough that the failures go on.
const BREAKER: &str = "{ cooldown = \"50ms\" }";

/// Nobody waits in vain, no drain ends and no check fails because the machine is busy.
const PATIENT: &str = "gate.hold_timeout = \"10m\"\ndrain.timeout = \"60s\"\nfeatures.adaptive_timing = false";

/// A readygate that has seen something of everything.
struct Busy {
    process: Process,
    health: Health,
    /// Open, or held.
    clients: Vec<Raw>,
    _echo: Echo,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_sees_sessions_held_released_and_refused_and_a_dependency_that_fails() {
    let mut busy = Busy::start().await;
    let prometheus = Prometheus::start(busy.process.admin);
    busy.hold(&prometheus).await;
    prometheus.shows("readygate_gate_verdict{route=\"*\",verdict=\"shut\"}", is(1.0)).await;
    prometheus.shows("readygate_gate_blocker{route=\"*\",check=\"upstream\"}", is(1.0)).await;
    prometheus.shows("readygate_hold_frames", is(HELD as f64 - 1.0)).await;
    prometheus.shows("readygate_hold_budget_taken_sessions", is(HELD as f64)).await;
    busy.release().await;
    prometheus.shows("readygate_gate_missing{route=\"*\",check=\"llm\"}", is(1.0)).await;
    prometheus.shows("readygate_check_up{check=\"llm\",kind=\"http\"}", is(0.0)).await;
    prometheus.shows("readygate_check_up{check=\"upstream\",kind=\"http\"}", is(1.0)).await;
    prometheus.shows("readygate_sessions{state=\"open\"}", is(HELD as f64 - 1.0)).await;
    prometheus.shows("readygate_sessions_total{outcome=\"hold_timeout\"}", is(1.0)).await;
    prometheus.shows("readygate_sessions_total{outcome=\"completed\"}", is(1.0)).await;
    prometheus.shows("readygate_closes_total{side=\"client\",code=\"1013\"}", is(1.0)).await;
    prometheus.shows("readygate_connect_added_seconds_count", is(HELD as f64)).await;
    prometheus.shows("readygate_connect_added_seconds_sum", |waited| waited > 0.0).await;
    prometheus.shows("readygate_hold_oldest_seconds", is(0.0)).await;
    prometheus.shows("readygate_frames_total{fate=\"delivered\"}", is(1.0)).await;
    prometheus.shows("process_max_fds", |limit| limit > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_shows_as_draining_while_it_lasts() {
    let mut busy = Busy::start().await;
    let prometheus = Prometheus::start(busy.process.admin);
    prometheus.shows("readygate_drains_total", is(0.0)).await;
    busy.release().await;
    let mut open = busy.process.client().await;
    open.upgrade("/ws", &[]).await;
    busy.process.signal("TERM").await;
    prometheus.shows("readygate_drains_total", is(1.0)).await;
    prometheus.shows("readygate_gate_verdict{route=\"*\",verdict=\"draining\"}", is(1.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_no_complaint_about_the_metrics() {
    let busy = Busy::scraped().await;
    let text = admin(busy.process.admin, "/metrics").await.text().to_owned();
    let (clean, said) = promtool(&["check", "metrics"], &text);
    assert!(clean && said.is_empty(), "{said}");
    let (clean, said) = promtool(&["check", "metrics"], "# TYPE wrong_name counter\nwrong_name 1\n");
    assert!(!clean && said.contains("wrong_name"), "promtool finds nothing at all: {said}");
}

impl Busy {
    /// Nobody is there yet, the backend is not ready, and an optional dependency is away for good.
    async fn start() -> Self {
        let (echo, health, away) = (Echo::start().await, Health::start(false).await, nowhere().await);
        let lines = format!(
            "upstream.check = \"http://{}/\"\n\
             dependencies.llm = {{ check = {{ url = \"http://{away}/\", breaker = {BREAKER} }}, required = false }}\n\
             {PATIENT}\n\
             http.when_shut = \"refuse\"\n\
             routes = [ {{ path = \"/brief\", hold_timeout = \"1ms\" }}, {{ path = \"/patient\", accept = \"deferred\" }} ]",
            health.address
        );
        let process = Process::start(echo.address, &lines, &[]).await;
        Self { process, health, clients: Vec::new(), _echo: echo }
    }

    /// The same after everything, without a Prometheus to see it.
    async fn scraped() -> Self {
        let mut busy = Self::start().await;
        busy.arrive().await;
        busy.release().await;
        busy
    }

    /// Clients arrive, and `prometheus`, which knew the series before, sees them held.
    async fn hold(&mut self, prometheus: &Prometheus) {
        prometheus.shows("readygate_sessions_total{outcome=\"hold_timeout\"}", is(0.0)).await;
        prometheus.shows("readygate_connect_added_seconds_count", is(0.0)).await;
        self.arrive().await;
        prometheus.shows("readygate_sessions{state=\"held\"}", is(HELD as f64)).await;
        prometheus.shows("readygate_hold_oldest_seconds", |age| age > 0.0).await;
    }

    /// One is told that it waited too long, one plain request is refused, and the others wait.
    async fn arrive(&mut self) {
        let mut brief = self.process.client().await;
        brief.upgrade("/brief", &[]).await;
        assert_eq!(brief.closed().await, (1013, "not ready in time".into()));
        let mut plain = self.process.client().await;
        plain.send("GET /page HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(plain.response().await.status(), 503);
        for number in 1..HELD {
            let mut client = self.process.client().await;
            client.upgrade("/ws", &[]).await;
            client.send_frame(&Frame::text(&format!("of client {number}"))).await;
            self.clients.push(client);
        }
        let mut patient = self.process.client().await;
        patient.ask("/patient", &[]).await;
        self.clients.push(patient);
        metric_is(self.process.admin, "readygate_sessions{state=\"held\"}", HELD as f64).await;
        metric_is(self.process.admin, "readygate_hold_frames", (HELD - 1) as f64).await;
    }

    /// The backend is ready: all go on, the first says goodbye.
    async fn release(&mut self) {
        self.health.set(true);
        eventually("the gate's opening", async || {
            (admin(self.process.admin, "/gate").await.status() == 200).then_some(())
        })
        .await;
        let Some(mut patient) = self.clients.pop() else { return };
        patient.upgraded().await;
        for (number, client) in (1..).zip(&mut self.clients) {
            assert_eq!(client.frame().await, Frame::text(&format!("of client {number}")));
        }
        self.clients.push(patient);
        let mut first = self.clients.remove(0);
        first.send_frame(&Frame::close(1000, "")).await;
        assert_eq!(first.closed().await.0, 1000);
        drop(first);
        metric_is(self.process.admin, "readygate_sessions_total{outcome=\"completed\"}", 1.0).await;
    }
}

fn is(wanted: f64) -> impl Fn(f64) -> bool {
    move |value| value == wanted
}
