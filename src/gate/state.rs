//! The fold from check results to verdicts. PURE.
//!
//! Each check is *unknown* until it has passed `rise` times in a row or failed once. *Passing*, it takes `fall`
//! failures in a row to become *failing*; failing, it takes `rise` passes in a row to become passing. A refused
//! dial of a session is proof and makes every check of the upstream failing at once. A route's gate is shut while one
//! of the required checks that it needs is not passing, degraded while only optional ones are not, draining for
//! good once told so, and open otherwise.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    plan::Role,
    verdict::{Blocker, CheckState, Class, Failure, Verdict},
};

/// The memory of every check, and the verdicts that follow from it.
#[derive(Debug)]
pub struct Fold {
    checks: Vec<Track>,
    draining: bool,
}

/// One check's results so far.
#[derive(Debug)]
pub struct Track {
    name: String,
    role: Role,
    rise: u32,
    fall: u32,
    state: CheckState,
    passes: u32,
    failures: u32,
    failure: Failure,
    since: SystemTime,
    refused_at: Option<SystemTime>,
}

impl Fold {
    /// The memory of these checks.
    #[must_use]
    pub fn new(checks: Vec<Track>) -> Self {
        Self { checks, draining: false }
    }

    /// Takes the result of a run of check `index` that took `took` and ended `now`, and says where that leaves the
    /// check. An index that does not exist is unknown, and nothing changes.
    pub fn report(&mut self, index: usize, result: Result<(), Failure>, took: Duration, now: SystemTime) -> CheckState {
        let Some(check) = self.checks.get_mut(index) else { return CheckState::Unknown };
        check.take(result, took, now);
        check.state
    }

    /// A session's dial was refused: whatever the checks said before, the upstream is gone. True if that is news.
    pub fn refused_dial(&mut self, now: SystemTime) -> bool {
        let mut upstream: Vec<_> = self.checks.iter_mut().filter(|check| check.role == Role::Upstream).collect();
        let news = upstream.iter().any(|check| check.state != CheckState::Failing);
        upstream.iter_mut().for_each(|check| check.contradict(now));
        news
    }

    /// The process goes down; no result changes that.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// What follows for a route that needs these checks.
    #[must_use]
    pub fn verdict(&self, needs: &[usize]) -> Verdict {
        if self.draining { Verdict::Draining } else { self.judged(needs) }
    }

    /// The same, were it not for the drain.
    #[must_use]
    pub fn judged(&self, needs: &[usize]) -> Verdict {
        let blockers = self.failing(needs, |role| role != Role::Optional);
        if !blockers.is_empty() {
            return Verdict::Shut { blockers };
        }
        let missing = self.failing(needs, |role| role == Role::Optional);
        if missing.is_empty() { Verdict::Open } else { Verdict::Degraded { missing } }
    }

    fn failing(&self, needs: &[usize], counts: impl Fn(Role) -> bool) -> Arc<[Blocker]> {
        let needed = needs.iter().filter_map(|index| self.checks.get(*index));
        needed.filter(|check| counts(check.role)).filter_map(Track::blocker).collect()
    }

    /// Every check, in the order given at the start.
    #[must_use]
    pub fn checks(&self) -> &[Track] {
        &self.checks
    }
}

impl Track {
    /// A check of which nothing is known: it takes `rise` passes in a row to pass, then `fall` failures in a row to
    /// fail (0 counts as 1).
    #[must_use]
    pub fn new(name: &str, role: Role, rise: u32, fall: u32, now: SystemTime) -> Self {
        let failure = Failure { class: Class::NotReady, reason: "not checked yet".to_owned(), hint: None };
        let (name, state) = (name.to_owned(), CheckState::Unknown);
        Self { name, role, rise, fall, state, passes: 0, failures: 0, failure, since: now, refused_at: None }
    }

    /// Where the check stands.
    #[must_use]
    pub fn state(&self) -> CheckState {
        self.state
    }

    /// Why it keeps the gate shut, if it does.
    #[must_use]
    pub fn blocker(&self) -> Option<Blocker> {
        if self.state == CheckState::Passing {
            return None;
        }
        let Failure { class, reason, hint } = self.failure.clone();
        Some(Blocker { check: self.name.clone(), class, reason, hint, since: self.since })
    }

