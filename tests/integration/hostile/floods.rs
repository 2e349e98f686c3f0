//! Floods against a readygate of its own process: its memory stays below what was configured and a stated rest, and a
//! client beside the flood does not notice.

use futures_util::{
    future::{Future, join_all},
    pin_mut,
};

use crate::harness::{
    frame::Frame,
    gate::{metric, metric_is},
    head::head,
    process::Process,
    raw::{Raw, handshake},
    upstream::{Echo, Health, Upstream},
};

/// A route that no gate shuts, for the client beside the flood, a hold that outlasts the test, and as many workers on any
/// machine, for each has buffers of its own.
const BESIDE: &str = r#"
routes = [{ path = "/beside", mode = "off" }]
gate.hold_timeout = "2m"
server.workers = 2
"#;

const HALF_OPEN: usize = 1000;
const CROWD: usize = 500;
const SLOW: usize = 100;
const LONG_HEADS: usize = 300;

/// What a connection costs beside the bytes that were configured for it: tasks, sockets, timers, and the allocator's own
/// rounding.
const PER_CONNECTION: usize = 24 << 10;

/// What the process may grow by beside its connections: the workers' buffers, and the admin port's answers.
const REST: usize = 16 << 20;

#[tokio::test]
async fn a_thousand_clients_with_half_a_head_are_told_408_and_nobody_else_notices() {
    const HEAD: usize = 16 << 10;
    let (gate, _health, _echo) = start("server.header_timeout = \"2s\"\nserver.header_bytes = \"32KiB\"").await;
    let before = memory(&gate);
    let unfinished = format!("GET / HTTP/1.1\r\nHost: example.org\r\nX-Long: {}", "x".repeat(HEAD));
    let flood = async {
        join_all((0..HALF_OPEN).map(async |_| {
            let mut client = gate.client().await;
            // Whoever is too slow to send it has been told by then.
            let _ = client.try_send(&unfinished).await;
            assert_eq!(client.response().await.status(), 408);
            client.ended().await;
        }))
        .await;
    };
    nobody_notices(&gate, flood).await;
    stays_below(&gate, before, HALF_OPEN * (2 * HEAD + PER_CONNECTION));
}

#[tokio::test]
async fn one_greedy_client_and_a_crowd_stay_within_the_budget_and_lose_nothing() {
    const BUDGET: usize = 16 << 20;
    const FRAMES: usize = 40;
    let (gate, health, _echo) = start("hold = { total_bytes = \"16MiB\", connection_bytes = \"1MiB\" }").await;
    let before = memory(&gate);
    let mut greedy = held(&gate).await;
    let message = Frame::binary(&[7; 1016]).masked();
    let mut sent = greedy.send_until_full(&message.repeat(4 << 10));
    let mut crowd = join_all((0..CROWD).map(|_| held(&gate))).await;
    let flood = async {
        join_all(crowd.iter_mut().map(|client| client.send(message.repeat(FRAMES)))).await;
        metric_at_least(&gate, "readygate_hold_bytes", BUDGET - (1 << 10)).await;
    };
    nobody_notices(&gate, flood).await;
    assert!(metric(gate.admin, "readygate_hold_bytes").await as usize <= BUDGET);
    stays_below(&gate, before, BUDGET + (CROWD + 1) * PER_CONNECTION);

    health.set(true);
    let rest = sent.next_multiple_of(message.len()) - sent;
    greedy.send(&message[message.len() - rest..]).await;
    sent += rest;
    comes_back(&mut greedy, &message, sent / message.len()).await;
    join_all(crowd.iter_mut().map(|client| comes_back(client, &message, FRAMES))).await;
    assert_eq!(metric(gate.admin, "readygate_ledger_imbalance_total").await, 0.0);
}

