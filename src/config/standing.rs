//! What is told of the configuration in force, and of an attempt to change it. PURE.

use std::time::SystemTime;

use super::Problems;

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The file, as it was named on the command line.
    pub file: String,
    /// When it came into force.
    pub loaded_at: SystemTime,
    /// SHA-256 of its text, in hexadecimal digits.
    pub hash: String,
    /// The keys that the last reload changed.
    pub changed: Vec<String>,
    /// The keys whose values in the file wait for a restart.
    pub restart_needed: Vec<String>,
    /// Why what the file holds at this moment is not in force.
    pub refusal: Option<Refusal>,
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When that was first seen.
    pub at: SystemTime,
    /// What is wrong.
    pub problems: Problems,
}

/// What came of a look at the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// It is what is in force.
    Unchanged,
    /// It came into force.
    Changed {
        /// Every key that differs from before; none where only words changed.
        changed: Vec<String>,
        /// Every key that waits for a restart, from this reload or an earlier one.
        restart_needed: Vec<String>,
    },
    /// It cannot be used.
    Refused(Problems),
}

impl ReloadOutcome {
    /// The word in metrics and answers.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed { .. } => "changed",
            Self::Refused(_) => "refused",
        }
    }
}
