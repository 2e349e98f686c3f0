//! `[probe]`: the rhythm of checks, common and of one check.

use super::Checker;
use crate::config::{
    Breaker, Pacing, Platform, Profile,
    key_path::KeyPath,
    raw_check::CheckTable,
    raw_probe::{PlaceName, Probe, ProfileSpec},
    units::Time,
};

/// So many in a row are a slip, not a threshold.
const MOST_IN_A_ROW: u32 = 1000;
/// Below it every timeout would be at its floor.
const LEAST_PATIENCE: f64 = 0.1;
/// Above it every timeout would be at its ceiling.
const MOST_PATIENCE: f64 = 10.0;

impl Checker<'_, '_> {
    pub(super) fn pacing(&mut self, raw: &Probe) -> Pacing {
        let pacing = Pacing {
            interval: self.time("probe.interval", raw.interval),
            timeout: self.time("probe.timeout", raw.timeout),
            backoff: self.backoff("probe.backoff", raw.backoff.initial, raw.backoff.max),
            rise: self.count("probe.rise", raw.rise, 1..=MOST_IN_A_ROW),
            fall: self.count("probe.fall", raw.fall, 1..=MOST_IN_A_ROW),
            breaker: self.breaker("probe.breaker", raw.breaker.attempts, raw.breaker.cooldown),
        };
        self.warn_of_a_hasty_breaker("probe.breaker", &pacing);
        pacing
    }

    /// What the table at `path` says, and what `probe` says of the rest.
    pub(super) fn own_pacing(&mut self, path: &KeyPath, table: &CheckTable, probe: Pacing) -> Pacing {
        let pacing = Pacing {
            interval: self.own_time(path.key("interval"), table.interval).unwrap_or(probe.interval),
            timeout: self.own_time(path.key("timeout"), table.timeout).unwrap_or(probe.timeout),
            backoff: table.backoff.as_ref().map_or(probe.backoff, |own| {
                let initial = own.initial.unwrap_or(Time(probe.backoff.initial));
                self.backoff(path.key("backoff"), initial, own.max.unwrap_or(Time(probe.backoff.max)))
            }),
            rise: table.rise.map_or(probe.rise, |rise| self.count(path.key("rise"), rise, 1..=MOST_IN_A_ROW)),
            fall: table.fall.map_or(probe.fall, |fall| self.count(path.key("fall"), fall, 1..=MOST_IN_A_ROW)),
            breaker: table.breaker.as_ref().map_or(probe.breaker, |own| {
                let attempts = own.attempts.unwrap_or(probe.breaker.attempts);
                self.breaker(path.key("breaker"), attempts, own.cooldown.unwrap_or(Time(probe.breaker.cooldown)))
            }),
        };
        if table.fall.is_some() || table.breaker.is_some() {
            self.warn_of_a_hasty_breaker(path.key("breaker"), &pacing);
        }
        pacing
    }

    /// `probe.profile`: named, or by the variables of the environment. A number leaves the place to them.
    pub(super) fn profile(&mut self, raw: ProfileSpec) -> Profile {
        let detected = Platform::of(self.environment);
        match raw {
            ProfileSpec::Place(PlaceName::Auto) => detected.profile(),
            ProfileSpec::Place(PlaceName::CloudRun) => Platform::CloudRun.profile(),
            ProfileSpec::Place(PlaceName::AppEngine) => Platform::AppEngine.profile(),
            ProfileSpec::Place(PlaceName::Kubernetes) => Platform::Kubernetes.profile(),
            ProfileSpec::Place(PlaceName::GoogleCloud) => Platform::GoogleCloud.profile(),
            ProfileSpec::Place(PlaceName::Local) => Platform::Local.profile(),
            ProfileSpec::Patience(patience) => {
                self.push_impatience(patience);
                Profile { place: detected, patience }
            }
        }
    }

    fn push_impatience(&mut self, patience: f64) {
        if !(LEAST_PATIENCE..=MOST_PATIENCE).contains(&patience) {
            let what = format!("probe.profile = {patience} is out of range");
            self.push("probe.profile", what, format!("expected {LEAST_PATIENCE} to {MOST_PATIENCE}"));
        }
    }

    fn own_time(&mut self, path: KeyPath, time: Option<Time>) -> Option<std::time::Duration> {
        time.map(|time| self.time(path, time))
    }

    fn breaker(&mut self, path: impl Into<KeyPath>, attempts: u32, cooldown: Time) -> Breaker {
        let path = path.into();
        let attempts = self.count(path.key("attempts"), attempts, 1..=MOST_IN_A_ROW);
        Breaker { attempts, cooldown: self.time(path.key("cooldown"), cooldown) }
    }

    fn warn_of_a_hasty_breaker(&mut self, path: impl Into<KeyPath>, pacing: &Pacing) {
        let (attempts, fall) = (pacing.breaker.attempts, pacing.fall);
        if attempts < fall {
            let what = format!("the breaker pauses after {attempts} failures, before the {fall} that shut the gate");
            self.warn(path, what, "let breaker.attempts be at least fall");
        }
    }
}