#[tokio::test]
async fn slow_readers_are_waited_for_and_cost_no_more_than_a_buffer_each() {
    const BUFFER: usize = 64 << 10;
    const MOST: usize = 64 << 20;
    let (mut upstream, health) = (Upstream::start().await, Health::start(true).await);
    let gate = Process::start(upstream.address, &lines(&health, ""), &[]).await;
    metric_is(gate.admin, "readygate_gate_verdict{route=\"*\",verdict=\"open\"}", 1.0).await;
    let (mut clients, mut backends) = (Vec::new(), Vec::new());
    for _ in 0..SLOW {
        let mut client = gate.client().await;
        client.ask("/ws", &[]).await;
        let mut backend = upstream.dialed().await;
        backend.accept(&[]).await;
        client.upgraded().await;
        clients.push(client);
        backends.push(backend);
    }
    let before = memory(&gate);
    let flood = Frame::binary(&vec![1; 1 << 20]).plain();
    for (client, backend) in clients.iter_mut().zip(&mut backends) {
        let mut sent = 0;
        let mut still = 0;
        // The kernel's buffers fill up, and nothing else may.
        while still < 3 {
            let taken = backend.send_until_full(&flood[sent % flood.len()..]);
            (sent, still) = (sent + taken, if taken == 0 { still + 1 } else { 0 });
            assert!(sent < MOST, "{sent} bytes are on their way to a client that does not read");
            metric(gate.admin, "readygate_sessions_total").await;
        }
        // A little is read, and the rest stays where it is.
        let read = sent.min(1 << 10);
        assert_eq!(client.exactly(read).await, flood[..read]);
    }
    stays_below(&gate, before, SLOW * (BUFFER + PER_CONNECTION));
}

#[tokio::test]
async fn long_heads_of_waiting_handshakes_are_bounded_by_their_number() {
    const HEAD: usize = 30 << 10;
    let (gate, _health, _echo) = start("gate.accept = \"deferred\"\nserver.header_bytes = \"32KiB\"").await;
    let before = memory(&gate);
    let long = "x".repeat(HEAD);
    let request = handshake("/ws", &[("X-Long", &long)]);
    let clients = join_all((0..LONG_HEADS).map(async |_| {
        let mut client = gate.client().await;
        client.send(&request).await;
        client
    }));
    let mut kept = Vec::new();
    nobody_notices(&gate, async {
        kept = clients.await;
        metric_is(gate.admin, r#"readygate_sessions{state="held"}"#, LONG_HEADS as f64).await;
    })
    .await;
    stays_below(&gate, before, LONG_HEADS * (2 * HEAD + PER_CONNECTION));
}

/// A readygate whose gate is shut, before a backend that echoes.
async fn start(more: &str) -> (Process, Health, Echo) {
    let (echo, health) = (Echo::start().await, Health::start(false).await);
    let gate = Process::start(echo.address, &lines(&health, more), &[]).await;
    metric_is(gate.admin, "readygate_gate_verdict{route=\"*\",verdict=\"shut\"}", 1.0).await;
    (gate, health, echo)
}

fn lines(health: &Health, more: &str) -> String {
    format!("upstream.check = \"http://{}/\"\n{BESIDE}{more}", health.address)
}

async fn held(gate: &Process) -> Raw {
    let mut client = gate.client().await;
    client.upgrade("/ws", &[]).await;
    client
}

/// Until the flood is over, a session goes on, new ones begin, and requests are answered.
async fn nobody_notices(gate: &Process, flood: impl Future<Output = ()>) {
    let mut session = beside(gate).await;
    pin_mut!(flood);
    let mut rounds = 0;
    loop {
        echoes(&mut session).await;
        echoes(&mut beside(gate).await).await;
        let mut client = gate.client().await;
        client.send(head("GET /beside HTTP/1.1", &[("Host", "example.org"), ("Connection", "close")])).await;
        // The echo server speaks nothing but WebSocket; that this is its own refusal is enough.
        client.head().await;
        rounds += 1;
        if futures_util::poll!(flood.as_mut()).is_ready() {
            break;
        }
    }
    println!("{rounds} rounds beside the flood");
}

async fn beside(gate: &Process) -> Raw {
    let mut client = gate.client().await;
    client.upgrade("/beside", &[]).await;
    client
}

async fn echoes(client: &mut Raw) {
    client.send_frame(&Frame::text("beside")).await;
    assert_eq!(client.frame().await, Frame::text("beside"));
}

/// The same message so often.
async fn comes_back(client: &mut Raw, message: &[u8], times: usize) {
    let (expected, _, _) = Frame::parse(message).unwrap();
    for _ in 0..times {
        assert!(client.frame().await == expected, "a message was changed");
    }
}

async fn metric_at_least(gate: &Process, name: &str, least: usize) {
    crate::harness::eventually(name, async || (metric(gate.admin, name).await as usize >= least).then_some(())).await;
}

fn stays_below(gate: &Process, before: usize, configured: usize) {
    let (peak, most) = (gate.memory("VmHWM"), before + configured + REST);
    println!("{} KiB before, {} KiB at most, {} KiB allowed", before >> 10, peak >> 10, most >> 10);
    assert!(peak <= most, "{peak} bytes of memory at most, {most} allowed, {before} before");
}

fn memory(gate: &Process) -> usize {
    gate.memory("VmRSS")
}
