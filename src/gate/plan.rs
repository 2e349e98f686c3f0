//! What the gate watches, and for whom. PURE.

use std::num::NonZeroUsize;

use crate::config::{Check, Config};

/// What a check's failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The backend itself is not ready: nobody passes.
    Upstream,
    /// Routes that need it are shut.
    Required,
    /// Routes that need it are degraded.
    Optional,
}

/// One check to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCheck {
    /// What is asked.
    pub check: Check,
    /// What its failure means.
    pub role: Role,
}

/// One verdict to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLane {
    /// The route's path; none for a lane that is nobody's route.
    pub path: Option<String>,
    /// Places of the checks it needs.
    pub needs: Vec<usize>,
    /// Sessions that may dial at a time.
    pub concurrency: NonZeroUsize,
}

/// Every check and every lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The upstream's checks first, then the dependencies'.
    pub checks: Vec<PlannedCheck>,
    /// One per route in the order of the configuration, then one that needs the upstream alone.
    pub lanes: Vec<PlannedLane>,
}

impl Plan {
    /// The checks among those that `lane` needs without which it is shut: nobody waits for an optional one.
    #[must_use]
    pub fn blocking(&self, lane: &PlannedLane) -> Vec<usize> {
        let is_blocking = |index: &usize| self.checks.get(*index).is_some_and(|check| check.role != Role::Optional);
        lane.needs.iter().copied().filter(is_blocking).collect()
    }

    /// Each route's path with the name of each check that it needs.
    pub fn needs(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = |index: &usize| self.checks.get(*index).map(|planned| planned.check.name.as_str());
        let paths = self.lanes.iter().filter_map(|lane| Some((lane.path.as_deref()?, &lane.needs)));
        paths.flat_map(move |(path, needs)| needs.iter().filter_map(named).map(move |check| (path, check)))
    }

    /// The plan of a configuration. With `features.dependency_checks` off, dependencies are neither checked nor needed; with
    /// `features.degraded_mode` off, none of them is optional.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let upstream =
            config.upstream.checks.iter().map(|check| PlannedCheck { check: check.clone(), role: Role::Upstream });
        let mut checks: Vec<PlannedCheck> = upstream.collect();
        let first_dependency = checks.len();
        let dependency_checks = config.features.dependency_checks;
        if dependency_checks {
            checks.extend(config.dependencies.iter().map(|dependency| PlannedCheck {
                check: dependency.check.clone(),
                role: match dependency.required || !config.features.degraded_mode {
                    true => Role::Required,
                    false => Role::Optional,
                },
            }));
        }
        let routes = config.routes.iter().map(|route| PlannedLane {
            path: Some(route.path.as_str().to_owned()),
            needs: needs(first_dependency, if dependency_checks { &route.depends_on } else { &[] }),
            concurrency: route.gate.release_concurrency,
        });
        let upstream_alone = PlannedLane {
            path: None,
            needs: needs(first_dependency, &[]),
            concurrency: config.gate.release_concurrency,
        };
        let lanes = routes.chain([upstream_alone]).collect();
        Self { checks, lanes }
    }

    /// A plan of one route, `*`, that needs these checks of the upstream and nothing else.
    #[must_use]
    pub fn of_upstream(checks: &[Check], concurrency: NonZeroUsize) -> Self {
        let planned = checks.iter().map(|check| PlannedCheck { check: check.clone(), role: Role::Upstream });
        let lane = |path| PlannedLane { path, needs: needs(checks.len(), &[]), concurrency };
        Self { checks: planned.collect(), lanes: vec![lane(Some("*".to_owned())), lane(None)] }
    }
}

/// Every check of the upstream, and those of these dependencies.
fn needs(first_dependency: usize, dependencies: &[usize]) -> Vec<usize> {
    (0..first_dependency).chain(dependencies.iter().map(|index| first_dependency + index)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::config::{CheckKind, Dependency, Environment, PathPattern, Route, Target};

    fn config(dependency_checks: bool) -> Config {
        let text = "[upstream]\nurl = \"http://127.0.0.1:1\"\ncheck = [\"/a\", \"/b\"]";
        let mut config = Config::parse(text, "proxy.toml", &Environment::with_variables([])).unwrap();
        config.features.dependency_checks = dependency_checks;
        let target = Target { host: "h".to_owned(), port: 1, tls: None };
        for (name, required) in [("cache", true), ("llm", false)] {
            let kind = CheckKind::Tcp(target.clone());
            let check = Check { name: name.to_owned(), kind, ..config.upstream.checks[0].clone() };
            config.dependencies.push(Dependency { check, required });
        }
        let all = &config.routes[0];
        let (gate, hold) = (all.gate.clone(), all.hold);
        let chat = Route { path: PathPattern::new("/chat"), gate, hold, depends_on: vec![1] };
        config.routes[0].depends_on = vec![0, 1];
        config.routes.insert(0, chat);
        config
    }

    fn needs_of(plan: &Plan) -> Vec<(Option<&str>, &[usize])> {
        plan.lanes.iter().map(|lane| (lane.path.as_deref(), lane.needs.as_slice())).collect()
    }

    #[test]
    fn each_route_needs_the_upstream_and_its_own_dependencies() {
        let plan = Plan::of(&config(true));
        let roles: Vec<Role> = plan.checks.iter().map(|check| check.role).collect();
        assert_eq!(roles, [Role::Upstream, Role::Upstream, Role::Required, Role::Optional]);
        let expected: [(Option<&str>, &[usize]); 3] =
            [(Some("/chat"), &[0, 1, 3]), (Some("*"), &[0, 1, 2, 3]), (None, &[0, 1])];
        assert_eq!(needs_of(&plan), expected);
    }

    #[test]
    fn without_degraded_mode_every_dependency_is_required() {
        let mut config = config(true);
        config.features.degraded_mode = false;
        let plan = Plan::of(&config);
        assert!(plan.checks.iter().all(|check| check.role != Role::Optional));
        assert_eq!(plan.blocking(&plan.lanes[0]), plan.lanes[0].needs);
    }

    #[test]
    fn an_optional_dependency_blocks_nobody() {
        let plan = Plan::of(&config(true));
        let blocking: Vec<_> = plan.lanes.iter().map(|lane| plan.blocking(lane)).collect();
        assert_eq!(blocking, [vec![0, 1], vec![0, 1, 2], vec![0, 1]]);
    }

    #[test]
    fn without_dependency_checks_the_upstream_alone_is_in_charge() {
        let plan = Plan::of(&config(false));
        assert_eq!(plan.checks.len(), 2);
        assert!(needs_of(&plan).iter().all(|(_, needs)| *needs == [0, 1]));
    }
}
