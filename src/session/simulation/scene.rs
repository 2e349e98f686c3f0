//! One seed: up to five clients of one world, and a drain.

use std::{
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    backend::{Backend, Dialed, Opened, READY, SESSION, accept_of},
    client::{self, Manner, Plan},
    line::{Ending, Line, Socket, Weather},
    purse,
    world::{Stop, World},
};
use crate::{
    config::{self, Accept, Config, Confirm, Environment, Mode, OnTimeout, WhenFull},
    descriptors::Place,
    gate::Gate,
    session::{Arrival, House, Reply, deferral::Deferral, gating::Gating, outcome::Outcome},
    telemetry::metrics::{Books, Metrics},
    upstream::handshake::Handshake,
};

/// Everything that happened under one seed.
pub(super) struct Scene {
    /// The last one: what it shares, it shares with all before it.
    pub(super) house: Arc<House<Backend>>,
    pub(super) gates: Gates,
    pub(super) sessions: Vec<Session>,
    pub(super) dials: Vec<Dialed>,
    /// When the drain began, if somebody was there to see it.
    pub(super) drained_at: Option<Instant>,
    pub(super) happened: Vec<&'static str>,
    /// When the CPU stood still.
    pub(super) stops: Vec<Stop>,
    /// What the metrics said before it.
    pub(super) before: (Books, u64),
}

/// Everything that happened to one client.
#[derive(Debug)]
pub(super) struct Session {
    /// What it began with.
    pub(super) house: Arc<House<Backend>>,
    pub(super) plan: Plan,
    pub(super) line: Line,
    pub(super) reply: Option<Reply>,
    /// None where its task was killed.
    pub(super) outcome: Option<Outcome>,
    pub(super) ended: Instant,
}

/// Every gate of a scene, and when it was told to open.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates(Arc<Mutex<Vec<(Gate, Opened)>>>);

/// Latest beginning of a drain.
const LATEST_DRAIN: u64 = 90_000;

/// Beyond the drain itself: a stopped CPU, and the largest `drain.timeout` here.
const PATIENCE: Duration = Duration::from_secs(60);

thread_local! {
    /// Parsed once: that costs as much as half a scene.
    static USUAL: Config = usual_configuration();
    /// Made once, for the same reason. Only differences are looked at.
    static METRICS: Arc<Metrics> = Metrics::new();
}

pub(super) fn metrics() -> Arc<Metrics> {
    METRICS.with(Arc::clone)
}

impl Gates {
    /// One more gate, which may be open already.
    pub(super) fn add(&self, gate: &Gate) -> Opened {
        let opened = Opened::default();
        self.0.lock().unwrap().push((gate.clone(), Arc::clone(&opened)));
        self.note();
        opened
    }

    /// Notes which of them are open at this moment.
    pub(super) fn note(&self) {
        for (gate, opened) in &*self.0.lock().unwrap() {
            if gate.verdict().is_open() {
                opened.lock().unwrap().push(Instant::now());
            }
        }
    }

    pub(super) fn turns_taken(&self) -> usize {
        self.0.lock().unwrap().iter().map(|(gate, _)| gate.lane(0).turns_taken()).sum()
    }

    /// Those that were replaced have ended.
    pub(super) fn former_are_over(&self) -> bool {
        let gates = self.0.lock().unwrap();
        gates.iter().all(|(gate, _)| !gate.is_retired() || gate.over().now_or_never().is_some())
    }

    /// Somebody waits at one of them.
    pub(super) fn are_waited_for(&self) -> bool {
        self.0.lock().unwrap().iter().any(|(gate, _)| gate.is_waited_for(0))
    }
}

pub(super) async fn play(seed: u64) -> Scene {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let before = METRICS.with(|metrics| (metrics.books(), metrics.outcomes()));
    let mut world = World::new(&mut rng);
    let start = Instant::now();
    let mut plans: Vec<Plan> = (0..rng.usize(1..=5)).map(|_| Plan::random(&mut rng)).collect();
    plans.sort_by_key(|plan| plan.arrives);
    let lasts = if rng.u8(0..3) == 0 { rng.u64(3_000..20_000) } else { LATEST_DRAIN };
    let drained = tokio::spawn(drain(Arc::clone(&world.house), start + Duration::from_millis(lasts)));
    let watch = tokio::spawn(purse::watch(
        Arc::clone(&world.purse),
        Arc::clone(&world.house.registry),
        world.gates.clone(),
        rng.fork(),
    ));
    let mut tasks = Vec::new();
    for (index, plan) in plans.into_iter().enumerate() {
        world.go_on_until(start + plan.arrives, &mut rng).await;
        tasks.push(world.arrive(index, plan, &mut rng));
    }
    world.go_on_until(start + Duration::from_millis(lasts.min(6_000)), &mut rng).await;
    let deadline = start + Duration::from_millis(lasts) + PATIENCE;
    let mut sessions = Vec::new();
    for task in tasks {
        sessions.push(timeout_at(deadline, task).await.expect("a session outlives the drain").unwrap());
    }
    if watch.is_finished() {
        watch.await.unwrap();
    }
    let drained_at = if drained.is_finished() { Some(drained.await.unwrap()) } else { None };
    world.over(sessions, drained_at, before).await
}

/// Returns when it began.
async fn drain(house: Arc<House<Backend>>, at: Instant) -> Instant {
    sleep_until(at).await;
    let began = Instant::now();
    house.gate.drain();
    house.drain.begin();
    let cut = house.drain.clone();
    tokio::spawn(async move { cut.run_out(pending(), |_| ()).await });
    began
}

