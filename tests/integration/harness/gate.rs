//! A readygate in this process, with a health endpoint of its own by which the test opens and shuts its gate.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Instant};

use readygate::{
    app::App,
    config::{Config, Environment},
    gate::Gate,
    session::registry::{Entry, Registry},
};
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    eventually,
    head::{Response, head},
    raw::Raw,
    upstream::{Health, Upstream},
    within,
};

/// Checks so often that no test waits for one, and so patient (the most that a profile can be) that a busy machine fails
/// none: with one failure a check falls.
pub(crate) const QUICK: &str = r#"
server.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
probe = { interval = "20ms", backoff = { initial = "5ms", max = "20ms" }, fall = 1, profile = 10 }
"#;

/// What a readygate is started with.
pub(crate) struct Setup {
    upstream: SocketAddr,
    ready: bool,
    check: Option<String>,
    lines: String,
}

/// A running readygate; dropped, it stops at once.
pub(crate) struct Running {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) health: Health,
    gate: Gate,
    registry: Arc<Registry>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Setup {
    /// A gate that stays shut until [`Running::open`].
    pub(crate) fn shut(upstream: SocketAddr) -> Self {
        Self { upstream, ready: false, check: None, lines: String::new() }
    }

    /// A gate that is open from the start.
    pub(crate) fn open(upstream: SocketAddr) -> Self {
        Self { upstream, ready: true, check: None, lines: String::new() }
    }

    /// A gate that this check of the upstream opens and shuts.
    pub(crate) fn real(upstream: SocketAddr, check: &str) -> Self {
        Self { check: Some(check.to_owned()), ..Self::shut(upstream) }
    }

    /// More configuration: dotted keys, `gate.accept = "early"`.
    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.lines += lines;
        self.lines += "\n";
        self
    }

    pub(crate) async fn start(self) -> Running {
        let health = Health::start(self.ready).await;
        let check = self.check.unwrap_or_else(|| format!("http://{}/", health.address));
        let upstream = format!("upstream.url = \"http://{}\"\nupstream.check = \"{check}\"\n", self.upstream);
        let text = [QUICK, &upstream, &self.lines].concat();
        let config = Config::parse(&text, "proxy.toml", &Environment::with_variables([]));
        let app = App::new(config.unwrap_or_else(|problems| panic!("{problems}\n{text}"))).unwrap();
        let (public, admin) = (app.public_address().unwrap(), app.admin_address().unwrap());
        let (gate, registry) = (app.gate(), app.registry());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async { drop(stopped.await) }, pending()));
        let running = Running { public, admin, health, gate, registry, stop: Some(stop), task };
        running.gate_is(self.ready).await;
        running
    }
}

/// A session through a gate that was open from the start: readygate, its client, its backend.
pub(crate) async fn joined() -> (Running, Raw, Raw) {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.upgraded().await;
    (gate, client, backend)
}

impl Running {
    /// The backend is ready from here on, and readygate knows.
    pub(crate) async fn open(&self) {
        self.health.set(true);
        self.gate_is(true).await;
    }

    /// The backend is not ready from here on, and readygate knows.
    pub(crate) async fn shut(&self) {
        self.health.set(false);
        self.gate_is(false).await;
    }

    /// The gate is open, for whatever reason.
    pub(crate) async fn has_opened(&self) {
        self.gate_is(true).await;
    }

    /// The gate is shut, for whatever reason.
    pub(crate) async fn has_shut(&self) {
        self.gate_is(false).await;
    }

    /// Waits for a verdict. A gate that is not open yet counts as shut only once a check has run.
    async fn gate_is(&self, open: bool) {
        let mut verdict = self.gate.lane(0).subscribe();
        within("the verdict", verdict.wait_for(|verdict| verdict.is_open() == open)).await.unwrap();
    }

