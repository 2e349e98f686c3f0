//! The race lab: the real product (FastAPI under uvicorn, tests/race/app.py) started cold under clients that connect
//! and send at once; straight to it, and through readygate.
//!
//! `tests/race/run` prints both columns for any number of clients. Nothing here is timed: the boot ends when everybody
//! has sent what they had, unless it is asked to take a number of seconds.

mod backend;
mod client;
mod column;
mod confirm;
mod late;
mod restarts;
pub(crate) mod sidecar;

use std::{env, fs, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use self::{
    backend::Backend,
    client::{Manner, Signals, Trace},
    column::{Column, table},
    sidecar::Sidecar,
};

/// What the product answers to each message, in this order.
const EVENTS: [&str; 5] = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];

/// Clients of the whole lab, unless `RACE_CLIENTS` says otherwise.
const CROWD: usize = 1000;

/// Clients of a single scenario: enough for more than one batch of released dials, few enough to run them all.
const GROUP: usize = 80;

/// For whatever the lab waits for. Only a lab that fails reaches it.
pub(crate) const WAIT_AT_MOST: Duration = Duration::from_secs(150);

/// Longer than any boot on any machine: no client of the lab may be told to come back later.
const GATE: &str = "check = \"/health/ready\"\n[gate]\nhold_timeout = \"140s\"\n";

/// The product's own word for a connection that is registered; a wait as patient as the gate's.
const CONFIRM: &str = "confirm = { json = { \"/connection_ready\" = true }, timeout = \"140s\" }\n";

/// One cold start.
#[derive(Clone, Debug)]
struct Lab {
    clients: usize,
    bind: String,
    register: String,
    cold: String,
    /// None: the boot ends once everybody has sent.
    boot_seconds: Option<String>,
    register_ms: String,
    manner: Manner,
}

/// The way that clients take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Nothing,
    Readygate,
    /// The same, told by which message the product says that a connection is registered.
    Confirm,
}

