//! Redis dies under five hundred clients of two routes, one of which needs it, and returns.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{echoed, names, route};
use crate::{
    dependencies::redis::Redis,
    harness::{
        PATIENCE,
        frame::{BINARY, Frame},
        gate::{Running, Setup},
        raw::Raw,
        upstream::Echo,
    },
};

/// Per route: open before Redis dies, arriving while it dies, and arriving after that. 500 on both routes together.
const BEFORE: usize = 100;
const AMID: usize = 50;
const AFTER: usize = 100;

/// Each client's messages, at a time.
const MESSAGES: usize = 5;

/// Between two attempts to reach a Redis that is starting.
const LOOK: Duration = Duration::from_millis(1);

const NEEDY: &str = "/ws/agents*";
const FREE: &str = "/ws/plain*";

/// On a machine busy with 500 clients of its own a working timeout of some milliseconds tells of the load.
const PATIENT: &str = "features.adaptive_timing = false";

/// Releases so far.
const RELEASES: &str = "readygate_release_latency_seconds_count";

/// Clients of one route.
struct Crowd {
    path: &'static str,
    clients: Vec<Raw>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_holds_the_route_that_needs_it_alone_and_its_return_releases_everybody() {
    let mut redis = Redis::start(&[]);
    let echo = Echo::start().await;
    let gate = two_routes(&redis, &echo).await;
    let (mut needy, mut free) =
        tokio::join!(Crowd::new(&gate, "/ws/agents/1", BEFORE), Crowd::new(&gate, "/ws/plain", BEFORE));
    needy.talk().await;
    free.talk().await;
    let ((), mut amid, mut free_amid) = tokio::join!(
        async { redis.kill() },
        Crowd::new(&gate, "/ws/agents/2", AMID),
        Crowd::new(&gate, "/ws/plain/2", AMID)
    );
    let told = route(gate.admin, NEEDY, "shut").await;
    assert_eq!((names(&told["blockers"]), &told["blockers"][0]["class"]), (vec!["cache"], &"refused".into()), "{told}");
    assert_eq!(gate.admin("/gate").await.status(), 503);

    let mut late = Crowd::new(&gate, "/ws/agents/3", AFTER).await;
    let mut free_late = Crowd::new(&gate, "/ws/plain/3", AFTER).await;
    for crowd in [&mut late, &mut amid] {
        crowd.send().await;
    }
    for crowd in [&mut needy, &mut free, &mut free_amid, &mut free_late] {
        crowd.talk().await;
    }
    assert_eq!(route(gate.admin, FREE, "open").await["blockers"], serde_json::json!([]));
    let held = held_for_the_cache(&gate).await;
    assert!((AFTER..=AFTER + AMID).contains(&held), "{held} are held");

    let before = gate.metric(RELEASES).await;
    let answered = first_pong(redis.port);
    redis.restart(&[], "eady to accept connections");
    tokio::join!(late.receive(), amid.receive());
    let (released, answered) = (Instant::now(), answered.join().unwrap());
    println!("{held} sessions: the last echo came {:?} after Redis answered", released.duration_since(answered));
    assert_eq!((gate.metric(RELEASES).await - before) as usize, held);
    gate.metric_is(r#"readygate_sessions{state="open"}"#, (2 * (BEFORE + AMID + AFTER)) as f64).await;

    for mut crowd in [needy, amid, late, free, free_amid, free_late] {
        crowd.talk().await;
        crowd.leave().await;
    }
    gate.metric_is(r#"readygate_sessions{state="open"}"#, 0.0).await;
    let (received, delivered, refused) = gate.ledger().await;
    assert_eq!((received, refused), (delivered, 0));
    assert!(received as usize >= AFTER * MESSAGES, "{received} frames were held");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_were_open_before_a_dependency_died_go_on_through_its_absence_and_its_return() {
    let mut redis = Redis::start(&[]);
    let echo = Echo::start().await;
    let gate = two_routes(&redis, &echo).await;
    let mut client = gate.client().await;
    client.upgrade("/ws/agents", &[]).await;
    echoed(&mut client, "before").await;
    redis.kill();
    route(gate.admin, NEEDY, "shut").await;
    echoed(&mut client, "during").await;
    redis.restart(&[], "eady to accept connections");
    route(gate.admin, NEEDY, "open").await;
    echoed(&mut client, "after").await;
}

/// Both open.
async fn two_routes(redis: &Redis, echo: &Echo) -> Running {
    let cache = format!("dependencies.cache.check = \"redis://127.0.0.1:{}\"", redis.port);
    let routes = format!(
        "routes = [{{ path = \"{NEEDY}\", depends_on = [\"cache\"] }}, {{ path = \"{FREE}\", depends_on = [] }}]"
    );
    let gate = Setup::shut(echo.address).with(&cache).with(&routes).with(PATIENT).start().await;
    gate.health.set(true);
    for path in [NEEDY, FREE] {
        route(gate.admin, path, "open").await;
    }
    gate
}

/// How many are held; `/gate` and each of them name the cache.
async fn held_for_the_cache(gate: &Running) -> usize {
    let sessions = crate::harness::gate::sessions(gate.admin, "held").await;
    assert!(sessions.iter().all(|session| session["path"].as_str().unwrap().starts_with("/ws/agents")));
    let session = gate.admin(&format!("/sessions/{}", sessions[0]["id"])).await.json();
    assert_eq!(names(&session["waiting_for"]), ["cache"], "{session}");
    sessions.len()
}

/// When a server on `port` first answers a PING.
fn first_pong(port: u16) -> JoinHandle<Instant> {
    let end = Instant::now() + PATIENCE;
    thread::spawn(move || {
        while Instant::now() < end {
            if pong(port) {
                return Instant::now();
            }
            thread::park_timeout(LOOK);
        }
        panic!("no PONG within {PATIENCE:?}")
    })
}

fn pong(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = String::new();
    stream.write_all(b"PING\r\n").is_ok()
        && BufReader::new(stream).read_line(&mut answer).is_ok()
        && answer == "+PONG\r\n"
}

impl Crowd {
    async fn new(gate: &Running, path: &'static str, clients: usize) -> Self {
        let arrive = async || {
            let mut client = gate.client().await;
            client.upgrade(path, &[]).await;
            client
        };
        Self { path, clients: join_all((0..clients).map(|_| arrive())).await }
    }

    async fn talk(&mut self) {
        self.send().await;
        self.receive().await;
    }

    async fn send(&mut self) {
        let path = self.path;
        join_all(self.clients.iter_mut().enumerate().map(async |(number, client)| {
            client.send((0..MESSAGES).flat_map(|seq| message(path, number, seq).masked()).collect::<Vec<u8>>()).await;
        }))
        .await;
    }

    /// Each its own, once and in order; what comes twice is found by the next to read.
    async fn receive(&mut self) {
        let path = self.path;
        join_all(self.clients.iter_mut().enumerate().map(async |(number, client)| {
            for seq in 0..MESSAGES {
                assert_eq!(client.frame().await, message(path, number, seq));
            }
        }))
        .await;
    }

    async fn leave(&mut self) {
        join_all(self.clients.iter_mut().map(async |client| {
            client.send_frame(&Frame::close(1000, "")).await;
            assert_eq!(client.closed().await.0, 1000);
        }))
        .await;
    }
}

fn message(path: &str, number: usize, seq: usize) -> Frame {
    Frame::new(0x80 | BINARY, format!("{path} {number} {seq}"))
}
