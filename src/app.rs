//! Builds the parts from a configuration, starts them in order, stops them in order.
//!
//! `reign` is the configuration in force and what was built from it, one generation after another; `error` is what keeps
//! one from being built; `project` is what the log has to learn of Google's cloud.

mod error;
pub mod project;
mod reign;

use std::{
    future::{Future, pending},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::error::StartError;
use self::reign::Reign;
use crate::{
    admin::{self, Reloading, View},
    config::Config,
    descriptors::{Door, Share},
    drain::Cutting,
    gate::Gate,
    http::Site,
    listen,
    reload::Watch,
    session::registry::Registry,
    telemetry::millis,
};

/// A readygate that has bound its ports and built its parts, and does nothing yet.
pub struct App {
    public: TcpListener,
    admin: TcpListener,
    reign: Reign,
    share: Share,
    watch: Option<Watch>,
}

impl App {
    /// Binds the ports and builds the parts, for as many clients as the limit of open files carries at this moment. Must be
    /// called in a runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(config: Config) -> Result<Self, StartError> {
        let public = listen::bind("server.listen", config.server.listen)?;
        let admin = listen::bind("admin.listen", config.admin.listen)?;
        let share = Share::here();
        Ok(Self { public, admin, reign: Reign::new(config, share)?, share, watch: None })
    }

    /// The same, with a file that is looked after: a change of it comes into force while the app runs.
    #[must_use]
    pub fn watching(mut self, watch: Watch) -> Self {
        self.view().set_reloading(Reloading { asks: watch.asker(), standing: watch.standing() });
        self.watch = Some(watch);
        self
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
        self.view().gate()
    }

    /// The sessions, for the same.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.reign.site().house.registry)
    }

    fn view(&self) -> &Arc<View> {
        self.reign.view()
    }

    /// Runs until `shutdown` resolves or an operator asks for it, and then drains; returns when nothing is left or the drain's
    /// time is over. Once `hurry` resolves too, the drain waits for nobody any more.
    pub async fn run(self, shutdown: impl Future<Output = ()>, hurry: impl Future<Output = ()>) {
        let Self { public, admin, mut reign, share, watch } = self;
        let mut background = JoinSet::new();
        let stop_admin = CancellationToken::new();
        let view = Arc::clone(reign.view());
        background.spawn(admin::serve(admin, Arc::clone(&view), share.admin, stop_admin.clone()));
        reign.begin();
        let door = Door::new(&share);
        view.set_door(door.clone());
        background.spawn(listen::serve(public, reign.sites(), door));
        view.set_bound();
        let floods = Arc::clone(&reign.site().house.floods);
        background.spawn({
            let floods = Arc::clone(&floods);
            async move { floods.run().await }
        });
        tokio::select! {
            biased;
            () = shutdown => {}
            () = view.asked_to_drain() => tracing::info!("an operator asked for the drain"),
            () = follow(watch, &mut reign) => {}
        }
        drain(&reign.site(), hurry).await;
        floods.settle();
        stop_admin.cancel();
    }
}

/// Lets every configuration that the file comes to hold come into force.
async fn follow(watch: Option<Watch>, reign: &mut Reign) {
    let Some(watch) = watch else { return pending().await };
    let metrics = Arc::clone(&reign.site().house.metrics);
    watch.run(&metrics, |proposal| reign.succeed(proposal).map_err(|error| error.to_string())).await;
}

/// Tells, waits, cuts, waits: all within the drain's time.
async fn drain(site: &Site, hurry: impl Future<Output = ()>) {
    let Site { house, tasks, .. } = site;
    let began = Instant::now();
    tracing::info!(sessions = house.registry.count(), timeout = ?house.drain.timeout(), "draining");
    house.metrics.drain_began();
    house.gate.drain();
    house.drain.begin();
    tasks.close();
    let say = |cutting| {
        let left = house.registry.count();
        match cutting {
            Cutting::InTurns => {
                tracing::info!(sessions = left, "cutting what is left");
                house.metrics.drain_cuts(left);
            }
            Cutting::AtOnce => tracing::info!(sessions = left, "in a hurry: cutting what is left at once"),
        }
    };
    tokio::select! {
        biased;
        () = tasks.wait() => {}
        () = house.drain.run_out(hurry, say) => {}
    }
    let left = house.registry.count();
    tracing::info!(took_ms = millis(began.elapsed()), left, "drained");
}
