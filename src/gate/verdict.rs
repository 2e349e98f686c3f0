//! What the gate can say, and what a failed check is called. PURE.

use std::{fmt, sync::Arc, time::SystemTime};

/// Whether sessions may pass. One value, many readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that is required passes.
    Open,
    /// Everything that is required passes, something optional does not.
    Degraded {
        /// Never empty.
        missing: Arc<[Blocker]>,
    },
    /// Something required does not; each with its reason.
    Shut {
        /// Never empty.
        blockers: Arc<[Blocker]>,
    },
    /// The process is going down.
    Draining,
}

/// One check that keeps the gate shut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The check's name.
    pub check: String,
    /// What kind of failure.
    pub class: Class,
    /// What was seen, without secrets.
    pub reason: String,
    /// What to do about it, where that is known.
    pub hint: Option<&'static str>,
    /// When it began to fail.
    pub since: SystemTime,
}

/// What a failed check is called; a closed set, used as metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing listens.
    Refused,
    /// No answer in time.
    Timeout,
    /// The name does not resolve.
    Dns,
    /// Certificate or TLS handshake.
    Tls,
    /// Credentials are missing or wrong (HTTP 401 and 403).
    Auth,
    /// The answer is not this protocol.
    Protocol,
    /// The target says that it is not ready (HTTP 429 and 5xx, a JSON value not yet reached).
    NotReady,
    /// Any other answer.
    Unexpected,
    /// readygate itself had no file descriptor to ask with. Says nothing of the target: it is void, and never reaches
    /// the gate.
    Starved,
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub class: Class,
    /// What was seen: a lower-case fragment without secrets.
    pub reason: String,
    /// What to do about it, where that is known.
    pub hint: Option<&'static str>,
}

/// Where one check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// Not enough is known to say.
    Unknown,
    /// Good.
    Passing,
    /// Keeps the gate shut.
    Failing,
}

impl Verdict {
    /// `open`, `degraded`, `shut` or `draining`: the metric label and the admin's word.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Degraded { .. } => "degraded",
            Self::Shut { .. } => "shut",
            Self::Draining => "draining",
        }
    }

    /// Sessions may pass.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Open | Self::Degraded { .. } => true,
            Self::Shut { .. } | Self::Draining => false,
        }
    }

    /// What keeps the gate shut; empty unless it is.
    #[must_use]
    pub fn blockers(&self) -> &[Blocker] {
        match self {
            Self::Shut { blockers } => blockers,
            Self::Open | Self::Degraded { .. } | Self::Draining => &[],
        }
    }

    /// Optional dependencies that fail; empty unless the verdict is degraded.
    #[must_use]
    pub fn missing(&self) -> &[Blocker] {
        match self {
            Self::Degraded { missing } => missing,
            Self::Open | Self::Shut { .. } | Self::Draining => &[],
        }
    }

    /// How bad it is, the worst last: the verdict over several routes is that of the worst.
    #[must_use]
    pub fn severity(&self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Degraded { .. } => 1,
            Self::Shut { .. } => 2,
            Self::Draining => 3,
        }
    }
}

impl Class {
    /// The word in metrics and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Protocol => "protocol",
            Self::NotReady => "not-ready",
            Self::Unexpected => "unexpected",
            Self::Starved => "starved",
        }
    }

    /// Waiting will not mend it; somebody has to.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Auth | Self::Tls | Self::Unexpected | Self::Protocol => true,
            Self::Refused | Self::Timeout | Self::Dns | Self::NotReady | Self::Starved => false,
        }
    }
}

impl CheckState {
    /// The word in answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Passing => "passing",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check, self.class.label(), self.reason)?;
        self.hint.map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;
    use std::time::Duration;

    #[test]
    fn each_class_is_a_series_before_it_is_met() {
        let metrics = Metrics::new();
        metrics.check_paced("cache", Duration::ZERO, false);
        let shown = metrics.render();
        for class in [
            Class::Refused,
            Class::Timeout,
            Class::Dns,
            Class::Tls,
            Class::Auth,
            Class::Protocol,
            Class::NotReady,
            Class::Unexpected,
        ] {
            let series = format!("readygate_check_failures_total{{check=\"cache\",class=\"{}\"}} 0", class.label());
            assert!(shown.lines().any(|line| line == series), "{series}");
        }
    }
}
