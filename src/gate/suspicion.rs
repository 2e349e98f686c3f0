//! A check that has never passed although its target answers: a wrong path, a JSON value that is never there. PURE.
//!
//! What starts slowly refuses connections first, or says for a while that it is not ready. What answers for long and never
//! as the check wants it may be asked the wrong question, and then waiting mends nothing.

use std::time::{Duration, SystemTime};

use super::verdict::{Class, Failure};

/// Answers for so long without one pass are suspicious: the default `gate.hold_timeout`, so whoever waited since the first
/// of them has been sent away.
const LONG: Duration = Duration::from_secs(30);

/// So many permanent failures in a row are suspicious at once: a backend whose routes are not mounted yet may answer 404,
/// but hardly that often, for their pauses double.
const PERMANENT: u32 = 3;

/// What is remembered of one check for this.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    passed: bool,
    /// Since when every run had an answer.
    answered_since: Option<SystemTime>,
    /// How many of the last runs failed permanently.
    permanent: u32,
    on: bool,
    told: bool,
}

impl Suspicion {
    /// Takes what a run that ended `now` failed as, if it did. True once: when the suspicion is worth a line.
    pub(super) fn note(&mut self, failed: Option<Class>, now: SystemTime) -> bool {
        match failed {
            None => (self.passed, self.on) = (true, false),
            Some(class) if !self.passed && is_answer(class) => self.answered(class, now),
            Some(_) => *self = Self { passed: self.passed, told: self.told, ..Self::default() },
        }
        let is_news = self.on && !self.told;
        self.told |= self.on;
        is_news
    }

    /// The check is to be looked at.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    fn answered(&mut self, class: Class, now: SystemTime) {
        let since = *self.answered_since.get_or_insert(now);
        self.permanent = if class.is_permanent() { self.permanent.saturating_add(1) } else { 0 };
        self.on |= self.permanent >= PERMANENT || now.duration_since(since).is_ok_and(|time| time >= LONG);
    }
}

/// What a person should know of the check `name`, which asks for `path` (if it asks for one) and fails so.
pub(super) fn told(name: &str, path: Option<&str>, failure: &Failure, required: bool) -> String {
    let at = path.map(|path| format!(" at {path}")).unwrap_or_default();
    let (reason, question) = (&failure.reason, failure.hint.unwrap_or("is it the right check?"));
    let until =
        if required { "the gate stays shut until it passes" } else { "its routes stay degraded until it passes" };
    format!("{name} takes connections but has never passed{at}: {reason}; {question} {until}")
}

/// The target took the connection and said something.
fn is_answer(class: Class) -> bool {
    match class {
        Class::Auth | Class::Protocol | Class::NotReady | Class::Unexpected => true,
        Class::Refused | Class::Timeout | Class::Dns | Class::Tls | Class::Starved => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Whether each of these runs, one a second, made it worth a line.
    fn lines(runs: &[Option<Class>]) -> Vec<u64> {
        let mut suspicion = Suspicion::default();
        (0..).zip(runs).filter(|(second, run)| suspicion.note(**run, at(*second))).map(|(second, _)| second).collect()
    }

    #[test]
    fn three_wrong_answers_in_a_row_are_told_once() {
        assert_eq!(lines(&[Some(Class::Unexpected); 60]), [2]);
        let broken = [Class::Unexpected, Class::Unexpected, Class::NotReady, Class::Unexpected, Class::Unexpected];
        assert_eq!(lines(&broken.map(Some)), [0; 0]);
    }

    #[test]
    fn a_target_that_says_for_long_that_it_is_not_ready_is_told_once() {
        assert_eq!(lines(&[Some(Class::NotReady); 120]), [30]);
    }

    #[test]
    fn a_target_that_was_away_meanwhile_begins_afresh() {
        let mut runs = vec![Some(Class::NotReady); 29];
        runs.push(Some(Class::Refused));
        runs.extend([Some(Class::NotReady); 30]);
        assert_eq!(lines(&runs), [0; 0]);
        runs.push(Some(Class::NotReady));
        assert_eq!(lines(&runs), [60]);
    }

    #[test]
    fn a_check_that_ever_passed_is_beyond_suspicion() {
        let mut runs = vec![None];
        runs.extend([Some(Class::Unexpected); 90]);
        assert_eq!(lines(&runs), [0; 0]);
    }

    #[test]
    fn it_is_off_once_the_check_passes_or_the_target_goes() {
        for end in [None, Some(Class::Refused)] {
            let mut suspicion = Suspicion::default();
            (0..3).for_each(|second| _ = suspicion.note(Some(Class::Auth), at(second)));
            assert!(suspicion.is_on());
            suspicion.note(end, at(4));
            assert!(!suspicion.is_on());
        }
    }

    #[test]
    fn it_says_what_was_asked_what_came_and_what_follows() {
        let (reason, hint) = ("answered 404 Not Found".to_owned(), Some("is the path right?"));
        let failure = Failure { class: Class::Unexpected, reason, hint };
        assert_eq!(
            told("upstream", Some("/ready"), &failure, true),
            "upstream takes connections but has never passed at /ready: answered 404 Not Found; is the path right? \
             the gate stays shut until it passes"
        );
        let failure = Failure { hint: None, reason: "x".to_owned(), ..failure };
        assert!(
            told("llm", None, &failure, false)
                .ends_with("has never passed: x; is it the right check? its routes stay degraded until it passes")
        );
    }
}
