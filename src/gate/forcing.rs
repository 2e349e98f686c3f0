//! Laying a hand on the gate and taking it off. A hand with an end has a timer of its own; without one there is none.

use std::{sync::Arc, time::SystemTime};

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Board, Gate, Inner,
    hand::{self, Forced, Hand, Hands},
    lane::LaneKeeper,
};

/// No route has this path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoute;

/// A hand where it lies.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) hand: Hand,
    /// Ends with the hand.
    _timer: Option<AbortOnDropHandle<()>>,
}

/// Why a hand went.
#[derive(Clone, Copy, Debug)]
enum Gone {
    TakenOff,
    Expired,
}

impl Gate {
    /// Lays `hand` on the route with this path, or on everything: every route, and the plain requests that wait for the
    /// upstream alone; under an earlier configuration too. It takes the place of one that lies there. Must be called in a runtime.
    ///
    /// # Errors
    /// [`NoRoute`], and nothing changes.
    pub fn force(&self, path: Option<&str>, hand: &Hand) -> Result<(), NoRoute> {
        let on = |gate: &Self| {
            gate.inner.on_lanes(path, hand.since, |inner, board, lane| inner.lay(board, lane, hand.clone()))
        };
        on(self)?;
        for gate in self.former() {
            // It may not know the route.
            let _ = on(&gate);
        }
        Ok(())
    }

    /// Takes hands off the route with this path, or off everything: the checks decide again.
    ///
    /// # Errors
    /// [`NoRoute`], and nothing changes.
    pub fn free(&self, path: Option<&str>, now: SystemTime) -> Result<(), NoRoute> {
        let on = |gate: &Self| {
            gate.inner.on_lanes(path, now, |inner, board, lane| inner.take_off(board, lane, Gone::TakenOff))
        };
        on(self)?;
        for gate in self.former() {
            // It may not know the route.
            let _ = on(&gate);
        }
        Ok(())
    }

    /// What lies on each lane, for a gate that is to follow this one.
    #[must_use]
    pub fn hands(&self) -> Hands {
        self.inner.hands()
    }

    /// Lays on what lay on the gate before this one; routes that are gone take their hands with them. Must be called in a
    /// runtime.
    pub fn take_over(&self, hands: &Hands, now: SystemTime) {
        let _ = self.inner.on_lanes(None, now, |inner, board, lane| {
            let inherited = hand::inherited(hands, inner.lanes[lane].path.as_deref());
            if let Some(hand) = inherited.filter(|hand| !hand.is_over(now)) {
                inner.lay(board, lane, hand);
            }
        });
    }
}

impl Inner {
    pub(super) fn hands(&self) -> Hands {
        let board = self.board();
        let laid = board.hands.iter().map(|laid| laid.as_ref().map(|laid| laid.hand.clone()));
        self.lanes.iter().map(|lane| lane.path.clone()).zip(laid).collect()
    }

