//! One seed: a house, a backend, a gate that opens and shuts, up to five clients, and a drain.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderValue, Request};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    backend::{Backend, Dialed, READY, SESSION, accept_of},
    client::{self, Manner, Plan},
    line::{self, Line, Socket, Weather},
};
use crate::{
    config::{Accept, Config, Confirm, Environment, Mode, OnTimeout, WhenFull},
    descriptors::Place,
    gate::{Class, Failure, Gate},
    session::{Arrival, House, Reply, deferral::Deferral, outcome::Outcome, run},
    telemetry::metrics::Metrics,
};

/// Everything that happened under one seed.
pub(super) struct Scene {
    pub(super) house: Arc<House<Backend>>,
    pub(super) sessions: Vec<Session>,
    pub(super) dials: Vec<Dialed>,
    pub(super) cut_at: Instant,
}

/// Everything that happened to one client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) plan: Plan,
    pub(super) line: Line,
    pub(super) reply: Option<Reply>,
    pub(super) outcome: Outcome,
    pub(super) ended: Instant,
}

/// When the gate's check begins to pass or to fail.
#[derive(Clone, Debug)]
struct Turn {
    at: Duration,
    passes: bool,
}

pub(super) async fn play(seed: u64) -> Scene {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let config = configuration(&mut rng);
    let weather = weather(&mut rng);
    let house = house(config, weather, &mut rng);
    let start = Instant::now();
    let opened = Arc::clone(&house.upstream.opened);
    tokio::spawn(check(house.gate.clone(), turns(&mut rng), opened, rng.fork()));
    let mut plans: Vec<Plan> = (0..rng.usize(1..=5)).map(|_| Plan::random(&mut rng)).collect();
    plans.sort_by_key(|plan| plan.arrives);
    let mut tasks = Vec::new();
    for (index, plan) in plans.into_iter().enumerate() {
        sleep_until(start + plan.arrives).await;
        tasks.push(arrive(&house, index, plan, weather, &mut rng));
    }
    let lasts = if rng.u8(0..3) == 0 { rng.u64(3_000..20_000) } else { 90_000 };
    let (cut_at, deadline) = (start + Duration::from_millis(lasts) + house.drain.time_to_cut(), house.drain.timeout());
    tokio::spawn(drain(Arc::clone(&house), start + Duration::from_millis(lasts)));
    let deadline = start + Duration::from_millis(lasts) + deadline;
    let mut sessions = Vec::new();
    for task in tasks {
        sessions.push(timeout_at(deadline, task).await.expect("a session outlives the drain").unwrap());
    }
    let dials = house.upstream.dials.lock().unwrap().clone();
    Scene { house, sessions, dials, cut_at }
}

async fn drain(house: Arc<House<Backend>>, at: Instant) {
    sleep_until(at).await;
    house.gate.drain();
    house.drain.begin();
    sleep(house.drain.time_to_cut()).await;
    house.drain.cut();
}

/// Reports to the gate as a probe does: on the turns, and when woken.
async fn check(gate: Gate, turns: Vec<Turn>, opened: Arc<Mutex<Vec<Instant>>>, mut rng: Rng) {
    let (start, mut passes) = (Instant::now(), false);
    let mut turns = turns.into_iter().peekable();
    loop {
        let next = turns.peek().map(|turn| start + turn.at);
        tokio::select! {
            biased;
            () = sleep_until(next.unwrap_or(start)), if next.is_some() => {
                passes = turns.next().is_some_and(|turn| turn.passes);
            }
            () = gate.woken(0) => sleep(Duration::from_millis(rng.u64(1..300))).await,
        }
        let failure = Failure { class: Class::NotReady, reason: "not yet".to_owned(), hint: None };
        let result = if passes { Ok(()) } else { Err(failure) };
        gate.report(0, result, Duration::ZERO, SystemTime::now());
        if gate.verdict().is_open() {
            opened.lock().unwrap().push(Instant::now());
        }
    }
}

fn turns(rng: &mut Rng) -> Vec<Turn> {
    let turn = |at: u64, passes| Turn { at: Duration::from_millis(at), passes };
    match rng.u8(0..6) {
        0 => vec![turn(0, true)],
        1 => vec![],
        2 => (0..12).map(|n| turn(rng.u64(0..900) + 1_000 * n, n % 2 == 1)).collect(),
        3 => vec![turn(0, true), turn(rng.u64(0..3_000), false), turn(rng.u64(3_000..8_000), true)],
        _ => vec![turn(rng.u64(500..9_000), true)],
    }
}

