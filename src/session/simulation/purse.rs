//! The budget that all holds of a scene share, watched from outside: never more is taken than there was at most, and at
//! rest as much as the living hold.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::scene::Gates;
use crate::{
    hold::budget::Budget,
    session::{registry::Registry, state::State},
};

/// What a session may have beside its hold: a header or a control frame that is not all there.
const UNFINISHED: usize = 14 + 125;

/// What comes with a request is kept whatever the limit of a hold.
const GLUED: usize = 200;

/// A budget with its history.
#[derive(Debug)]
pub(super) struct Purse {
    budget: Arc<Budget>,
    /// The largest limits so far: what was taken under them stays taken under lower ones.
    most: Mutex<(usize, usize)>,
    /// The largest hold so far.
    most_held: AtomicUsize,
    /// Leases that are no session's.
    sharers: AtomicUsize,
}

impl Purse {
    /// A purse of holds with so many bytes each.
    pub(super) fn new(budget: &Arc<Budget>, hold: usize) -> Arc<Self> {
        let most = Mutex::new(budget.limits());
        Arc::new(Self {
            budget: Arc::clone(budget),
            most,
            most_held: AtomicUsize::new(hold),
            sharers: AtomicUsize::new(0),
        })
    }

    /// The limits were changed, those of a hold to `hold`.
    pub(super) fn limited(&self, hold: usize) {
        self.most_held.fetch_max(hold, Ordering::Relaxed);
        let (bytes, sessions) = self.budget.limits();
        let mut most = self.most.lock().unwrap();
        *most = (most.0.max(bytes), most.1.max(sessions));
    }

    pub(super) fn check(&self) {
        let most = *self.most.lock().unwrap();
        let taken = (self.budget.bytes(), self.budget.sessions());
        assert!(taken.0 <= most.0 && taken.1 <= most.1, "{taken:?} taken of the budget {most:?}");
    }

    /// Somebody else has some of it.
    pub(super) fn is_shared(&self) -> bool {
        self.sharers.load(Ordering::Relaxed) > 0
    }

    /// Somebody else takes all there is, for a while.
    pub(super) async fn spend(&self, time: Duration) {
        let Some(mut lease) = self.budget.enter() else { return };
        self.sharers.fetch_add(1, Ordering::Relaxed);
        let _ = lease.grow(usize::MAX / 2);
        sleep(time).await;
        drop(lease);
        self.sharers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks between the steps of the sessions, when every one of them is at rest.
pub(super) async fn watch(purse: Arc<Purse>, registry: Arc<Registry>, gates: Gates, mut rng: Rng) {
    loop {
        sleep(Duration::from_millis(rng.u64(1..1_500))).await;
        let states = registry.living(Instant::now().into_std());
        let is_in =
            |state: State| states.iter().filter(|view| view.steps.last().unwrap().state == state.label()).count();
        let (held, dialing, open) = (is_in(State::Held), is_in(State::Dialing), is_in(State::Open));
        let taken = gates.turns_taken();
        assert!(taken <= held + dialing, "{taken} turns are taken, and {held} are held, {dialing} dialing");
        let most_held = purse.most_held.load(Ordering::Relaxed).max(GLUED) + UNFINISHED;
        assert!(states.iter().all(|view| view.held_bytes <= most_held), "more than {most_held} bytes in a hold");
        assert!(states.len() > open || gates.former_are_over(), "nobody waits, and a gate that was replaced goes on");
        if purse.is_shared() {
            continue;
        }
        let (bytes, sessions) = (purse.budget.bytes(), purse.budget.sessions());
        assert!(
            sessions <= states.len() - open,
            "{sessions} places are taken, and {open} of {} are open",
            states.len()
        );
        let kept: usize = states.iter().map(|view| view.held_bytes).sum();
        let most = kept + states.len() * UNFINISHED;
        assert!((kept..=most).contains(&bytes), "{bytes} bytes of the budget are taken, and {kept} are held");
    }
}
