//! The last changes of verdicts, for people who come when it is over, and a bell for those who watch.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;

use super::{
    lane::LaneKeeper,
    verdict::{Blocker, Verdict},
};

/// Changes that are remembered. A start, an outage and the way back are four a route; what flaps fills any list, and the
/// log has all of it. Some 10 KiB.
const REMEMBERED: usize = 50;

/// A route's verdict got another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: SystemTime,
    /// The route's path.
    pub route: String,
    /// The verdict's label before.
    pub from: &'static str,
    /// The verdict's label after.
    pub to: &'static str,
    /// The first check that blocks or is missing, if one does.
    pub because: Option<Blocker>,
}

/// The changes of every route.
#[derive(Debug)]
pub struct Chronicle {
    last: Mutex<VecDeque<Change>>,
    bell: watch::Sender<()>,
}

impl Chronicle {
    /// Nothing has changed yet.
    pub(super) fn new() -> Self {
        Self { last: Mutex::default(), bell: watch::Sender::new(()) }
    }

    /// The changes that are remembered, the latest first.
    #[must_use]
    pub fn last(&self) -> Vec<Change> {
        self.lock().iter().rev().cloned().collect()
    }

    /// Tells of every change from here on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// Notes that `lane`, which was `from`, has the verdict that it has; one that only changed its blockers is no news.
    pub(super) fn note(&self, lane: &LaneKeeper, from: &'static str, now: SystemTime) {
        let (Some(route), verdict) = (&lane.path, lane.verdict()) else { return };
        if verdict.label() == from {
            return;
        }
        let because = first(&verdict).cloned();
        self.keep(Change { at: now, route: route.clone(), from, to: verdict.label(), because });
        self.bell.send_replace(());
    }

    fn keep(&self, change: Change) {
        let mut last = self.lock();
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(change);
    }

    /// The list is valid after every statement, so a panic elsewhere need not spread.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first(verdict: &Verdict) -> Option<&Blocker> {
    verdict.blockers().iter().chain(verdict.missing()).next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn change(route: usize) -> Change {
        Change { at: SystemTime::UNIX_EPOCH, route: route.to_string(), from: "shut", to: "open", because: None }
    }

    #[test]
    fn only_the_last_changes_are_remembered_and_the_latest_comes_first() {
        let chronicle = Chronicle::new();
        (0..=REMEMBERED).for_each(|route| chronicle.keep(change(route)));
        let last = chronicle.last();
        assert_eq!((last.len(), last[0].clone()), (REMEMBERED, change(REMEMBERED)));
        assert_eq!(last.last(), Some(&change(1)));
    }
}
