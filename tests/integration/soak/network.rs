//! Slow networks on every side: before readygate, behind it, and to what the backend needs.
//!
//! Each leg delays every byte, and some of them for a whole second more. What must come of that: messages later than
//! otherwise, and nothing else.

use std::time::Duration;

use socket2::Socket;

use super::{
    backend::{Backend, CHECK},
    client::Wave,
};
use crate::{
    dependencies::{
        redis::Redis,
        relay::{Relay, Weather},
    },
    harness::eventually,
    race::{books, reserve, sidecar::Sidecar},
};

/// In each direction.
const DELAYS_MS: [u64; 3] = [1, 50, 300];

/// Longer than the working timeout of a near check, and shorter than that of a far one.
const STALL: Duration = Duration::from_secs(1);

/// Of a hundred reads on the way of sessions one is stuck.
const SESSIONS_STALL: usize = 100;

/// More on that of checks, so that some are seen in a short time: an attempt is two reads, and the answer to every fifth
/// is stuck. The gate bears two failures in a row.
const CHECKS_STALL: usize = 10;

/// For as many stalls on each leg the gate must hold.
const STALLS: usize = 2;

/// Of each kind.
const CLIENTS: usize = 20;

/// Each client's, at a time.
const MESSAGES: usize = 5;

/// Of a round trip, which is what a check of Redis takes.
const DIRECTIONS: f64 = 2.0;

/// The defaults of a server, but that checks are asked more often, so that the test is short.
const CONFIG: &str = "[probe]\ninterval = \"20ms\"\nbackoff = { initial = \"5ms\", max = \"20ms\" }\nprofile = \"kubernetes\"\n\
     [gate]\nhold_timeout = \"300s\"\n[hold]\nping_interval = \"300s\"\n";

/// A readygate with a slow network on each of its legs.
struct Far {
    gate: Sidecar,
    redis: Redis,
    _backend: Backend,
    front: Relay,
    back: Relay,
    side: Relay,
    _place: Socket,
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_stalling_networks_on_every_leg_shut_no_gate_and_lose_and_reorder_nothing() {
    let [near, middling, far] = DELAYS_MS.map(|delay| run(Duration::from_millis(delay)));
    let (near, middling, far) = tokio::join!(near, middling, far);
    eventually("working timeouts that follow the network", async || {
        let timeouts = [near.timeout().await, middling.timeout().await, far.timeout().await];
        timeouts.is_sorted_by(|near, far| near < far).then_some(())
    })
    .await;
}

/// With so much delay in each direction of each leg.
async fn run(delay: Duration) -> Far {
    let mut far = Far::start(delay).await;
    let mut open = far.wave("open").await;
    open.talk(1).await;
    far.redis.kill();
    far.verdict("shut").await;
    let mut held = far.wave("held").await;
    held.send(MESSAGES).await;
    far.gate.until("all is held", |metrics| metrics["readygate_hold_frames"] == held.sent() as f64).await;
    open.send(MESSAGES).await;
    far.redis.restart(&[], "eady to accept connections");
    tokio::join!(held.receive(), open.receive());

    let before = far.changes().await;
    let stalls = far.side.stalls();
    eventually("stalls on the way of the checks", async || (far.side.stalls() >= stalls + STALLS).then_some(())).await;
    while far.front.stalls() < STALLS || far.back.stalls() < STALLS {
        tokio::join!(held.talk(1), open.talk(1));
    }
    far.verdict("open").await;
    assert_eq!(far.changes().await, before, "{delay:?}: no check has changed its mind");
    tokio::join!(held.leave(), open.leave());
    let delivered = (CLIENTS * MESSAGES) as u64;
    assert_eq!(books(&far.gate).await, [delivered, delivered, 0, 0], "{delay:?}");
    let timeout = far.timeout().await;
    assert!(timeout >= DIRECTIONS * delay.as_secs_f64(), "{delay:?}: the working timeout is {timeout} s");
    far
}

impl Far {
    async fn start(delay: Duration) -> Self {
        let (place, port) = reserve();
        let (redis, backend) = (Redis::start_on(port), Backend::start());
        let leg = |port, every| Relay::start_in(port, Weather { delay, stall: Some((every, STALL)) });
        let back = leg(backend.address.port(), SESSIONS_STALL).await;
        let side = leg(port, CHECKS_STALL).await;
        let config = format!("{CHECK}[dependencies.cache]\ncheck = \"redis://127.0.0.1:{}\"\n{CONFIG}", side.port);
        let gate = Sidecar::start(([127, 0, 0, 1], back.port).into(), &config);
        let front = leg(gate.public.port(), SESSIONS_STALL).await;
        let far = Self { gate, redis, front, back, side, _backend: backend, _place: place };
        far.verdict("open").await;
        far
    }

    async fn wave(&self, name: &str) -> Wave {
        Wave::arrive(([127, 0, 0, 1], self.front.port).into(), "/ws", name, CLIENTS).await
    }

    async fn verdict(&self, verdict: &str) {
        let name = format!("readygate_gate_verdict{{route=\"*\",verdict=\"{verdict}\"}}");
        self.gate.until(verdict, |metrics| metrics[&name] == 1.0).await;
    }

    /// How often each check has changed its mind.
    async fn changes(&self) -> [f64; 2] {
        let metrics = self.gate.metrics().await;
        ["upstream", "cache"].map(|check| metrics[&format!("readygate_check_changes_total{{check=\"{check}\"}}")])
    }

    /// The working timeout of the dependency's check, in seconds.
    async fn timeout(&self) -> f64 {
        self.gate.metrics().await["readygate_check_timeout_seconds{check=\"cache\"}"]
    }
}