    /// A held session that nobody has, for what no client can be made to do; it ends when dropped.
    pub(crate) fn invents(&self, path: &str) -> Entry {
        self.registry.enter(path.to_owned(), ([192, 0, 2, 1], 5).into(), Instant::now(), "held")
    }

    /// Begins the drain.
    pub(crate) fn drain(&mut self) {
        drop(self.stop.take());
    }

    /// The drain is over.
    pub(crate) async fn ended(&mut self) {
        within("the end of the drain", &mut self.task).await.unwrap();
    }

    pub(crate) async fn client(&self) -> Raw {
        Raw::connect(self.public).await
    }

    /// A client that was accepted early.
    pub(crate) async fn held_client(&self) -> Raw {
        let mut client = self.client().await;
        client.upgrade("/ws", &[]).await;
        client
    }

    /// A GET on the admin port.
    pub(crate) async fn admin(&self, path: &str) -> Response {
        admin(self.admin, path).await
    }

    /// A connection on which the status was asked for as it changes.
    pub(crate) async fn listener(&self) -> Raw {
        let mut raw = Raw::connect(self.admin).await;
        raw.send(head("GET /events HTTP/1.1", &[("Host", "admin")])).await;
        raw
    }

    /// A POST on the admin port.
    pub(crate) async fn order(&self, path: &str) -> Response {
        post(self.admin, path).await
    }

    /// One metric: `readygate_sessions{state="held"}`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        metric(self.admin, name).await
    }

    /// Waits until a metric is as wanted.
    pub(crate) async fn metric_is(&self, name: &str, wanted: f64) {
        metric_is(self.admin, name, wanted).await;
    }

    /// Waits until so many sessions are held.
    pub(crate) async fn holds(&self, sessions: u32) {
        self.metric_is(r#"readygate_sessions{state="held"}"#, f64::from(sessions)).await;
    }

    /// Waits until so many sessions ended so.
    pub(crate) async fn outcome(&self, outcome: &str, sessions: u32) {
        self.metric_is(&format!("readygate_sessions_total{{outcome=\"{outcome}\"}}"), f64::from(sessions)).await;
    }

    /// Waits until the held bytes of all sessions are as wanted.
    pub(crate) async fn holds_bytes(&self, mut wanted: impl FnMut(u64) -> bool) -> u64 {
        eventually("the held bytes", async || {
            let bytes = self.metric("readygate_hold_bytes").await as u64;
            wanted(bytes).then_some(bytes)
        })
        .await
    }

    /// Received, delivered and refused frames of ended sessions; the ledger must balance.
    pub(crate) async fn ledger(&self) -> (u64, u64, u64) {
        assert_eq!(self.metric("readygate_ledger_imbalance_total").await, 0.0);
        let fate = async |fate: &str| self.metric(&format!("readygate_frames_total{{fate=\"{fate}\"}}")).await as u64;
        (fate("received").await, fate("delivered").await, fate("refused").await)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn admin(address: SocketAddr, path: &str) -> Response {
    ask(address, &format!("GET {path}")).await
}

pub(crate) async fn post(address: SocketAddr, path: &str) -> Response {
    ask(address, &format!("POST {path}")).await
}

async fn ask(address: SocketAddr, what: &str) -> Response {
    let mut raw = Raw::connect(address).await;
    raw.send(head(&format!("{what} HTTP/1.1"), &[("Host", "admin"), ("Connection", "close")])).await;
    raw.response().await
}

pub(crate) async fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = admin(address, "/metrics").await;
    let value = text.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

pub(crate) async fn metric_is(address: SocketAddr, name: &str, wanted: f64) {
    eventually(&format!("{name} {wanted}"), async || (metric(address, name).await == wanted).then_some(())).await;
}

/// The living sessions in a state.
pub(crate) async fn sessions(address: SocketAddr, state: &str) -> Vec<Value> {
    let answer = admin(address, &format!("/sessions?state={state}")).await;
    answer.json().as_array().unwrap().clone()
}
