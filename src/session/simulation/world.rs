//! What all sessions of a scene share, and what happens to it: a gate that opens and shuts, the operator's hand, another
//! configuration, memory that others take, a CPU that stops, tasks that are killed.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use fastrand::Rng;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinHandle},
    time::{Instant, advance, sleep, sleep_until},
};

use super::{
    backend::Backend,
    client::Plan,
    line::{self, Socket, Weather},
    purse::Purse,
    scene::{Gates, Scene, Session, arrival, configuration, lead, metrics, weather},
};
use crate::{
    config::{Config, Mode, OnTimeout},
    gate::{self, Class, Failure, Gate, Hand},
    session::{House, run},
    telemetry::metrics::Books,
};

/// The process stood still from one moment to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// Between two of these events.
const PAUSE: Duration = Duration::from_millis(1_500);

pub(super) struct World {
    pub(super) house: Arc<House<Backend>>,
    pub(super) purse: Arc<Purse>,
    pub(super) gates: Gates,
    weather: Weather,
    turns: Arc<[Turn]>,
    /// Nothing but the clients and the gate's check: half of all worlds.
    is_calm: bool,
    next_at: Instant,
    sessions: Vec<AbortHandle>,
    happened: Vec<&'static str>,
    stops: Vec<Stop>,
}

/// When the gate's check begins to pass or to fail.
#[derive(Clone, Debug)]
struct Turn {
    at: Instant,
    passes: bool,
}

impl World {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let (config, weather, gates) = (configuration(rng), weather(rng), Gates::default());
        let gate = Gate::of(&gate::Plan::of(&config), metrics());
        let turns: Arc<[Turn]> = turns(rng).into();
        let upstream = Backend {
            confirm: confirm_of(&config),
            weather,
            refuses_one_in: [2, 5, 100][rng.usize(..3)],
            rng: Mutex::new(rng.fork()),
            dials: Arc::default(),
            may_pass: Arc::default(),
            opened: gates.add(&gate),
            gate: gate.clone(),
        };
        tokio::spawn(check(gate.clone(), Arc::clone(&turns), gates.clone(), rng.fork()));
        let house = Arc::new(House::new(config, gate, metrics(), upstream));
        let purse = Purse::new(&house.budget, house.config.hold.connection_bytes);
        let (is_calm, next_at) = (rng.bool(), Instant::now());
        let (sessions, happened, stops) = (Vec::new(), Vec::new(), Vec::new());
        Self { house, purse, gates, weather, turns, is_calm, next_at, sessions, happened, stops }
    }

    /// Lets things happen until `at`.
    pub(super) async fn go_on_until(&mut self, at: Instant, rng: &mut Rng) {
        while !self.is_calm && self.next_at < at {
            sleep_until(self.next_at).await;
            self.next_at += PAUSE.mul_f64(rng.f64());
            let what = self.happen(rng).await;
            self.happened.push(what);
        }
        sleep_until(at).await;
    }

    async fn happen(&mut self, rng: &mut Rng) -> &'static str {
        // What is open until this moment may have let somebody in.
        self.gates.note();
        match rng.u8(0..10) {
            0 | 1 => self.lay_hand(gate::Forced::Open),
            2 | 3 => self.lay_hand(gate::Forced::Shut),
            4 | 5 => {
                let _ = self.house.gate.free(None, SystemTime::now());
                self.gates.note();
                "hand taken off"
            }
            6 | 7 => self.reload(rng),
            8 if rng.bool() => {
                let (purse, time) = (Arc::clone(&self.purse), Duration::from_millis(rng.u64(0..4_000)));
                tokio::spawn(async move { purse.spend(time).await });
                "budget spent"
            }
            8 => {
                let from = Instant::now();
                advance(Duration::from_millis(rng.u64(0..9_000))).await;
                self.stops.push(Stop { from, to: Instant::now() });
                "CPU stopped"
            }
            _ => {
                let Some(at) = rng.usize(0..8).checked_sub(1) else { return "nothing" };
                let Some(session) = self.sessions.get(at) else { return "nothing" };
                session.abort();
                "session killed"
            }
        }
    }

    fn lay_hand(&self, forced: gate::Forced) -> &'static str {
        let hand = Hand { forced, reason: Default::default(), since: SystemTime::now(), until: None };
        self.house.gate.force(None, &hand).unwrap();
        self.gates.note();
        match forced {
            gate::Forced::Open => "hand open",
            gate::Forced::Shut => "hand shut",
        }
    }

    /// Another configuration: with the same gate, or one after it.
    fn reload(&mut self, rng: &mut Rng) -> &'static str {
        let (before, config) = (Arc::clone(&self.house), configuration(rng));
        let (plan, plan_before) = (gate::Plan::of(&config), gate::Plan::of(&before.config));
        let is_same = plan == plan_before && rng.bool();
        let gate = if is_same { before.gate.clone() } else { before.gate.succeeded_by(&plan, &plan_before) };
        let opened = if is_same { Arc::clone(&before.upstream.opened) } else { self.gates.add(&gate) };
        if !is_same {
            tokio::spawn(check(gate.clone(), Arc::clone(&self.turns), self.gates.clone(), rng.fork()));
        }
        let upstream = Backend {
            confirm: confirm_of(&config),
            weather: self.weather,
            refuses_one_in: before.upstream.refuses_one_in,
            rng: Mutex::new(rng.fork()),
            dials: Arc::clone(&before.upstream.dials),
            may_pass: Arc::clone(&before.upstream.may_pass),
            opened,
            gate: gate.clone(),
        };
        self.house = Arc::new(before.after(config, gate, upstream));
        self.purse.limited(self.house.config.hold.connection_bytes);
        if is_same { "reload, same gate" } else { "reload, gate after gate" }
    }

    pub(super) fn arrive(&mut self, index: usize, plan: Plan, rng: &mut Rng) -> JoinHandle<Session> {
        let (house, now) = (Arc::clone(&self.house), Instant::now());
        let passes = match (house.config.gate.mode, house.config.gate.on_timeout) {
            (Mode::Observe | Mode::Off, _) => now,
            (Mode::Enforce, OnTimeout::Pass) => now + house.config.gate.hold_timeout,
            (Mode::Enforce, OnTimeout::Close) => now + Duration::from_secs(1_000_000),
        };
        house.upstream.may_pass.lock().unwrap().push((now, passes));
        let window = plan.window(rng);
        let (line, socket) = line::connect(rng, self.weather, window, Some(Arc::clone(&self.purse)));
        let glued = Bytes::copy_from_slice(&plan.frames.concat()[..plan.glued]);
        let arrival = arrival(index, rng, &house.config.gate);
        let (upgraded, upgrade) = oneshot::channel::<(Socket, Bytes)>();
        let (sender, reply) = oneshot::channel();
        let session = tokio::spawn(run(Arc::clone(&house), arrival, sender, async move { upgrade.await.ok() }));
        self.sessions.push(session.abort_handle());
        tokio::spawn(lead(plan, line, house, (socket, glued, upgraded), reply, session, rng.fork()))
    }

    /// All sessions have ended.
    pub(super) async fn over(self, sessions: Vec<Session>, drained_at: Option<Instant>, before: (Books, u64)) -> Scene {
        while self.purse.is_shared() {
            sleep(PAUSE).await;
        }
        let dials = self.house.upstream.dials.lock().unwrap().clone();
        let Self { house, gates, happened, stops, .. } = self;
        Scene { house, gates, sessions, dials, drained_at, happened, stops, before }
    }
}

