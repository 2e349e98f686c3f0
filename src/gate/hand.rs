//! The operator's hand on a route. PURE.
//!
//! It holds the route open or shut whatever the checks say, until it is taken off or its time is over. The end of the
//! process beats it.

use std::time::SystemTime;

use super::verdict::{Blocker, Class, Verdict};

/// What a hand is called among the checks that keep a route shut.
pub(super) const OPERATOR: &str = "operator";

/// Most bytes of a [`Reason`]: a sentence, in a log line and in every answer about the gate.
pub const REASON_BYTES: usize = 200;

/// What a hand holds a route at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Sessions pass. A dial that is refused is still the truth: that session is held and tries again.
    Open,
    /// Sessions are held.
    Shut,
}

/// Why, in the operator's words: one line, shown wherever the verdict is. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason(String);

/// A hand on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Open or shut.
    pub forced: Forced,
    /// Why.
    pub reason: Reason,
    /// When it was laid on.
    pub since: SystemTime,
    /// When it goes by itself; none: not before it is taken off.
    pub until: Option<SystemTime>,
}

/// What becomes of hands when one gate takes the place of another: per lane, its path (none for the one that is nobody's
/// route, on which only a hand on everything lies) and what lies on it.
pub type Hands = Vec<(Option<String>, Option<Hand>)>;

impl Forced {
    /// The metric label and the admin's word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Shut => "shut",
        }
    }
}

impl Reason {
    /// `text`, if it may be shown.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: String) -> Result<Self, String> {
        if text.len() > REASON_BYTES {
            return Err(format!("reason has {} bytes, {REASON_BYTES} at most", text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err("reason is not one line of plain text".to_owned());
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Hand {
    /// The verdict where the checks alone would say `verdict`.
    #[must_use]
    pub fn over(&self, verdict: Verdict) -> Verdict {
        match (self.forced, verdict) {
            (Forced::Open | Forced::Shut, Verdict::Draining) => Verdict::Draining,
            (Forced::Open, Verdict::Degraded { missing }) => Verdict::Degraded { missing },
            (Forced::Open, Verdict::Open | Verdict::Shut { .. }) => Verdict::Open,
            (Forced::Shut, Verdict::Open | Verdict::Degraded { .. }) => self.shut(&[]),
            (Forced::Shut, Verdict::Shut { blockers }) => self.shut(&blockers),
        }
    }

    /// Its time is over.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The hand first: while it lies there, no check opens the route.
    fn shut(&self, others: &[Blocker]) -> Verdict {
        let blockers = std::iter::once(self.blocker()).chain(others.iter().cloned()).collect();
        Verdict::Shut { blockers }
    }

    fn blocker(&self) -> Blocker {
        let reason = match self.reason.as_str() {
            "" => "shut by hand".to_owned(),
            why => format!("shut by hand: {why}"),
        };
        let hint = Some("POST /gate/auto ends it");
        Blocker { check: OPERATOR.to_owned(), class: Class::NotReady, reason, hint, since: self.since }
    }
}

/// The hand for the lane with `path`, of a gate that follows one with these `hands`: that of the same path, and for a
/// route that is new the one that lies on everything.
#[must_use]
pub(super) fn inherited(hands: &Hands, path: Option<&str>) -> Option<Hand> {
    let of = |path: Option<&str>| hands.iter().find(|(other, _)| other.as_deref() == path);
    of(path).or_else(|| of(None)).and_then(|(_, hand)| hand.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SINCE: SystemTime = SystemTime::UNIX_EPOCH;

    fn hand(forced: Forced, reason: &str) -> Hand {
        Hand { forced, reason: Reason::new(reason.to_owned()).unwrap(), since: SINCE, until: None }
    }

    fn named(name: &str) -> Blocker {
        let (check, reason) = (name.to_owned(), "busy".to_owned());
        Blocker { check, class: Class::NotReady, reason, hint: None, since: SINCE }
    }

    fn shut() -> Verdict {
        Verdict::Shut { blockers: [named("cache")].into() }
    }

    fn degraded() -> Verdict {
        Verdict::Degraded { missing: [named("llm")].into() }
    }

    #[test]
    fn a_hand_that_opens_beats_what_blocks_and_hides_nothing_that_is_missed() {
        let hand = hand(Forced::Open, "");
        assert_eq!(
            [Verdict::Open, shut(), degraded()].map(|v| hand.over(v)),
            [Verdict::Open, Verdict::Open, degraded()]
        );
    }

    #[test]
    fn a_hand_that_shuts_is_the_first_to_block_and_says_why_and_how_to_end_it() {
        let hand = hand(Forced::Shut, "moving house");
        for (verdict, names) in
            [(Verdict::Open, vec!["operator"]), (degraded(), vec!["operator"]), (shut(), vec!["operator", "cache"])]
        {
            let verdict = hand.over(verdict);
            assert_eq!(verdict.blockers().iter().map(|b| b.check.as_str()).collect::<Vec<_>>(), names);
            let told = "operator: not-ready: shut by hand: moving house (POST /gate/auto ends it)";
            assert_eq!(verdict.blockers()[0].to_string(), told);
        }
    }

    #[test]
    fn no_hand_stays_the_end_of_the_process() {
        for forced in [Forced::Open, Forced::Shut] {
            assert_eq!(hand(forced, "").over(Verdict::Draining), Verdict::Draining);
        }
    }

    #[test]
    fn a_hand_is_over_at_its_time_and_one_without_a_time_never() {
        let second = Duration::from_secs(1);
        let timed = Hand { until: Some(SINCE + second), ..hand(Forced::Shut, "") };
        assert_eq!([SINCE, SINCE + second].map(|now| timed.is_over(now)), [false, true]);
        assert!(!hand(Forced::Shut, "").is_over(SINCE + second * 1_000_000));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert!(Reason::new("ä".repeat(REASON_BYTES / 2)).is_ok());
        assert_eq!(Reason::new("x".repeat(201)).unwrap_err(), "reason has 201 bytes, 200 at most");
        assert!(Reason::new("two\nlines".to_owned()).is_err());
    }

    #[test]
    fn a_route_keeps_its_hand_and_a_new_one_has_that_which_lies_on_everything() {
        let (all, own) = (hand(Forced::Shut, "all"), hand(Forced::Open, "own"));
        let path = |path: &str| Some(path.to_owned());
        let hands = vec![(path("/a"), Some(own.clone())), (path("/b"), None), (None, Some(all.clone()))];
        let of = |path| inherited(&hands, path);
        assert_eq!(
            [of(Some("/a")), of(Some("/b")), of(Some("/new")), of(None)],
            [Some(own), None, Some(all.clone()), Some(all)]
        );
    }
}
