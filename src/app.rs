//! Builds the parts from a configuration, starts them in order, stops them in order.

use std::{fmt, future::Future, net::SocketAddr, sync::Arc, time::Instant};

use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{self, View},
    config::{Check, Config},
    dial::{DialError, Dialer},
    drain::Drain,
    gate::{Gate, Plan},
    hold::budget::Budget,
    http::{Proxy, Site},
    listen::{
        self, BindError,
        tls::{TlsError, acceptor},
    },
    probe::{self, Probe, ProbeError, Timing},
    session::{House, deferral::Deferrals, registry::Registry},
    telemetry::{metrics::Metrics, millis},
    upstream::Backend,
};

/// Why the process cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// The certificate of the public port cannot be used.
    Tls(TlsError),
    /// `upstream.url` or `upstream.ca` cannot be used.
    Upstream(DialError),
    /// A check cannot be run.
    Check {
        /// Its name.
        name: String,
        /// What is wrong.
        error: ProbeError,
    },
}

/// A readygate that has bound its ports and built its parts, and does nothing yet.
pub struct App {
    public: TcpListener,
    admin: TcpListener,
    tls: Option<TlsAcceptor>,
    probes: Probes,
    site: Arc<Site>,
    view: Arc<View>,
}

struct Probes(Vec<(Check, Box<dyn Probe>)>);

impl App {
    /// Binds the ports and builds the parts. Must be called in a runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(config: Config) -> Result<Self, StartError> {
        let public = listen::bind("server.listen", config.server.listen)?;
        let admin = listen::bind("admin.listen", config.admin.listen)?;
        let tls = config.server.tls.as_ref().map(acceptor).transpose()?;
        let plan = Plan::of(&config);
        let probes = Probes::build(&plan)?;
        let dialer = Dialer::new(&config.upstream.target, config.upstream.connect_timeout)?;
        let metrics = Metrics::new();
        let house = House {
            gate: Gate::of(&plan, Arc::clone(&metrics)),
            budget: Budget::new(config.hold.total_bytes, config.hold.sessions),
            registry: Registry::new(Arc::clone(&metrics)),
            metrics,
            deferrals: Deferrals::default(),
            drain: Drain::new(config.drain.timeout),
            upstream: Backend::new(dialer.clone(), config.upstream.handshake_timeout),
            config,
        };
        let view = view(&house);
        let proxy = Proxy::new(dialer, &house.config.upstream.target);
        let site = Site { house: Arc::new(house), proxy, tasks: TaskTracker::new() };
        Ok(Self { public, admin, tls, probes, site: Arc::new(site), view })
    }

    /// The public address.
    ///
    /// # Errors
    /// The kernel cannot tell it.
    pub fn public_address(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The private address.
    ///
    /// # Errors
    /// The kernel cannot tell it.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// The gate, for whoever runs the app in their own process.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.site.house.gate.clone()
    }

    /// The sessions, for the same.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.site.house.registry)
    }

    /// Runs until `shutdown` resolves or an operator asks for it, and then drains; returns when nothing is left or the drain's time is over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut background = JoinSet::new();
        let stop_admin = CancellationToken::new();
        background.spawn(admin::serve(self.admin, Arc::clone(&self.view), stop_admin.clone()));
        self.probes.spawn(&self.site, &mut background);
        let tls = self.tls;
        background.spawn(listen::serve(self.public, Arc::clone(&self.site), tls));
        self.view.set_bound();
        tokio::select! {
            () = shutdown => {}
            () = self.view.asked_to_drain() => tracing::info!("an operator asked for the drain"),
        }
        drain(&self.site).await;
        stop_admin.cancel();
    }
}

/// Tells, waits, cuts, waits: all within the drain's time.
async fn drain(site: &Site) {
    let Site { house, tasks, .. } = site;
    let began = Instant::now();
    tracing::info!(sessions = house.registry.count(), timeout = ?house.drain.timeout(), "draining");
    house.metrics.drain_began();
    house.gate.drain();
    house.drain.begin();
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = sleep(house.drain.time_to_cut()) => {
            let left = house.registry.count();
            tracing::info!(sessions = left, "cutting what is left");
            house.metrics.drain_cuts(left);
            house.drain.cut();
            let _ = timeout_at((began + house.drain.timeout()).into(), tasks.wait()).await;
        }
    }
    let left = house.registry.count();
    tracing::info!(took_ms = millis(began.elapsed()), left, "drained");
}

fn view(house: &House<Backend>) -> Arc<View> {
    View::new(
        house.gate.clone(),
        Arc::clone(&house.metrics),
        Arc::clone(&house.registry),
        Arc::clone(&house.budget),
        Arc::new(house.config.clone()),
        Instant::now(),
    )
}

impl Probes {
    fn build(plan: &Plan) -> Result<Self, StartError> {
        let built = plan.checks.iter().map(|planned| {
            let check = planned.check.clone();
            match probe::build(&check) {
                Ok(probe) => Ok((check, probe)),
                Err(error) => Err(StartError::Check { name: check.name, error }),
            }
        });
        built.collect::<Result<_, _>>().map(Self)
    }

    fn spawn(self, site: &Site, background: &mut JoinSet<()>) {
        let house = &site.house;
        if house.config.upstream.check_is_guess {
            tracing::warn!(
                "upstream.check is not set: a port that takes connections stands for readiness, which it is not; \
                 set upstream.check to a path that answers 200 only when the backend can serve"
            );
        }
        let timing = Timing::of(&house.config);
        for (index, (check, probe)) in self.0.into_iter().enumerate() {
            let (gate, metrics) = (house.gate.clone(), Arc::clone(&house.metrics));
            background.spawn(probe::run::run(index, check, probe, gate, metrics, timing));
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Upstream(error) => write!(f, "upstream.url: {error}"),
            Self::Check { name, error } => write!(f, "check {name}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<DialError> for StartError {
    fn from(error: DialError) -> Self {
        Self::Upstream(error)
    }
}