    /// Does something to each lane that `path` means (none: to all), and lets everybody know.
    fn on_lanes(
        self: &Arc<Self>,
        path: Option<&str>,
        now: SystemTime,
        mut act: impl FnMut(&Arc<Self>, &mut Board, usize),
    ) -> Result<(), NoRoute> {
        let is_meant = |lane: &&usize| path.is_none() || self.lanes[**lane].path.as_deref() == path;
        let all: Vec<usize> = (0..self.lanes.len()).collect();
        let mut meant = all.iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            return Err(NoRoute);
        }
        let mut board = self.board();
        meant.for_each(|lane| act(self, &mut board, *lane));
        self.settle(&mut board, now);
        Ok(())
    }

    fn lay(self: &Arc<Self>, board: &mut Board, lane: usize, hand: Hand) {
        if !self.visits.is_retired() {
            self.lanes[lane].tell_of(&hand);
        }
        self.count_forced(lane, Some(hand.forced));
        let timer = hand.until.map(|until| self.timer(lane, until));
        board.hands[lane] = Some(Laid { hand, _timer: timer });
    }

    fn take_off(&self, board: &mut Board, lane: usize, gone: Gone) {
        if let Some(Laid { hand, .. }) = board.hands[lane].take() {
            self.count_forced(lane, None);
            if !self.visits.is_retired() {
                self.lanes[lane].tell_of_the_end(&hand, gone);
            }
        }
    }

    /// Keeps no gate alive that nobody else does.
    fn timer(self: &Arc<Self>, lane: usize, until: SystemTime) -> AbortOnDropHandle<()> {
        let (gate, left) = (Arc::downgrade(self), until.duration_since(SystemTime::now()).unwrap_or_default());
        let over = sleep(left);
        AbortOnDropHandle::new(tokio::spawn(async move {
            over.await;
            if let Some(gate) = gate.upgrade() {
                gate.expire(lane, until);
            }
        }))
    }

    /// What lies there may be another by this time, with a later end or none.
    fn expire(&self, lane: usize, now: SystemTime) {
        let mut board = self.board();
        if board.hands[lane].as_ref().is_some_and(|laid| laid.hand.is_over(now)) {
            self.take_off(&mut board, lane, Gone::Expired);
            self.settle(&mut board, now);
        }
    }

    pub(super) fn count_forced(&self, lane: usize, forced: Option<Forced>) {
        if let Some(path) = self.lanes[lane].path.as_ref().filter(|_| !self.visits.is_retired()) {
            self.metrics.forced(path, forced.map(Forced::label));
        }
    }
}

impl LaneKeeper {
    fn tell_of(&self, hand: &Hand) {
        let Some(route) = &self.path else { return };
        let until = hand.until.map(|until| humantime::format_rfc3339_seconds(until).to_string());
        let (verdict, reason) = (hand.forced.label(), hand.reason.as_str());
        tracing::warn!(route, verdict, reason, until, "gate forced {verdict} by hand");
    }

