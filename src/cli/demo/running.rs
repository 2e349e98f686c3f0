//! Both columns, started together and stopped together.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    backend::Backend,
    client::Client,
    column::{Column, Picture},
    gated::{Gated, Holding},
    ledger::Ledger,
    plan::Plan,
};

/// For all clients to close, and again for the backends to see it. Reached only when something is wrong.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything at one moment.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) plan: Plan,
    pub(super) elapsed: Duration,
    pub(super) direct: Picture,
    pub(super) gated: Picture,
    pub(super) holding: Holding,
}

/// The last numbers of both columns.
#[derive(Clone, Debug)]
pub(super) struct Ledgers {
    pub(super) direct: Ledger,
    pub(super) gated: Ledger,
}

/// The demo under way.
pub(super) struct Running {
    plan: Plan,
    start: Instant,
    direct: Arc<Column>,
    gated: Arc<Column>,
    gate: Gated,
    backends: Vec<Served>,
    clients: JoinSet<()>,
    leave: CancellationToken,
    stop: CancellationToken,
}

struct Served {
    task: JoinHandle<io::Result<()>>,
    sessions: TaskTracker,
}

impl Scene {
    /// Nothing more will happen by itself.
    pub(super) fn is_settled(&self) -> bool {
        self.direct.is_settled && self.gated.is_settled
    }
}

impl Running {
    /// Reserves the ports, starts the gate, sends the clients, and starts the backends.
    pub(super) fn start(plan: Plan) -> io::Result<Self> {
        let column = || Arc::new(Column::new(plan.clients, plan.frames));
        let (direct, gated) = (column(), column());
        let backends = [Backend::reserve(Arc::clone(&direct), plan)?, Backend::reserve(Arc::clone(&gated), plan)?];
        let to_backend = backends[0].address()?;
        let gate = Gated::start(backends[1].address()?, plan)?;
        let start = Instant::now();
        let mut running = Self {
            plan,
            start,
            direct: Arc::clone(&direct),
            gated: Arc::clone(&gated),
            gate,
            backends: Vec::new(),
            clients: JoinSet::new(),
            leave: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        for number in 0..plan.clients {
            running.send(number, to_backend, &direct);
            running.send(number, running.gate.address, &gated);
        }
        running.backends = backends.into_iter().map(|backend| running.serve(backend)).collect();
        Ok(running)
    }

    /// Looks without touching anything.
    pub(super) fn scene(&self) -> Scene {
        Scene {
            plan: self.plan,
            elapsed: self.start.elapsed(),
            direct: self.direct.picture(),
            gated: self.gated.picture(),
            holding: self.gate.holding(),
        }
    }

    /// Lets every client leave, stops the rest in the order in which messages pass, and closes the books.
    pub(super) async fn finish(mut self) -> Ledgers {
        self.leave.cancel();
        let everybody = async { while self.clients.join_next().await.is_some() {} };
        let all_left = timeout(END_TIMEOUT, everybody).await.is_ok();
        if !all_left {
            self.clients.shutdown().await;
        }
        self.gate.stop().await;
        for Served { task, sessions } in self.backends {
            sessions.close();
            let _ = timeout(END_TIMEOUT, sessions.wait()).await;
            self.stop.cancel();
            // One that failed to listen shows in the ledger.
            let _ = task.await;
        }
        Ledgers { direct: self.direct.ledger(), gated: self.gated.ledger() }
    }

    /// The same at once: nobody waits for clients that are not done.
    pub(super) async fn abort(mut self) -> Ledgers {
        self.clients.shutdown().await;
        self.finish().await
    }

    fn send(&mut self, number: usize, address: SocketAddr, column: &Arc<Column>) {
        let (plan, column, leave) = (self.plan, Arc::clone(column), self.leave.clone());
        self.clients.spawn(Client { number, address, plan, column, leave }.run(self.start));
    }

    fn serve(&self, backend: Backend) -> Served {
        let sessions = backend.sessions();
        Served { task: tokio::spawn(backend.run(self.plan, self.start, self.stop.clone())), sessions }
    }
}
