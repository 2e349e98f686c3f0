//! Where the process runs, by the variables that platforms set, and how patient that makes it.

use super::Environment;

/// On Cloud Run and App Engine the CPU is shared, and can stop between requests: half as long again.
const PATIENCE_WHERE_THE_CPU_STOPS: f64 = 1.5;
/// Timeouts as they are measured.
const PATIENCE: f64 = 1.0;
/// Beside a developer or in a test everything is near, and waiting is what costs.
const PATIENCE_NEARBY: f64 = 0.3;

/// `probe.profile`, detected or named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Where the process runs.
    pub place: Platform,
    /// Working timeouts are multiplied by this, 0.1 to 10, within their limits.
    pub patience: f64,
}

/// Where a process can find itself. Of several that fit, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// `K_SERVICE` or `K_REVISION` is set
    /// (<https://cloud.google.com/run/docs/container-contract#services-env-vars>).
    CloudRun,
    /// `GAE_APPLICATION` is set
    /// (<https://cloud.google.com/appengine/docs/standard/python3/runtime#environment_variables>).
    AppEngine,
    /// `KUBERNETES_SERVICE_HOST` is set
    /// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
    Kubernetes,
    /// `GOOGLE_CLOUD_PROJECT` alone is set.
    GoogleCloud,
    /// None of them.
    Local,
}

impl Platform {
    /// As it is written in `probe.profile`, in logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::CloudRun => "cloud-run",
            Self::AppEngine => "app-engine",
            Self::Kubernetes => "kubernetes",
            Self::GoogleCloud => "google-cloud",
            Self::Local => "local",
        }
    }

    /// What `environment` says; a variable that is empty counts as unset.
    pub(super) fn of(environment: &Environment) -> Self {
        let is_set = |name: &str| environment.variable(name).is_some_and(|value| !value.is_empty());
        let signs = [
            ("K_SERVICE", Self::CloudRun),
            ("K_REVISION", Self::CloudRun),
            ("GAE_APPLICATION", Self::AppEngine),
            ("KUBERNETES_SERVICE_HOST", Self::Kubernetes),
            ("GOOGLE_CLOUD_PROJECT", Self::GoogleCloud),
        ];
        signs.into_iter().find(|(name, _)| is_set(name)).map_or(Self::Local, |(_, place)| place)
    }

    /// The profile of a process that runs there.
    pub(super) fn profile(self) -> Profile {
        let patience = match self {
            Self::CloudRun | Self::AppEngine => PATIENCE_WHERE_THE_CPU_STOPS,
            Self::Kubernetes | Self::GoogleCloud => PATIENCE,
            Self::Local => PATIENCE_NEARBY,
        };
        Profile { place: self, patience }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::{Platform, Profile};
    use crate::config::Environment;

    fn profile<const N: usize>(variables: [(&str, &str); N]) -> Profile {
        Platform::of(&Environment::with_variables(variables)).profile()
    }

    #[test]
    fn every_platform_is_known_by_what_it_sets() {
        let cases = [
            ("K_SERVICE", Platform::CloudRun, 1.5),
            ("K_REVISION", Platform::CloudRun, 1.5),
            ("GAE_APPLICATION", Platform::AppEngine, 1.5),
            ("KUBERNETES_SERVICE_HOST", Platform::Kubernetes, 1.0),
            ("GOOGLE_CLOUD_PROJECT", Platform::GoogleCloud, 1.0),
            ("HOME", Platform::Local, 0.3),
        ];
        for (variable, place, patience) in cases {
            assert_eq!(profile([(variable, "x")]), Profile { place, patience }, "{variable}");
        }
    }

    #[test]
    fn the_narrower_place_wins() {
        let project = ("GOOGLE_CLOUD_PROJECT", "p");
        let kubernetes = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        assert_eq!(profile([project, ("K_SERVICE", "s"), kubernetes]).place, Platform::CloudRun);
        assert_eq!(profile([project, ("GAE_APPLICATION", "a")]).place, Platform::AppEngine);
        assert_eq!(profile([project, kubernetes]).place, Platform::Kubernetes);
    }

    #[test]
    fn an_empty_variable_is_no_platform() {
        assert_eq!(profile([("K_SERVICE", "")]).place, Platform::Local);
    }
}