fn arrive(
    house: &Arc<House<Backend>>,
    index: usize,
    plan: Plan,
    weather: Weather,
    rng: &mut Rng,
) -> JoinHandle<Session> {
    let now = Instant::now();
    let passes = match (house.config.gate.mode, house.config.gate.on_timeout) {
        (Mode::Observe | Mode::Off, _) => now,
        (Mode::Enforce, OnTimeout::Pass) => now + house.config.gate.hold_timeout,
        (Mode::Enforce, OnTimeout::Close) => now + Duration::from_secs(1_000_000),
    };
    house.upstream.may_pass.lock().unwrap().push((now, passes));
    let window = plan.window(rng);
    let (line, socket) = line::connect(rng, weather, window, Some(Arc::clone(&house.budget)));
    let bytes = plan.frames.concat();
    let glued = Bytes::copy_from_slice(&bytes[..plan.glued]);
    let arrival = arrival(index, rng, house.config.gate.accept);
    let (upgraded, upgrade) = oneshot::channel::<(Socket, Bytes)>();
    let (sender, reply) = oneshot::channel();
    let session = tokio::spawn(run(Arc::clone(house), arrival, sender, async move { upgrade.await.ok() }));
    tokio::spawn(lead(plan, line, (socket, glued), upgraded, reply, session, rng.fork()))
}

/// The client's side of one session: takes the answer, plays its part.
async fn lead(
    plan: Plan,
    line: Line,
    (socket, glued): (Socket, Bytes),
    upgraded: oneshot::Sender<(Socket, Bytes)>,
    reply: oneshot::Receiver<Reply>,
    session: JoinHandle<Outcome>,
    mut rng: Rng,
) -> Session {
    let patience = if plan.manner == Manner::Hasty { rng.u64(0..4_000) } else { 3_600_000 };
    let reply = timeout_at(Instant::now() + Duration::from_millis(patience), reply).await;
    let reply = reply.ok().map(|reply| reply.expect("a session that ends has answered"));
    let has_101 = matches!(reply, Some(Reply::Early { .. } | Reply::Switch(_)));
    if has_101 {
        sleep(Duration::from_millis(rng.u64(0..30))).await;
        line.sent_elsewhere(&glued);
        tokio::spawn(client::play(plan.clone(), line.clone(), rng.fork()));
        let _ = upgraded.send((socket, glued));
    } else {
        drop((upgraded, socket));
    }
    let outcome = session.await.unwrap();
    Session { plan, line, reply, outcome, ended: Instant::now() }
}

fn arrival(index: usize, rng: &mut Rng, accept: Accept) -> Arrival {
    let request = Request::builder().uri("/ws").header(SESSION, index.to_string());
    let early = match accept {
        Accept::Deferred => Err(Deferral::Policy),
        Accept::Auto if rng.u8(0..4) == 0 => Err(Deferral::Origin),
        Accept::Auto | Accept::Early => Ok(None::<HeaderValue>),
    };
    Arrival {
        request: request.body(()).unwrap().into_parts().0,
        accept: accept_of(index),
        early,
        route: 0,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        place: Place::uncounted(),
        at: Instant::now().into_std(),
    }
}

fn weather(rng: &mut Rng) -> Weather {
    Weather {
        stall_one_in: [0, 0, 3, 10][rng.usize(..4)],
        stall: Duration::from_millis([0, 5, 50][rng.usize(..3)]),
        piece: [1, 7, 100, 100_000, 100_000][rng.usize(..5)],
    }
}

fn house(config: Config, weather: Weather, rng: &mut Rng) -> Arc<House<Backend>> {
    let metrics = Metrics::new();
    let gate = Gate::new(&config.upstream.checks, config.gate.release_concurrency, Arc::clone(&metrics));
    let upstream = Backend {
        gate: gate.clone(),
        weather,
        confirm: config.gate.confirm.clone().filter(|_| config.gate.mode == Mode::Enforce),
        refuses_one_in: [2, 5, 100][rng.usize(..3)],
        rng: Mutex::new(rng.fork()),
        dials: Arc::default(),
        may_pass: Arc::default(),
        opened: Arc::default(),
    };
    Arc::new(House::new(config, gate, metrics, upstream))
}

fn configuration(rng: &mut Rng) -> Config {
    let mut config = usual_configuration();
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