/// Clients under way.
struct Crowd {
    clients: JoinSet<Trace>,
    signals: Signals,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_over_a_cold_start_loses_nothing_behind_the_gate_and_much_before_it() {
    let (bind, register) = (env::var("RACE_BIND").ok(), env::var("RACE_REGISTER").ok());
    for each in bind.as_deref().map_or(vec!["late", "early"], |bind| vec![bind]) {
        let lab = Lab { clients: variable("RACE_CLIENTS", CROWD), ..Lab::of_environment(each) };
        lab.expect_descriptors();
        let columns = [lab.run(Via::Nothing).await, lab.run(Via::Readygate).await];
        println!("{}", table(&lab.title(), &columns));
        if register.is_none() {
            columns[1].assert_whole(lab.manner.messages);
            lab.assert_books(&columns[1]);
        }
        if bind.is_none() {
            assert!(columns[0].failed() as u64 + columns[0].lost > 0, "{:#?}", columns[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_listens_late_refuses_everybody_and_behind_the_gate_nobody() {
    let lab = Lab::new("late");
    let direct = lab.run(Via::Nothing).await;
    assert_eq!((direct.failed(), direct.connected), (GROUP, 0), "{direct:#?}");
    lab.assert_saved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_listens_early_drops_messages_and_behind_the_gate_none() {
    let lab = Lab::new("early");
    let direct = lab.run(Via::Nothing).await;
    assert!(direct.connected == GROUP && direct.lost > 0, "{direct:#?}");
    lab.assert_saved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_reads_before_it_accepts_fails_with_its_known_error_and_behind_the_gate_never() {
    let lab = Lab { cold: "error".to_owned(), ..Lab::new("early") };
    let direct = lab.run(Via::Nothing).await;
    assert!(direct.errors.iter().any(|error| error.contains("Need to call \"accept\" first")), "{direct:#?}");
    assert!(direct.failed() + direct.ended.len() > 0, "{direct:#?}");
    lab.assert_saved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_bound_by_a_master_process_long_before_a_worker_serves_is_not_taken_for_readiness() {
    Lab::new("master").assert_saved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_registration_loses_messages_unless_the_connection_is_registered_before_its_accept() {
    let slow = Lab { register_ms: "3000".to_owned(), ..Lab::new("master") };
    let after = Lab { register: "after".to_owned(), ..slow.clone() };
    let direct = after.run(Via::Nothing).await;
    assert!(direct.lost > 0, "{direct:#?}");
    slow.assert_saved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_with_the_request_itself_wait_for_their_connection() {
    let mut lab = Lab::new("late");
    lab.manner.glued = true;
    lab.assert_saved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_come_while_others_are_released_keep_their_own_order() {
    let lab = Lab::new("late");
    let mut backend = Backend::start(&lab, 0).await;
    let gate = Sidecar::start(backend.address, GATE);
    let early = lab.crowd(gate.public, "early");
    lab.held(&gate, GROUP).await;
    backend.boot();
    let late = lab.crowd(gate.public, "late");
    let mut traces = early.join().await;
    traces.extend(late.join().await);
    let ready = backend.ready().await;
    let column = Column::new("gated", &traces, lab.manner.messages, &backend.ledger().await, ready);
    column.assert_whole(lab.manner.messages);
    assert_eq!(column.clients, 2 * GROUP);
}

impl Lab {
    fn new(bind: &str) -> Self {
        Self {
            clients: GROUP,
            bind: bind.to_owned(),
            register: "before".to_owned(),
            cold: "lose".to_owned(),
            boot_seconds: None,
            register_ms: "50".to_owned(),
            manner: Manner { messages: 5, glued: false, stays: false },
        }
    }

    fn of_environment(bind: &str) -> Self {
        let mut lab = Self::new(bind);
        lab.register = variable("RACE_REGISTER", lab.register);
        lab.register_ms = variable("RACE_REGISTER_MS", lab.register_ms);
        lab.cold = variable("RACE_COLD", "error".to_owned());
        lab.boot_seconds = env::var("RACE_BOOT_SECONDS").ok();
        lab.manner.messages = variable("RACE_MESSAGES", lab.manner.messages);
        lab
    }

    /// For tests/race/app.py.
    fn arguments(&self) -> Vec<String> {
        let Self { bind, register, cold, register_ms, boot_seconds, .. } = self;
        let named = [("--bind", bind), ("--register", register), ("--cold", cold), ("--register-ms", register_ms)];
        let mut arguments: Vec<_> =
            named.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).clone()]).collect();
        match boot_seconds {
            Some(seconds) => arguments.extend(["--boot-seconds".to_owned(), seconds.clone()]),
            None => arguments.push("--boot-stdin".to_owned()),
        }
        arguments
    }

    fn title(&self) -> String {
        let Self { clients, bind, register, cold, boot_seconds, .. } = self;
        let boot = boot_seconds.as_ref().map_or("until all have sent".to_owned(), |seconds| format!("{seconds} s"));
        format!("{clients} clients over a cold start: bind {bind}, register {register}, cold {cold}, boot {boot}")
    }

    /// One cold start, and what became of everybody.
    async fn run(&self, via: Via) -> Column {
        let mut backend = Backend::start(self, 0).await;
        let gate = via.config().map(|config| Sidecar::start(backend.address, &config));
        if self.bind != "late" {
            backend.listening().await;
        }
        let crowd = self.crowd(gate.as_ref().map_or(backend.address, |gate| gate.public), "client");
        if self.boot_seconds.is_none() {
            self.settled(&backend, gate.as_ref(), &crowd).await;
            backend.boot();
        }
        let traces = crowd.join().await;
        let ready = backend.ready().await;
        let mut column = Column::new(via.name(), &traces, self.manner.messages, &backend.ledger().await, ready);
        if let Some(gate) = gate {
            column.books = Some(books(&gate).await);
        }
        column
    }

    /// Through the gate nothing is lost, and readygate's books say so too.
    async fn assert_saved(&self) {
        let gated = self.run(Via::Readygate).await;
        gated.assert_whole(self.manner.messages);
        self.assert_books(&gated);
    }

    fn assert_books(&self, column: &Column) {
        let [received, delivered, refused, imbalances] = column.books.unwrap();
        assert_eq!((received, refused, imbalances), (delivered, 0, 0), "{column:#?}");
        if self.boot_seconds.is_none() {
            assert_eq!(received, self.clients as u64 * self.manner.messages, "{column:#?}");
        }
    }

    fn crowd(&self, address: SocketAddr, name: &str) -> Crowd {
        let signals = Signals { sent: Arc::new(Semaphore::new(0)), answered: Arc::new(Semaphore::new(0)) };
        let client = |number| client::run(address, format!("{name} {number}"), self.manner.clone(), signals.clone());
        Crowd { clients: (0..self.clients).map(client).collect(), signals }
    }

    /// Everybody has done before the boot's end what they can do before it.
    async fn settled(&self, backend: &Backend, gate: Option<&Sidecar>, crowd: &Crowd) {
        if let Some(gate) = gate {
            return self.held(gate, self.clients).await;
        }
        match self.bind.as_str() {
            "late" => crowd.sent().await,
            // In cold error nobody gets through; else the application has seen messages that it is not ready for.
            "early" => {
                crowd.sent().await;
                self.until_dropped(backend).await;
            }
            // Their requests wait in a queue that nobody reads.
            _ => {}
        }
    }

    async fn until_dropped(&self, backend: &Backend) {
        let count = |ledger: &Value| ledger["dropped"].as_u64().unwrap() + ledger["errors"].as_u64().unwrap();
        let seen = async { while count(&backend.ledger().await) == 0 {} };
        timeout(WAIT_AT_MOST, seen).await.expect("the application loses something before it is ready");
    }

    /// Resolves when the messages of so many clients are held.
    async fn held(&self, gate: &Sidecar, clients: usize) {
        let frames = clients as f64 * self.manner.messages as f64;
        gate.until("all messages are held", |metrics| metrics["readygate_hold_frames"] == frames).await;
    }

    /// The limit is inherited by the application and by readygate, which has two sockets for each client.
    fn expect_descriptors(&self) {
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
        let wanted = 2 * self.clients + 200;
        assert!(soft >= wanted, "{wanted} open files are needed and {soft} allowed: ulimit -Sn \"$(ulimit -Hn)\"");
    }
}

impl Via {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "direct",
            Self::Readygate => "through readygate",
            Self::Confirm => "through readygate, confirmed",
        }
    }

    /// None without a readygate.
    fn config(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Readygate => Some(GATE.to_owned()),
            Self::Confirm => Some([GATE, CONFIRM].concat()),
        }
    }
}

impl Crowd {
    /// Resolves when everybody has sent all they had, or never will.
    async fn sent(&self) {
        all(&self.signals.sent, self.clients.len()).await;
    }

    /// Resolves when everybody has all their answers, or never will.
    async fn answered(&self) {
        all(&self.signals.answered, self.clients.len()).await;
    }

    async fn join(self) -> Vec<Trace> {
        self.clients.join_all().await
    }
}

async fn all(signal: &Semaphore, clients: usize) {
    let everybody = signal.acquire_many(u32::try_from(clients).unwrap());
    drop(timeout(WAIT_AT_MOST, everybody).await.expect("every client comes this far"));
}

/// readygate's own books once every session has ended.
pub(crate) async fn books(gate: &Sidecar) -> [u64; 4] {
    let sessions = |name: &str| name.starts_with("readygate_sessions{");
    gate.until("every session has ended", |metrics| {
        metrics.iter().filter(|(name, _)| sessions(name)).all(|(_, count)| *count == 0.0)
    })
    .await;
    let metrics = gate.metrics().await;
    let fate = |fate: &str| metrics[&format!("readygate_frames_total{{fate=\"{fate}\"}}")] as u64;
    let imbalances = metrics["readygate_ledger_imbalance_total"] as u64;
    [fate("received"), fate("delivered"), fate("refused"), imbalances]
}

/// A port that stays this test's while no backend listens there. Bound and silent, it can be bound once more by who
/// also sets SO_REUSEADDR, as the application does.
pub(crate) fn reserve() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

pub(crate) fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")),
        Err(_) => default,
    }
}