    fn tell_of_the_end(&self, hand: &Hand, gone: Gone) {
        let Some(route) = &self.path else { return };
        let (verdict, reason) = (hand.forced.label(), hand.reason.as_str());
        match gone {
            Gone::TakenOff => tracing::info!(route, verdict, reason, "the hand is off the gate"),
            Gone::Expired => tracing::info!(route, verdict, reason, "the hand is off the gate: its time is over"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::{advance, sleep};

    use super::{
        super::{
            Verdict,
            hand::Reason,
            tests::{logged, pass, plan},
        },
        *,
    };
    use crate::{gate::Plan, telemetry::metrics::Metrics};

    const MINUTE: Duration = Duration::from_secs(60);

    /// `/a` and `*`.
    fn two_routes() -> Plan {
        let mut plan = plan(1);
        plan.lanes.insert(0, plan.lanes[0].clone());
        plan.lanes[0].path = Some("/a".to_owned());
        plan
    }

    fn gate() -> Gate {
        Gate::of(&two_routes(), Metrics::new())
    }

    fn hand(forced: Forced, lasts: Option<Duration>) -> Hand {
        let since = SystemTime::now();
        Hand { forced, reason: Reason::new("test".to_owned()).unwrap(), since, until: lasts.map(|time| since + time) }
    }

    fn verdicts(gate: &Gate) -> [&'static str; 3] {
        [gate.lane(0), gate.lane(1), gate.upstream()].map(|lane| lane.verdict().label())
    }

    #[tokio::test]
    async fn a_hand_on_one_route_leaves_the_others_to_the_checks() {
        let gate = gate();
        gate.force(Some("/a"), &hand(Forced::Open, None)).unwrap();
        assert_eq!(verdicts(&gate), ["open", "shut", "shut"]);
        pass(&gate);
        gate.force(Some("/a"), &hand(Forced::Shut, None)).unwrap();
        assert_eq!(verdicts(&gate), ["shut", "open", "open"]);
        gate.free(Some("/a"), SystemTime::now()).unwrap();
        assert_eq!(verdicts(&gate), ["open"; 3]);
    }

    #[tokio::test]
    async fn a_hand_on_everything_releases_who_waits_whatever_the_checks_say() {
        let gate = gate();
        let lane = gate.lane(1);
        let mut turn = Box::pin(lane.turn(1));
        assert!((&mut turn).now_or_never().is_none());
        gate.force(None, &hand(Forced::Open, None)).unwrap();
        assert!(turn.now_or_never().is_some());
        gate.dial_refused();
        assert_eq!(verdicts(&gate), ["open"; 3]);
        gate.drain();
        assert_eq!(gate.verdict(), Verdict::Draining);
    }

    #[tokio::test]
    async fn an_unknown_route_changes_nothing() {
        let gate = gate();
        assert_eq!(gate.force(Some("/b"), &hand(Forced::Open, None)), Err(NoRoute));
        assert_eq!(gate.free(Some("/b"), SystemTime::now()), Err(NoRoute));
        assert_eq!(verdicts(&gate), ["shut"; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hand_goes_when_its_time_is_over_and_not_with_the_time_of_one_before_it() {
        let gate = gate();
        gate.force(None, &hand(Forced::Open, Some(MINUTE))).unwrap();
        gate.force(Some("/a"), &hand(Forced::Open, Some(MINUTE * 3))).unwrap();
        advance(MINUTE - Duration::from_secs(1)).await;
        assert_eq!(verdicts(&gate), ["open"; 3]);
        sleep(MINUTE).await;
        assert_eq!(verdicts(&gate), ["open", "shut", "shut"]);
        sleep(MINUTE * 2).await;
        assert_eq!(verdicts(&gate), ["shut"; 3]);
    }

    #[tokio::test]
    async fn a_gate_shut_by_hand_alone_hurries_no_check() {
        let gate = gate();
        pass(&gate);
        gate.force(None, &hand(Forced::Shut, None)).unwrap();
        assert!(gate.is_calm());
        gate.report(0, Err(super::super::tests::unready()), Duration::ZERO, SystemTime::now());
        assert!(!gate.is_calm());
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_that_follows_has_the_hands_of_the_one_before_with_what_is_left_of_their_time() {
        let before = gate();
        before.force(None, &hand(Forced::Open, Some(MINUTE))).unwrap();
        before.free(Some("/a"), SystemTime::now()).unwrap();
        let mut plan = two_routes();
        plan.lanes.insert(0, plan.lanes[0].clone());
        plan.lanes[0].path = Some("/new".to_owned());
        let after = Gate::of(&plan, Metrics::new());
        after.take_over(&before.hands(), SystemTime::now());
        let paths = |gate: &Gate| -> Vec<bool> { gate.hands().iter().map(|(_, hand)| hand.is_some()).collect() };
        assert_eq!(paths(&after), [true, false, true, true], "/new, /a, * and plain requests");
        drop(before);
        sleep(MINUTE * 2).await;
        assert_eq!(paths(&after), [false; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_hand_is_a_line_when_it_comes_and_when_it_goes_and_a_number_meanwhile() {
        let metrics = Metrics::new();
        let gate = Gate::of(&two_routes(), std::sync::Arc::clone(&metrics));
        let shows = |line: &str| assert!(metrics.render().lines().any(|shown| shown == line), "{line}");
        shows("readygate_gate_forced{route=\"/a\",verdict=\"open\"} 0");
        let text = logged(|| gate.force(Some("/a"), &hand(Forced::Open, None)).unwrap());
        assert!(text.contains("WARN") && text.contains("gate forced open by hand route=\"/a\""), "{text}");
        assert!(text.contains("reason=\"test\"") && text.contains("gate open"), "{text}");
        shows("readygate_gate_forced{route=\"/a\",verdict=\"open\"} 1");
        shows("readygate_gate_forced{route=\"*\",verdict=\"open\"} 0");
        let text = logged(|| gate.free(None, SystemTime::now()).unwrap());
        assert_eq!(text.matches("the hand is off the gate").count(), 1, "{text}");
        shows("readygate_gate_forced{route=\"/a\",verdict=\"open\"} 0");
    }
}
