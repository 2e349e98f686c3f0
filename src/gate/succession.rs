//! One gate after another: what a new plan takes over from the gate that was there before.
//!
//! A check that still asks the same keeps its state, and a route that is still there its verdict's age. What is new
//! starts unknown. Whatever else must outlive a plan belongs into [`History`].

use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    Chronicle, Gate, Inner, Plan, Watched,
    announce::Said,
    hand::Hands,
    lane::{Before, LaneKeeper},
    plan::{PlannedCheck, PlannedLane},
    state::{Fold, Track},
    suspicion::Suspicion,
    view::LastRun,
    visits::Visit,
};

/// What is known from before.
#[derive(Default)]
pub(super) struct History<'a>(Option<Past<'a>>);

struct Past<'a> {
    gate: &'a Arc<Inner>,
    plan: &'a Plan,
}

/// Gates whose place was taken, the eldest first: those who wait there may be told, too.
#[derive(Debug, Default)]
pub(super) struct Former(Vec<Weak<Inner>>);

impl Gate {
    /// A gate after `plan` in the place of this one, whose plan was `before`. From here on this one is silent: neither
    /// log nor metrics speak of it.
    #[must_use]
    pub fn succeeded_by(&self, plan: &Plan, before: &Plan) -> Self {
        self.inner.visits.retire();
        let history = History(Some(Past { gate: &self.inner, plan: before }));
        Self::after(&history, plan, Arc::clone(&self.inner.metrics))
    }

    /// The gates before this one that somebody still depends on.
    pub(super) fn former(&self) -> impl Iterator<Item = Self> {
        self.inner.former.0.iter().filter_map(Weak::upgrade).map(|inner| Self { inner })
    }

    /// Does something to this gate and to [`Self::former`].
    pub(super) fn and_former(&self, act: impl Fn(&Self)) {
        act(self);
        self.former().for_each(|gate| act(&gate));
    }

    /// Whether there is a route with this path.
    #[must_use]
    pub fn has_route(&self, path: &str) -> bool {
        self.inner.lanes.iter().any(|lane| lane.path.as_deref() == Some(path))
    }

    /// Whether a route with this path needs a check of this name.
    #[must_use]
    pub fn needs(&self, path: &str, check: &str) -> bool {
        let is_it = |index: &usize| self.inner.checks.get(*index).is_some_and(|watched| watched.name == check);
        let mut lanes = self.inner.lanes.iter().filter(|lane| lane.path.as_deref() == Some(path));
        lanes.any(|lane| lane.needs.iter().any(is_it))
    }

    /// Whether a check of this name is run, of this kind where one is given.
    #[must_use]
    pub fn has_check(&self, name: &str, kind: Option<&str>) -> bool {
        let is_it = |check: &Watched| check.name == name && kind.is_none_or(|kind| check.kind == kind);
        self.inner.checks.iter().any(is_it)
    }

    /// Somebody comes who is not past the gate yet. None where the gate was replaced and the last of them has left.
    #[must_use]
    pub fn visit(&self) -> Option<Visit> {
        self.inner.visits.begin()
    }

    /// Another gate took its place.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.inner.visits.is_retired()
    }

    /// It was replaced, and nobody depends on it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.inner.visits.is_over()
    }

    /// Resolves when nobody depends on it any more; from there on it lets nobody in.
    pub async fn over(&self) {
        self.inner.visits.over().await;
    }
}

