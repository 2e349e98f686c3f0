//! The configuration in force and what was built from it, one generation after another.
//!
//! What comes after a reload meets the new generation; an open or held session keeps the one it began with. What counts,
//! lists, limits and drains is shared by all. A generation that watches the same as the one before keeps its gate and its
//! checks; otherwise the gate hands over to a new one, and the old checks run until nobody depends on them.

use std::{mem, sync::Arc, time::Instant};

use tokio::{sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::StartError;
use crate::{
    admin::View,
    config::{Check, Config, Hold},
    descriptors::Share,
    dial::Dialer,
    gate::{Gate, Plan},
    http::{Proxy, Site, Sites},
    listen::tls::acceptor,
    probe::{self, Lessons, Probe, Timing},
    reload::Proposal,
    session::House,
    telemetry::metrics::Metrics,
    upstream::Backend,
};

/// All generations: the present one, and the former ones as far as somebody depends on them.
pub(super) struct Reign {
    sites: watch::Sender<Arc<Site>>,
    view: Arc<View>,
    share: Share,
    plan: Plan,
    timing: Timing,
    /// Built, and not running yet.
    waiting: Probes,
    /// Of the present gate.
    running: JoinSet<()>,
    /// What they learn.
    learned: Vec<(Check, Lessons)>,
    farewells: JoinSet<()>,
}

/// What a configuration needs beside the house.
struct Parts {
    tls: Option<TlsAcceptor>,
    plan: Plan,
    timing: Timing,
    probes: Probes,
    dialer: Dialer,
}

#[derive(Default)]
struct Probes(Vec<(Check, Box<dyn Probe>, Lessons)>);

impl Reign {
    /// The first generation, whose checks do not run yet.
    pub(super) fn new(config: Config, share: Share) -> Result<Self, StartError> {
        let Parts { tls, plan, timing, probes, dialer } = Parts::build(&config)?;
        let metrics = Metrics::new();
        let gate = Gate::of(&plan, Arc::clone(&metrics));
        let backend = Backend::new(dialer.clone(), config.upstream.handshake_timeout);
        let house = House::new(config, gate, metrics, backend);
        house.budget.carry(share.seats);
        tell_if_cut(house.config.hold.sessions, share);
        let view = view(&house);
        let proxy = Arc::new(Proxy::new(dialer, &house.config.upstream.target, share.idle));
        let site = Site { house: Arc::new(house), proxy, tls, tasks: TaskTracker::new() };
        Ok(Self {
            sites: watch::Sender::new(Arc::new(site)),
            view,
            share,
            plan,
            timing,
            waiting: probes,
            running: JoinSet::new(),
            learned: Vec::new(),
            farewells: JoinSet::new(),
        })
    }

    /// Runs the checks.
    pub(super) fn begin(&mut self) {
        let probes = mem::take(&mut self.waiting);
        self.learned = probes.0.iter().map(|(check, _, lessons)| (check.clone(), lessons.clone())).collect();
        probes.spawn(&self.site().house, self.timing, &mut self.running);
    }

    /// The present site.
    pub(super) fn site(&self) -> Arc<Site> {
        Arc::clone(&self.sites.borrow())
    }

    /// Every present site from here on.
    pub(super) fn sites(&self) -> Sites {
        self.sites.subscribe()
    }

    /// What the admin port sees of the present generation.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The next generation. Where it cannot be built, nothing changes.
    pub(super) fn succeed(&mut self, proposal: Proposal) -> Result<(), StartError> {
        let Proposal { mut config, trust_changed } = proposal;
        let before = self.site();
        config.keep_until_restart(&before.house.config);
        let Parts { tls, plan, timing, probes, dialer } = Parts::build(&config)?;
        let same_gate = !trust_changed && plan == self.plan && timing == self.timing;
        let gate = match same_gate {
            true => before.house.gate.clone(),
            false => before.house.gate.succeeded_by(&plan, &self.plan),
        };
        let proxy = match !trust_changed && is_same_upstream(&before.house.config, &config) {
            true => Arc::clone(&before.proxy),
            false => Arc::new(Proxy::new(dialer.clone(), &config.upstream.target, self.share.idle)),
        };
        if config.hold.sessions != before.house.config.hold.sessions {
            tell_if_cut(config.hold.sessions, self.share);
        }
        let backend = Backend::new(dialer, config.upstream.handshake_timeout);
        let house = Arc::new(before.house.after(config, gate, backend));
        self.view.follow(house.gate.clone(), Arc::new(house.config.clone()));
        self.sites.send_replace(Arc::new(Site { house, proxy, tls, tasks: before.tasks.clone() }));
        if !same_gate {
            self.hand_over(&before.house.gate, probes, plan, timing);
        }
        Ok(())
    }

    /// Runs the new checks, and the old ones until nobody depends on them.
    fn hand_over(&mut self, old: &Gate, probes: Probes, plan: Plan, timing: Timing) {
        let (mut checks, gate) = (mem::take(&mut self.running), old.clone());
        let before = mem::replace(&mut self.plan, plan);
        self.timing = timing;
        self.waiting = probes.taught_by(&self.learned);
        self.begin();
        let (view, metrics) = (Arc::clone(&self.view), Arc::clone(&self.site().house.metrics));
        forget(&before, &view.gate(), &metrics);
        while self.farewells.try_join_next().is_some() {}
        self.farewells.spawn(async move {
            gate.over().await;
            checks.shutdown().await;
            // A result that was being counted when the gate was replaced may have come back.
            forget(&before, &view.gate(), &metrics);
            tracing::info!("the checks of an earlier configuration ended");
        });
    }
}

impl Parts {
    fn build(config: &Config) -> Result<Self, StartError> {
        let plan = Plan::of(config);
        Ok(Self {
            tls: config.server.tls.as_ref().map(acceptor).transpose()?,
            probes: Probes::build(&plan)?,
            plan,
            timing: Timing::of(config),
            dialer: Dialer::new(&config.upstream.target, config.upstream.connect_timeout)?,
        })
    }
}

impl Probes {
    fn build(plan: &Plan) -> Result<Self, StartError> {
        let built = plan.checks.iter().map(|planned| {
            let check = planned.check.clone();
            match probe::build(&check) {
                Ok(probe) => Ok((check, probe, Lessons::default())),
                Err(error) => Err(StartError::Check { name: check.name, error }),
            }
        });
        built.collect::<Result<_, _>>().map(Self)
    }

    /// The same, each with what an earlier one of the same name has learned that asks the same.
    fn taught_by(mut self, learned: &[(Check, Lessons)]) -> Self {
        for (check, _, lessons) in &mut self.0 {
            let is_it = |(before, _): &&(Check, Lessons)| before.name == check.name && before.kind == check.kind;
            if let Some((_, before)) = learned.iter().find(is_it) {
                *lessons = before.handed_on();
            }
        }
        self
    }

    fn spawn(self, house: &House<Backend>, timing: Timing, running: &mut JoinSet<()>) {
        if house.config.upstream.check_is_guess {
            tracing::warn!(
                "upstream.check is not set: a port that takes connections stands for readiness, which it is not; \
                 set upstream.check to a path that answers 200 only when the backend can serve"
            );
        }
        for (index, (check, probe, lessons)) in self.0.into_iter().enumerate() {
            let (gate, metrics) = (house.gate.clone(), Arc::clone(&house.metrics));
            running.spawn(probe::run::run(index, check, probe, gate, metrics, timing, lessons));
        }
    }
}

/// Says so where fewer sessions can be held than are asked for: a warning where somebody asked. The default is only a bound
/// that many a limit of open files stays below.
fn tell_if_cut(configured: usize, share: Share) {
    let Share { limit, seats: in_force, .. } = share;
    if configured <= in_force {
        return;
    }
    if configured == Hold::USUAL_SESSIONS as usize {
        return tracing::info!(limit, in_force, "as many sessions are held as the limit of open files carries");
    }
    tracing::warn!(
        limit,
        configured,
        in_force,
        "hold.sessions is more than the limit of open files carries: raise the limit (ulimit -n, LimitNOFILE) or lower hold.sessions"
    );
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

/// Whether connections to the upstream that are there can go on serving.
fn is_same_upstream(before: &Config, after: &Config) -> bool {
    let (before, after) = (&before.upstream, &after.upstream);
    (&before.target, before.connect_timeout) == (&after.target, after.connect_timeout)
}

/// Takes the series of routes and checks away that `before` had and `gate` has not.
fn forget(before: &Plan, gate: &Gate, metrics: &Metrics) {
    for lane in &before.lanes {
        let Some(path) = lane.path.as_deref().filter(|path| !gate.has_route(path)) else { continue };
        metrics.forget_route(path);
    }
    for (path, check) in before.needs().filter(|(path, check)| !gate.needs(path, check)) {
        metrics.forget_need(path, check);
    }
    for check in before.checks.iter().map(|planned| &planned.check) {
        let (name, kind) = (check.name.as_str(), check.kind.label());
        if !gate.has_check(name, Some(kind)) {
            metrics.forget_kind(name, kind);
        }
        if !gate.has_check(name, None) {
            metrics.forget_check(name);
        }
    }
}
