//! The rules, each a function from a pod to what will hurt. PURE.

mod limits;
mod order;
mod platform;
mod ports;
mod probes;

use super::{case::Case, finding::Finding};

/// All of them.
const RULES: [fn(&Case<'_>) -> Vec<Finding>; 13] = [
    platform::http2,
    platform::timeout,
    platform::throttling,
    platform::reserved_paths,
    limits::descriptors,
    limits::memory,
    limits::grace,
    ports::ingress,
    ports::services,
    ports::loopback,
    order::dependencies,
    probes::of_the_application,
    probes::of_readygate,
];

/// Everything that is found in a pod.
pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(case)).collect()
}
