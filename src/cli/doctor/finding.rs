//! What the doctor says, and by which rule. PURE.

use std::fmt;

use clap::ValueEnum;

use crate::config::Problem;

/// A rule, by the name that a finding ends with and `--allow` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Rule {
    /// End-to-end HTTP/2 has no WebSocket upgrade.
    Http2,
    /// The platform's request timeout is the age at which a WebSocket dies.
    Timeout,
    /// Open files of an instance.
    Descriptors,
    /// The hold budget and the memory limit.
    Memory,
    /// The drain and the platform's patience.
    Grace,
    /// Which container the clients reach.
    Ports,
    /// A container that needs a start-up probe has none.
    StartupProbe,
    /// Containers that wait for each other.
    StartOrder,
    /// What readygate's own probes ask.
    ProbePath,
    /// Where readygate's own probes ask.
    ProbeReach,
    /// How long a probe may take.
    ProbeTime,
    /// Paths that the platform keeps for itself.
    ReservedPath,
    /// A CPU that stops between requests.
    Throttling,
}

/// Something that will hurt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose finding.
    pub rule: Rule,
    /// Where, what and why, and what to do about it.
    pub problem: Problem,
}

impl Rule {
    /// As it is printed and as `--allow` takes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Http2 => "http2",
            Self::Timeout => "timeout",
            Self::Descriptors => "descriptors",
            Self::Memory => "memory",
            Self::Grace => "grace",
            Self::Ports => "ports",
            Self::StartupProbe => "startup-probe",
            Self::StartOrder => "start-order",
            Self::ProbePath => "probe-path",
            Self::ProbeReach => "probe-reach",
            Self::ProbeTime => "probe-time",
            Self::ReservedPath => "reserved-path",
            Self::Throttling => "throttling",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.problem, self.rule.label())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_allowed_by_the_name_that_is_printed() {
        for rule in Rule::value_variants() {
            assert_eq!(rule.to_possible_value().unwrap().get_name(), rule.label());
        }
    }
}