    /// Goes on where `before`, which asked the same, has come to.
    pub(super) fn adopt(&mut self, before: &Self) {
        (self.state, self.passes, self.failures) = (before.state, before.passes, before.failures);
        (self.failure, self.since) = (before.failure.clone(), before.since);
    }

    fn take(&mut self, result: Result<(), Failure>, took: Duration, now: SystemTime) {
        let begun = now.checked_sub(took).unwrap_or(now);
        // At most one run is under way, so at most one result can be older than the refusal.
        let outdated = self.refused_at.take().is_some_and(|refused| begun < refused);
        match result {
            Ok(()) if outdated => {}
            Ok(()) => self.pass(),
            Err(failure) => self.fail(failure, now),
        }
    }

    fn pass(&mut self) {
        self.failures = 0;
        self.passes = self.passes.saturating_add(1);
        if self.passes >= self.rise {
            self.state = CheckState::Passing;
        } else if self.state == CheckState::Unknown {
            self.failure.reason = format!("passed {} of {} times in a row", self.passes, self.rise);
        }
    }

    fn fail(&mut self, failure: Failure, now: SystemTime) {
        if self.failures == 0 && self.state != CheckState::Failing {
            self.since = now;
        }
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        self.failure = failure;
        if self.state != CheckState::Passing || self.failures >= self.fall {
            self.state = CheckState::Failing;
        }
    }

