//! The gate of the second column: a whole readygate in this process, built from a configuration as anybody's.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{backend::HEALTH, plan::Plan};
use crate::{
    app::App,
    config::{Config, Environment},
    gate::{Gate, Verdict},
    session::registry::{Registry, View},
};

/// The state of a session that waits for the gate.
const HELD: &str = "held";

/// A running readygate.
pub(super) struct Gated {
    pub(super) address: SocketAddr,
    gate: Gate,
    registry: Arc<Registry>,
    stop: CancellationToken,
    run: JoinHandle<()>,
}

/// What the gate does at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) verdict: Verdict,
    pub(super) sessions: usize,
    pub(super) frames: usize,
}

impl Gated {
    /// Starts it in front of the backend at `upstream`.
    pub(super) fn start(upstream: SocketAddr, plan: Plan) -> io::Result<Self> {
        let text = configuration(upstream, plan.limit());
        let environment = Environment { variables: Default::default(), ..Environment::of_process() };
        let config = Config::parse(&text, "demo.toml", &environment).map_err(io::Error::other)?;
        let app = App::new(config).map_err(io::Error::other)?;
        let (address, gate, registry) = (app.public_address()?, app.gate(), app.registry());
        let stop = CancellationToken::new();
        let run = tokio::spawn(app.run(stop.clone().cancelled_owned(), pending()));
        Ok(Self { address, gate, registry, stop, run })
    }

    /// Looks without touching anything.
    pub(super) fn holding(&self) -> Holding {
        let living = self.registry.living(Instant::now());
        let held = || living.iter().filter(|session| is_held(session));
        let frames = held().map(|session| session.held_frames).sum();
        Holding { verdict: self.gate.verdict(), sessions: held().count(), frames }
    }

    /// Drains it, within the second that its configuration grants.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A panic in there has been printed, and shows in the ledger.
        let _ = self.run.await;
    }
}

fn is_held(session: &View) -> bool {
    session.steps.last().is_some_and(|step| step.state == HELD)
}

/// The defaults, but for three things: the hold outlasts the demo, checks come in quick succession, and the drain, with
/// nobody left to tell, is short.
fn configuration(upstream: SocketAddr, hold: Duration) -> String {
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [admin]
        listen = "127.0.0.1:0"
        [upstream]
        url = "http://{upstream}"
        check = "{HEALTH}"
        [probe]
        backoff = {{ initial = "10ms", max = "100ms" }}
        [gate]
        hold_timeout = "{}s"
        [drain]
        timeout = "1s"
        "#,
        hold.as_secs() + 1
    )
}
