//! Being out of file descriptors: readygate's own trouble, which says nothing of whom it dials.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

use super::{DialError, DialFault, error::is_starved};

/// Between two lines of one dialer: a thousand sessions meet the same shortage within a second.
const QUIET: Duration = Duration::from_secs(10);

/// What one dialer has said of it.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    said: Mutex<Option<Instant>>,
}

impl Shortage {
    /// Writes a line if `error` is a shortage, unless one was written a moment ago.
    pub(super) fn note(&self, error: &DialError) {
        if error.fault == DialFault::Starved && self.is_news(Instant::now()) {
            tracing::error!("out of file descriptors: raise the limit or lower hold.sessions");
        }
    }

    fn is_news(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.is_none_or(|before| now.saturating_duration_since(before) >= QUIET);
        if is_news {
            *said = Some(now);
        }
        is_news
    }
}

/// No socket can be opened at this moment.
pub(super) fn is_on() -> bool {
    TcpSocket::new_v4().is_err_and(|error| is_starved(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dial_tells_and_then_one_in_ten_seconds() {
        let (shortage, start) = (Shortage::default(), Instant::now());
        let news = [0, 1, 9, 10, 11].map(|second| shortage.is_news(start + Duration::from_secs(second)));
        assert_eq!(news, [true, false, false, true, false]);
    }
}