/// The client's side of one session: takes the answer, plays its part.
pub(super) async fn lead(
    plan: Plan,
    line: Line,
    house: Arc<House<Backend>>,
    (socket, glued, upgraded): (Socket, Bytes, oneshot::Sender<(Socket, Bytes)>),
    reply: oneshot::Receiver<Reply>,
    session: JoinHandle<Outcome>,
    mut rng: Rng,
) -> Session {
    let is_hasty = plan.manner == Manner::Hasty;
    let patience = if plan.manner == Manner::Hasty { rng.u64(0..4_000) } else { 3_600_000 };
    let reply = timeout_at(Instant::now() + Duration::from_millis(patience), reply).await;
    // A session that ends has answered, unless it was killed.
    let reply = reply.ok().and_then(Result::ok);
    let has_101 = matches!(reply, Some(Reply::Early { .. } | Reply::Switch { .. }));
    if has_101 {
        sleep(Duration::from_millis(if rng.u8(0..10) == 0 { rng.u64(0..1_500) } else { rng.u64(0..30) })).await;
        if rng.u8(0..40) == 0 {
            // It went before its 101 was through.
            line.end(Ending::Reset);
            drop((upgraded, socket));
        } else {
            line.sent_elsewhere(&glued);
            tokio::spawn(client::play(plan.clone(), line.clone(), rng.fork()));
            let _ = upgraded.send((socket, glued));
        }
    } else {
        drop((upgraded, socket));
    }
    let outcome = match session.await {
        Ok(outcome) => Some(outcome),
        Err(error) if error.is_cancelled() => None,
        Err(error) => resume_unwind(error.into_panic()),
    };
    assert!(outcome.is_none() || reply.is_some() || is_hasty, "a session that ends has answered");
    Session { house, plan, line, reply, outcome, ended: Instant::now() }
}

pub(super) fn arrival(index: usize, rng: &mut Rng, policy: &config::Gate) -> Arrival {
    let number = index.to_string();
    let early = match policy.accept {
        Accept::Deferred => Err(Deferral::Policy),
        Accept::Auto if rng.u8(0..4) == 0 => Err(Deferral::Origin),
        Accept::Auto | Accept::Early => Ok(None::<HeaderValue>),
    };
    Arrival {
        path: "/ws".to_owned(),
        handshake: Handshake::of("/ws", [(SESSION.as_bytes(), number.as_bytes())].into_iter()),
        accept: accept_of(index),
        gating: Gating::of(policy, &HeaderMap::new(), Ipv4Addr::LOCALHOST.into()),
        trace: None,
        early,
        route: 0,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        place: Place::uncounted(),
        at: Instant::now().into_std(),
    }
}

pub(super) fn weather(rng: &mut Rng) -> Weather {
    Weather {
        stall_one_in: [0, 0, 3, 10][rng.usize(..4)],
        stall: Duration::from_millis([0, 5, 50][rng.usize(..3)]),
        piece: [1, 7, 100, 100_000, 100_000][rng.usize(..5)],
    }
}

pub(super) fn configuration(rng: &mut Rng) -> Config {
    let mut config = USUAL.with(Config::clone);
    config.gate.accept = [Accept::Auto, Accept::Early, Accept::Deferred][rng.usize(..3)];
    config.gate.hold_timeout = Duration::from_secs([2, 8, 30][rng.usize(..3)]);
    config.gate.on_timeout = if rng.u8(0..4) == 0 { OnTimeout::Pass } else { OnTimeout::Close };
    config.gate.release_concurrency = NonZeroUsize::new(rng.usize(1..4)).unwrap();
    config.gate.confirm = (rng.u8(0..3) == 0).then(|| Arc::new(confirm(rng)));
    config.hold.connection_bytes = [300, 2_000, 20_000][rng.usize(..3)];
    config.hold.connection_frames = [3, 20, 1_000][rng.usize(..3)];
    config.hold.total_bytes = [400, 3_000, 1 << 20][rng.usize(..3)];
    config.hold.sessions = [1, 3, 100][rng.usize(..3)];
    config.hold.when_full = if rng.bool() { WhenFull::Pause } else { WhenFull::Close };
    config.drain.timeout = Duration::from_millis([1_500, 8_500][rng.usize(..2)]);
    config.gate.mode = [Mode::Enforce, Mode::Enforce, Mode::Enforce, Mode::Observe, Mode::Off][rng.usize(..5)];
    config.features.client_notices = rng.u8(0..3) == 0;
    (config.routes[0].gate, config.routes[0].hold) = (config.gate.clone(), config.hold);
    config
}

fn confirm(rng: &mut Rng) -> Confirm {
    Confirm {
        json: Vec::new(),
        text: Some(READY.to_owned()),
        timeout: Duration::from_millis([100, 1_000, 20_000][rng.usize(..3)]),
        on_timeout: if rng.u8(0..3) == 0 { OnTimeout::Pass } else { OnTimeout::Close },
        message_bytes: 100,
    }
}

/// What the unit tests of a session start from, too.
pub(in crate::session) fn usual_configuration() -> Config {
    let text = r#"
        [upstream]
        url = "http://localhost:1"
        handshake_timeout = "5s"
        [probe]
        fall = 1
        [gate]
        accept = "early"
        allowed_origins = ["*"]
        release = { concurrency = 1 }
        [hold]
        total_bytes = "1MiB"
        sessions = 100
        frame_timeout = "5s"
        ping_interval = "4s"
        [drain]
        timeout = "8s"
    "#;
    Config::parse(text, "proxy.toml", &Environment::with_variables([])).unwrap()
}
