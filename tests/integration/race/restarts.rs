//! R19: the backend goes and comes back under five hundred open sessions and five hundred new ones.

use std::collections::HashMap;

use socket2::Socket;

use super::{Backend, Column, Crowd, EVENTS, GATE, Lab, Sidecar, books, client::Trace, reserve};

/// Sessions that are open when the backend goes, and as many that come while it is away.
const OPEN: usize = 500;

/// Of those that come meanwhile, so many do only after a first attempt to start it again has failed.
const LATE: usize = 200;

/// Sessions that arrive in the very moment.
const AMID: usize = 100;

/// Checks at rest for longer than any test: nothing but what sessions meet makes readygate look.
const AT_REST: &str = "[probe]\ninterval = \"1h\"\n";

/// What a client is told by a Close when its backend goes: 1012, or 1014 where the handshake was under way.
const TOLD: [u16; 2] = [1012, 1014];

/// A readygate before a place where backends come and go.
struct Service {
    gate: Sidecar,
    port: u16,
    _place: Socket,
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_a_killed_backend_ends_open_clients_with_1012_and_those_held_meanwhile_are_served_by_the_next() {
    let (service, backend, open) = Service::start().await;
    backend.kill();
    service.ended_with_1012(open).await;
    service.gate.until("the checks have looked", |metrics| metrics[&verdict("shut")] == 1.0).await;
    let metrics = service.gate.metrics().await;
    assert_eq!((ended(&metrics, "upstream_lost"), closes(&metrics)), (OPEN, OPEN));

    let early = crowd(OPEN - LATE).crowd(service.gate.public, "early");
    crowd(OPEN - LATE).held(&service.gate, OPEN - LATE).await;
    Backend::start(&crowd(0), service.port).await.kill();
    service.serve_the_held(early).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_a_backend_that_restarts_in_order_says_its_own_close_and_those_who_come_meanwhile_are_held() {
    let (service, backend, open) = Service::start().await;
    backend.terminate().await;
    service.ended_with_1012(open).await;
    let metrics = service.gate.metrics().await;
    assert_eq!((ended(&metrics, "completed"), closes(&metrics)), (OPEN, 0), "the Closes are not readygate's");

    let early = crowd(OPEN - LATE).crowd(service.gate.public, "early");
    crowd(OPEN - LATE).held(&service.gate, OPEN - LATE).await;
    service.serve_the_held(early).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_whoever_arrives_while_the_backend_is_killed_is_served_by_the_next_or_told() {
    let (service, backend, open) = Service::start().await;
    let amid = crowd(AMID).crowd(service.gate.public, "amid");
    backend.kill();
    service.ended_with_1012(open).await;
    let mut backend = Backend::start(&crowd(0), service.port).await;
    backend.boot();
    let traces = amid.join().await;
    let silent: Vec<_> = traces.iter().filter(|trace| !is_whole(trace) && !is_told(trace)).collect();
    assert!(silent.is_empty(), "{silent:#?}");
    let [received, delivered, refused, imbalances] = books(&service.gate).await;
    assert_eq!((received, imbalances), (delivered + refused, 0));
}

impl Service {
    /// With a backend that serves, and everybody's messages answered.
    async fn start() -> (Self, Backend, Crowd) {
        let (_place, port) = reserve();
        let mut lab = crowd(OPEN);
        lab.expect_descriptors();
        lab.manner.stays = true;
        let mut backend = Backend::start(&lab, port).await;
        let gate = Sidecar::start(backend.address, &[GATE, AT_REST].concat());
        let open = lab.crowd(gate.public, "open");
        backend.boot();
        open.answered().await;
        (Self { gate, port, _place }, backend, open)
    }

    async fn ended_with_1012(&self, open: Crowd) {
        let open = open.join().await;
        assert!(open.iter().all(|trace| trace.ended == Some(1012)), "{open:#?}");
        assert!(open.iter().all(|trace| trace.strange == 0 && trace.events.len() == answers()), "{open:#?}");
        self.gate
            .until("their sessions are over", |metrics| metrics["readygate_sessions{state=\"closing\"}"] == 0.0)
            .await;
    }

    /// The backend is there again while everybody waits, and some come only then.
    async fn serve_the_held(&self, early: Crowd) {
        let mut backend = Backend::start(&crowd(0), self.port).await;
        let late = crowd(LATE).crowd(self.gate.public, "late");
        crowd(OPEN).held(&self.gate, OPEN).await;
        backend.boot();
        let mut traces = early.join().await;
        traces.extend(late.join().await);
        let ready = backend.ready().await;
        let messages = crowd(0).manner.messages;
        let column = Column::new("after the restart", &traces, messages, &backend.ledger().await, ready);
        column.assert_whole(messages);
        println!("{OPEN} sessions: the first answer came {:?} after the next was ready", column.first_answer.unwrap());
        let [received, delivered, refused, imbalances] = books(&self.gate).await;
        assert_eq!((received, refused, imbalances), (delivered, 0, 0));
        assert!(received >= OPEN as u64 * messages, "{received} frames");
    }
}

fn crowd(clients: usize) -> Lab {
    Lab { clients, ..Lab::new("late") }
}

fn answers() -> usize {
    crowd(0).manner.messages as usize * EVENTS.len()
}

fn is_whole(trace: &Trace) -> bool {
    trace.ended.is_none() && trace.events.len() == answers()
}

/// By a Close, or by a status before the 101.
fn is_told(trace: &Trace) -> bool {
    let refused = matches!(&trace.connected, Some(Err(why)) if why.contains("502 Bad Gateway"));
    refused || trace.ended.is_some_and(|code| TOLD.contains(&code))
}

fn verdict(name: &str) -> String {
    format!("readygate_gate_verdict{{route=\"*\",verdict=\"{name}\"}}")
}

fn ended(metrics: &HashMap<String, f64>, outcome: &str) -> usize {
    metrics.get(&format!("readygate_sessions_total{{outcome=\"{outcome}\"}}")).map_or(0, |count| *count as usize)
}

/// Closes 1012 of readygate's own to clients.
fn closes(metrics: &HashMap<String, f64>) -> usize {
    metrics["readygate_closes_total{code=\"1012\",side=\"client\"}"] as usize
}