/// Reports to the gate as a probe does: on the turns, and when woken.
async fn check(gate: Gate, turns: Arc<[Turn]>, gates: Gates, mut rng: Rng) {
    loop {
        let next = turns.iter().map(|turn| turn.at).find(|at| *at > Instant::now());
        tokio::select! {
            biased;
            () = gate.over() => return,
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            () = gate.woken(0) => sleep(Duration::from_millis(rng.u64(1..300))).await,
        }
        let passes = turns.iter().rfind(|turn| turn.at <= Instant::now()).is_some_and(|turn| turn.passes);
        let failure = Failure { class: Class::NotReady, reason: "not yet".to_owned(), hint: None };
        let result = if passes { Ok(()) } else { Err(failure) };
        gate.report(0, result, Duration::ZERO, SystemTime::now());
        gates.note();
    }
}

fn turns(rng: &mut Rng) -> Vec<Turn> {
    let start = Instant::now();
    let turn = |at: u64, passes| Turn { at: start + Duration::from_millis(at), passes };
    match rng.u8(0..6) {
        0 => vec![turn(1, true)],
        1 => vec![],
        2 => (0..12).map(|n| turn(rng.u64(1..900) + 1_000 * n, n % 2 == 1)).collect(),
        3 => vec![turn(1, true), turn(rng.u64(2..3_000), false), turn(rng.u64(3_000..8_000), true)],
        _ => vec![turn(rng.u64(500..9_000), true)],
    }
}

fn confirm_of(config: &Config) -> Option<Arc<crate::config::Confirm>> {
    config.gate.confirm.clone().filter(|_| config.gate.mode == Mode::Enforce)
}