    fn contradict(&mut self, now: SystemTime) {
        self.refused_at = Some(now);
        self.passes = 0;
        if self.state == CheckState::Failing {
            return;
        }
        let reason = "a session's dial was refused".to_owned();
        self.fail(Failure { class: Class::Refused, reason, hint: Some("did the backend stop?") }, now);
        self.state = CheckState::Failing;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn fold(rise: u32, fall: u32) -> Fold {
        Fold::new(vec![Track::new("upstream", Role::Upstream, rise, fall, at(0))])
    }

    fn busy() -> Result<(), Failure> {
        Err(Failure { class: Class::NotReady, reason: "busy".to_owned(), hint: None })
    }

    fn first_blocker(fold: &Fold) -> Blocker {
        fold.checks()[0].blocker().expect("the check blocks")
    }

    #[test]
    fn the_gate_starts_shut_because_nothing_was_checked() {
        let blocker = &fold(1, 3).verdict(&[0, 1]).blockers()[0].clone();
        assert_eq!((blocker.class, blocker.reason.as_str()), (Class::NotReady, "not checked yet"));
    }

    #[test]
    fn the_gate_opens_once_every_check_has_passed_as_often_as_it_must() {
        let mut fold = Fold::new(vec![
            Track::new("upstream", Role::Upstream, 2, 3, at(0)),
            Track::new("upstream-2", Role::Upstream, 1, 3, at(0)),
        ]);
        fold.report(0, Ok(()), NO_TIME, at(1));
        assert_eq!(first_blocker(&fold).reason, "passed 1 of 2 times in a row");
        fold.report(0, Ok(()), NO_TIME, at(2));
        assert_eq!(fold.verdict(&[0, 1]).blockers().len(), 1);
        assert_eq!(fold.report(1, Ok(()), NO_TIME, at(3)), CheckState::Passing);
        assert_eq!(fold.verdict(&[0, 1]), Verdict::Open);
    }

    #[test]
    fn a_first_failure_takes_the_place_of_not_checked_yet() {
        let mut fold = fold(1, 3);
        assert_eq!(fold.report(0, busy(), NO_TIME, at(4)), CheckState::Failing);
        assert_eq!((first_blocker(&fold).reason.as_str(), first_blocker(&fold).since), ("busy", at(4)));
    }

    #[test]
    fn a_passing_check_falls_only_after_its_failures_in_a_row_and_since_the_first() {
        let mut fold = fold(1, 2);
        fold.report(0, Ok(()), NO_TIME, at(1));
        fold.report(0, busy(), NO_TIME, at(2));
        fold.report(0, Ok(()), NO_TIME, at(3));
        fold.report(0, busy(), NO_TIME, at(4));
        assert!(fold.verdict(&[0, 1]).is_open());
        fold.report(0, busy(), NO_TIME, at(5));
        assert_eq!(first_blocker(&fold).since, at(4));
    }

    #[test]
    fn a_failing_check_rises_only_after_its_passes_in_a_row() {
        let mut fold = fold(2, 1);
        for result in [busy(), Ok(()), busy(), Ok(())] {
            assert_eq!(fold.report(0, result, NO_TIME, at(1)), CheckState::Failing);
        }
        assert_eq!(fold.report(0, Ok(()), NO_TIME, at(2)), CheckState::Passing);
    }

    #[test]
    fn a_refused_dial_shuts_the_gate_at_once() {
        let mut fold = fold(1, 3);
        fold.report(0, Ok(()), NO_TIME, at(1));
        assert!(fold.refused_dial(at(2)));
        assert!(!fold.refused_dial(at(3)), "known already");
        assert_eq!((first_blocker(&fold).class, first_blocker(&fold).since), (Class::Refused, at(2)));
    }

    #[test]
    fn a_pass_that_began_before_the_refused_dial_does_not_open_the_gate_and_the_next_does() {
        let mut fold = fold(1, 3);
        fold.report(0, Ok(()), NO_TIME, at(1));
        fold.refused_dial(at(10));
        assert_eq!(fold.report(0, Ok(()), Duration::from_secs(2), at(11)), CheckState::Failing);
        assert_eq!(fold.report(0, Ok(()), Duration::from_secs(2), at(11)), CheckState::Passing);
    }

    #[test]
    fn no_result_ends_the_drain() {
        let mut fold = fold(1, 1);
        fold.drain();
        fold.report(0, Ok(()), NO_TIME, at(1));
        assert_eq!(fold.verdict(&[0, 1]), Verdict::Draining);
    }

    #[test]
    fn a_result_for_a_check_that_does_not_exist_changes_nothing() {
        let mut fold = fold(1, 1);
        assert_eq!(fold.report(7, Ok(()), NO_TIME, at(1)), CheckState::Unknown);
        assert!(!fold.verdict(&[0, 1]).is_open());
    }

    fn three() -> Fold {
        let track = |name, role| Track::new(name, role, 1, 1, at(0));
        let roles = [("upstream", Role::Upstream), ("cache", Role::Required), ("llm", Role::Optional)];
        let mut fold = Fold::new(roles.map(|(name, role)| track(name, role)).into());
        for index in 0..3 {
            fold.report(index, Ok(()), NO_TIME, at(1));
        }
        fold
    }

    #[test]
    fn r14_a_required_dependency_shuts_only_the_routes_that_need_it() {
        let mut fold = three();
        fold.report(1, busy(), NO_TIME, at(2));
        assert_eq!(fold.verdict(&[0, 1, 2]).blockers()[0].check, "cache");
        assert_eq!(fold.verdict(&[0, 2]), Verdict::Open);
    }

    #[test]
    fn r14_an_optional_dependency_degrades_and_does_not_shut() {
        let mut fold = three();
        fold.report(2, busy(), NO_TIME, at(2));
        let verdict = fold.verdict(&[0, 1, 2]);
        assert!(verdict.is_open());
        assert_eq!((verdict.label(), verdict.missing()[0].check.as_str()), ("degraded", "llm"));
        assert_eq!(fold.verdict(&[0, 1]), Verdict::Open);
    }

    #[test]
    fn what_blocks_goes_before_what_is_missing() {
        let mut fold = three();
        fold.report(1, busy(), NO_TIME, at(2));
        fold.report(2, busy(), NO_TIME, at(2));
        let verdict = fold.verdict(&[0, 1, 2]);
        assert_eq!((verdict.blockers().len(), verdict.missing().len()), (1, 0));
    }

    #[test]
    fn a_refused_dial_says_nothing_of_dependencies() {
        let mut fold = three();
        fold.refused_dial(at(2));
        assert_eq!(fold.checks()[1].state(), CheckState::Passing);
        assert_eq!(fold.verdict(&[0, 1, 2]).blockers().len(), 1);
    }
}
