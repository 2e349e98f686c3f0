//! What the process says of itself: lines for people and machines, numbers for Prometheus.

mod bucket;
#[cfg(test)]
pub(crate) mod bystander;
mod family;
pub mod floods;
mod format;
mod hold;
pub mod log;
pub mod metrics;
mod policy;
mod process;
mod reloads;
pub mod request;
mod runtime;
mod series;
pub mod trace;

use std::time::Duration;

/// Whole milliseconds, as log fields have them.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
