//! A client as one character.

use super::ledger::{Books, Stage, Tally};

/// How a client fares: the later in this list, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// All it sends was answered.
    Done,
    Answering,
    /// Connected, and nothing answered yet.
    Waiting,
    Connecting,
    ToCome,
    /// Messages of it were lost.
    Lost,
    Refused,
    Cut,
}

impl Mark {
    /// All of them in the order in which a client may come to them.
    pub(super) const LEGEND: [Self; 8] = [
        Self::ToCome,
        Self::Connecting,
        Self::Waiting,
        Self::Answering,
        Self::Done,
        Self::Lost,
        Self::Refused,
        Self::Cut,
    ];

    pub(super) fn character(self) -> char {
        match self {
            Self::ToCome => '.',
            Self::Connecting => '~',
            Self::Waiting => 'o',
            Self::Answering => '+',
            Self::Done => '#',
            Self::Lost => '!',
            Self::Refused => 'x',
            Self::Cut => '%',
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::ToCome => "to come",
            Self::Connecting => "connecting",
            Self::Waiting => "connected, no answer yet",
            Self::Answering => "being answered",
            Self::Done => "all answered",
            Self::Lost => "lost messages",
            Self::Refused => "refused",
            Self::Cut => "cut off",
        }
    }

    /// The parameter of the SGR control function (ECMA-48 §8.3.117).
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::ToCome => "2",
            Self::Connecting => "36",
            Self::Waiting => "33",
            Self::Answering => "32",
            Self::Done => "1;32",
            Self::Lost | Self::Cut => "1;31",
            Self::Refused => "1;35",
        }
    }
}

/// Every client in the order of arrival.
pub(super) fn marks(books: &Books) -> Vec<Mark> {
    books.tallies.iter().map(|tally| mark(tally, books.frames)).collect()
}

/// At most `most` marks: each stands for as many clients as it must, and shows the one that is worst off.
pub(super) fn gather(marks: &[Mark], most: usize) -> (Vec<Mark>, usize) {
    let each = marks.len().div_ceil(most.max(1)).max(1);
    (marks.chunks(each).filter_map(|group| group.iter().max().copied()).collect(), each)
}

fn mark(tally: &Tally, frames: usize) -> Mark {
    match tally.stage {
        Stage::ToCome => Mark::ToCome,
        Stage::Connecting => Mark::Connecting,
        Stage::Refused => Mark::Refused,
        Stage::Cut => Mark::Cut,
        Stage::Connected if tally.dropped > 0 => Mark::Lost,
        Stage::Connected if tally.answers.distinct == frames => Mark::Done,
        Stage::Connected if tally.answers.distinct > 0 => Mark::Answering,
        Stage::Connected => Mark::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{super::ledger::Phase, *};

    #[test]
    fn a_client_goes_from_mark_to_mark() {
        let mut books = Books::new(1, 2);
        let mut seen = marks(&books);
        books.stage(0, Stage::Connecting);
        seen.extend(marks(&books));
        books.connected(0, Duration::ZERO);
        books.sent(0);
        seen.extend(marks(&books));
        books.enter(Phase::Ready, Instant::now());
        for answer in ["0:0", "0:1"] {
            books.answered(0, answer, Instant::now());
            seen.extend(marks(&books));
        }
        assert_eq!(seen, [Mark::ToCome, Mark::Connecting, Mark::Waiting, Mark::Answering, Mark::Done]);
        books.enter(Phase::Listening, Instant::now());
        books.arrived("0:0");
        assert_eq!(marks(&books), [Mark::Lost], "whatever was answered");
    }

    #[test]
    fn a_crowd_is_gathered_under_its_worst() {
        let crowd = [Mark::Done, Mark::Done, Mark::Waiting, Mark::Lost, Mark::Refused];
        assert_eq!(gather(&crowd, 3), (vec![Mark::Done, Mark::Lost, Mark::Refused], 2));
        assert_eq!(gather(&crowd, 5), (crowd.to_vec(), 1));
        assert_eq!(gather(&[], 5), (vec![], 1));
    }
}