impl History<'_> {
    /// The check's memory, its last run, and what is suspected of it.
    pub(super) fn check(&self, planned: &PlannedCheck, now: SystemTime) -> ((Track, Option<LastRun>), Suspicion) {
        let mut track = planned.track(now);
        let Some((past, index)) = self.place_of(planned) else { return ((track, None), Suspicion::default()) };
        let board = past.gate.board();
        if let Some(before) = board.fold.checks().get(index) {
            track.adopt(before);
        }
        let suspicion = board.suspicions.get(index).cloned().unwrap_or_default();
        ((track, board.last.get(index).copied().flatten()), suspicion)
    }

    /// A check of the same name that asks the same. Its rhythm may be another, and so may what its failure means.
    fn place_of(&self, planned: &PlannedCheck) -> Option<(&Past<'_>, usize)> {
        let past = self.0.as_ref()?;
        let is_it =
            |before: &PlannedCheck| before.check.name == planned.check.name && before.check.kind == planned.check.kind;
        past.plan.checks.iter().position(is_it).map(|index| (past, index))
    }

    /// The lane, and what was last said of it: of the route with the same path, or of one that begins at this moment with
    /// what `fold` says.
    pub(super) fn lane(
        &self,
        planned: &PlannedLane,
        plan: &Plan,
        fold: &Fold,
        (now, born): (SystemTime, Instant),
    ) -> (LaneKeeper, Said) {
        let new = || (Before::nothing(fold.verdict(&planned.needs), born), Said::new(now, born));
        let (before, said) = self.known(planned).unwrap_or_else(new);
        (LaneKeeper::new(planned, plan.blocking(planned), before), said)
    }

    fn known(&self, planned: &PlannedLane) -> Option<(Before, Said)> {
        let past = self.0.as_ref()?;
        let index = past.gate.lanes.iter().position(|lane| lane.path == planned.path)?;
        let said = past.gate.board().said.get(index)?.clone();
        Some((past.gate.lanes.get(index)?.before(), said))
    }

    /// What verdicts have been.
    pub(super) fn chronicle(&self) -> Arc<Chronicle> {
        self.0.as_ref().map_or_else(|| Arc::new(Chronicle::new()), |past| Arc::clone(&past.gate.chronicle))
    }

    /// The operator's hands.
    pub(super) fn hands(&self) -> Hands {
        self.0.as_ref().map(|past| past.gate.hands()).unwrap_or_default()
    }

    /// The gate before, and those before it.
    pub(super) fn former(&self) -> Former {
        let Some(past) = &self.0 else { return Former::default() };
        let elder = past.gate.former.0.iter().filter(|gate| gate.strong_count() > 0).cloned();
        Former(elder.chain([Arc::downgrade(past.gate)]).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        config::{Config, Environment},
        gate::{CheckState, Class, Failure, Forced, Hand, Verdict, hand::Reason},
        telemetry::metrics::Metrics,
    };

    const CACHE: &str = "[dependencies.cache]\ncheck = \"tcp://h:1\"\n";

    fn plan(lines: &str) -> Plan {
        let text = format!("upstream = {{ url = \"http://h\", check = \"/\" }}\n{lines}");
        Plan::of(&Config::parse(&text, "proxy.toml", &Environment::with_variables([])).unwrap())
    }

    fn open(plan: &Plan) -> Gate {
        let gate = Gate::of(plan, Metrics::new());
        (0..plan.checks.len()).for_each(|index| pass(&gate, index));
        assert_eq!(gate.verdict(), Verdict::Open);
        gate
    }

    fn pass(gate: &Gate, index: usize) {
        gate.report(index, Ok(()), Duration::from_millis(1), SystemTime::now());
    }

    fn fail(gate: &Gate, index: usize) {
        let failure = Failure { class: Class::Refused, reason: "nothing listens".to_owned(), hint: None };
        (0..3).for_each(|_| {
            gate.report(index, Err(failure.clone()), Duration::ZERO, SystemTime::now());
        });
    }

    fn states(gate: &Gate) -> Vec<CheckState> {
        gate.snapshot().checks.iter().map(|check| check.state).collect()
    }

    #[test]
    fn checks_that_ask_the_same_keep_their_state_and_the_gate_stays_open() {
        let before = plan(CACHE);
        let gate = open(&before);
        let after = plan(&format!("probe.interval = \"1s\"\n{CACHE}"));
        assert_ne!(after, before);
        let next = gate.succeeded_by(&after, &before);
        assert_eq!((next.verdict(), states(&next)), (Verdict::Open, vec![CheckState::Passing; 2]));
        let (old, new) = (gate.snapshot(), next.snapshot());
        assert_eq!(new.routes[0].since, old.routes[0].since);
        assert_eq!(new.checks[1].last_checked, old.checks[1].last_checked);
        assert_eq!(next.lane(0).opened_at(), gate.lane(0).opened_at());
        assert!(next.lane(0).opened_at().is_some());
    }

    #[test]
    fn a_check_that_asks_something_else_starts_unknown() {
        let before = plan(CACHE);
        let gate = open(&before);
        let next = gate.succeeded_by(&plan(&CACHE.replace("h:1", "h:2")), &before);
        assert_eq!(states(&next), [CheckState::Passing, CheckState::Unknown]);
        assert_eq!(next.verdict().label(), "shut");
        assert_eq!(gate.verdict(), Verdict::Open);
    }

    #[test]
    fn a_gate_opens_when_what_kept_it_shut_is_needed_no_more() {
        let before = plan(CACHE);
        let gate = open(&before);
        fail(&gate, 1);
        let next = gate.succeeded_by(&plan(""), &before);
        assert_eq!((gate.verdict().label(), next.verdict()), ("shut", Verdict::Open));
        assert!(next.lane(0).turn(1).now_or_never().is_some());
        assert!(next.snapshot().routes[0].since > gate.snapshot().routes[0].since);
    }

    #[test]
    fn a_failing_check_keeps_its_count_its_reason_and_its_age() {
        let before = plan(CACHE);
        let gate = open(&before);
        fail(&gate, 1);
        let next = gate.succeeded_by(&plan(&format!("{CACHE}required = false\n")), &before);
        assert_eq!(next.verdict().missing(), gate.verdict().blockers());
    }

    #[test]
    fn a_hand_survives_and_one_that_is_laid_on_later_reaches_those_who_wait_before() {
        let before = plan("");
        let first = Gate::of(&before, Metrics::new());
        let since = SystemTime::now();
        let hand = |forced| Hand { forced, reason: Reason::default(), since, until: None };
        first.force(None, &hand(Forced::Open)).unwrap();
        let after = plan(CACHE);
        let second = first.succeeded_by(&after, &before);
        let third = second.succeeded_by(&before, &after);
        assert_eq!([&first, &second, &third].map(Gate::verdict), [const { Verdict::Open }; 3]);
        third.free(None, since).unwrap();
        assert_eq!([&first, &second, &third].map(|gate| gate.verdict().label()), ["shut"; 3]);
        third.drain();
        assert_eq!([&first, &second, &third].map(Gate::verdict), [const { Verdict::Draining }; 3]);
    }

    #[test]
    fn what_verdicts_have_been_is_remembered_and_heard_of_the_gate_in_force_alone() {
        let before = plan("");
        let gate = open(&before);
        let mut bell = gate.chronicle().subscribe();
        let next = gate.succeeded_by(&plan(CACHE), &before);
        assert!(bell.has_changed().unwrap());
        bell.mark_unchanged();
        fail(&gate, 0);
        assert!(!bell.has_changed().unwrap());
        let told: Vec<_> = next.chronicle().last().iter().map(|change| change.to).collect();
        assert_eq!(told, ["shut", "open"]);
    }

    #[test]
    fn a_gate_that_was_replaced_speaks_no_more() {
        let (before, metrics) = (plan(""), Metrics::new());
        let gate = Gate::of(&before, Arc::clone(&metrics));
        pass(&gate, 0);
        let next = gate.succeeded_by(&plan(CACHE), &before);
        fail(&gate, 0);
        pass(&next, 1);
        assert_eq!((gate.verdict().label(), next.verdict()), ("shut", Verdict::Open));
        assert!(metrics.render().contains("readygate_gate_verdict{route=\"*\",verdict=\"open\"} 1\n"));
    }
}
