//! How things stand behind an answer that readygate had a hand in: `X-Readygate-State`. PURE.
//!
//! It is set on an early 101, on a 101 that is relayed under a degraded verdict, and on answers to plain requests that waited
//! or passed under one. Every other answer is the backend's own, header for header.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{fields::Line, gate::Verdict};

/// The response header's name.
pub const NAME: &str = "x-readygate-state";
/// The response header.
pub const HEADER: HeaderName = HeaderName::from_static(NAME);

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The client waits, or has waited.
    Held,
    /// Something optional is missing.
    Degraded,
}

impl Standing {
    /// Of a client that waits, or has waited until this verdict.
    #[must_use]
    pub fn held(verdict: &Verdict) -> Self {
        Self::passing(verdict).unwrap_or(Self::Held)
    }

    /// Of a client that passes under this verdict without having waited; none where there is nothing to say.
    #[must_use]
    pub fn passing(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Degraded { .. } => Some(Self::Degraded),
            Verdict::Open | Verdict::Shut { .. } | Verdict::Draining => None,
        }
    }

    /// The header's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Degraded => "degraded",
        }
    }

    /// The same.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.label())
    }

    /// The header, as it is written.
    #[must_use]
    pub fn line(self) -> Line<'static> {
        (NAME.as_bytes(), self.label().as_bytes())
    }

    /// Sets the header, in place of one that the backend may have set.
    pub fn mark(self, headers: &mut HeaderMap) {
        headers.insert(HEADER, self.value());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn verdicts() -> [Verdict; 4] {
        let none = || std::sync::Arc::from([]);
        [Verdict::Open, Verdict::Degraded { missing: none() }, Verdict::Shut { blockers: none() }, Verdict::Draining]
    }

    #[test]
    fn only_a_degraded_verdict_is_told_to_who_did_not_wait() {
        let told = verdicts().map(|verdict| Standing::passing(&verdict));
        assert_eq!(told, [None, Some(Standing::Degraded), None, None]);
    }

    #[test]
    fn who_waited_is_told_so_unless_there_is_more_to_say() {
        let told = verdicts().map(|verdict| Standing::held(&verdict).label());
        assert_eq!(told, ["held", "degraded", "held", "held"]);
    }

    #[test]
    fn a_header_of_the_backend_is_replaced() {
        let mut headers = HeaderMap::new();
        for value in ["theirs", "too"] {
            headers.append(HEADER, HeaderValue::from_static(value));
        }
        Standing::Degraded.mark(&mut headers);
        assert_eq!(headers.get_all(HEADER).iter().collect::<Vec<_>>(), ["degraded"]);
    }
}
