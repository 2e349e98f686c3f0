//! `[probe]`, `[features]` and `[http]`: breaker, profile, switches.

use super::{MINIMAL, assert_begins, config, config_with, problem_with, warnings_with};
use crate::config::{Breaker, Config, Environment, Platform, Profile, WaitFor};

fn profile<const N: usize>(value: &str, variables: [(&str, &str); N]) -> Profile {
    let text = format!("{MINIMAL}[probe]\nprofile = {value}\n");
    Config::parse(&text, "proxy.toml", &Environment::with_variables(variables)).unwrap().profile
}

#[test]
fn left_alone_the_profile_is_what_the_environment_says() {
    let environment = Environment::with_variables([("K_SERVICE", "gate")]);
    let detected = Config::parse(MINIMAL, "proxy.toml", &environment).unwrap().profile;
    assert_eq!(detected, Profile { place: Platform::CloudRun, patience: 1.5 });
    assert_eq!(profile("\"auto\"", [("K_SERVICE", "gate")]), detected);
    assert_eq!(config(MINIMAL).profile, Profile { place: Platform::Local, patience: 0.3 });
}

#[test]
fn a_named_profile_takes_the_place_of_the_detected_one() {
    for place in [Platform::CloudRun, Platform::AppEngine, Platform::Kubernetes, Platform::GoogleCloud, Platform::Local]
    {
        assert_eq!(profile(&format!("{:?}", place.label()), [("K_SERVICE", "gate")]), place.profile());
    }
}

#[test]
fn a_number_is_the_patience_itself() {
    assert_eq!(profile("0.1", []), Profile { place: Platform::Local, patience: 0.1 });
    assert_eq!(profile("10", [("K_SERVICE", "g")]), Profile { place: Platform::CloudRun, patience: 10.0 });
    for bad in ["0", "0.09", "10.1", "-1", "4000"] {
        let text = problem_with(&format!("[probe]\nprofile = {bad}\n"));
        assert_eq!(text, format!("probe.profile = {bad} is out of range; expected 0.1 to 10"));
    }
}

#[test]
fn another_profile_is_told_the_known_ones() {
    for bad in ["\"cloudrun\"", "true", "[1]", "9223372036854775807"] {
        let text = problem_with(&format!("[probe]\nprofile = {bad}\n"));
        assert!(text.ends_with("\"google-cloud\", \"local\" or a number from 0.1 to 10"), "{text}");
    }
}

#[test]
fn every_check_has_the_breaker_of_the_probe() {
    let config = config_with("[probe]\nbreaker = { attempts = 20 }\n[dependencies.a]\ncheck = \"tcp://h:1\"\n");
    let expected = Breaker { attempts: 20, cooldown: std::time::Duration::from_secs(10) };
    assert_eq!(config.upstream.checks[0].pacing.breaker, expected);
    assert_eq!(config.dependencies[0].check.pacing.breaker, expected);
}

#[test]
fn a_breaker_that_pauses_before_the_gate_is_shut_is_doubtful() {
    let expected = ["the breaker pauses after 2 failures, before the 3 that shut the gate"];
    assert_eq!(warnings_with("[probe]\nbreaker = { attempts = 2 }\n"), expected);
    let own = "[dependencies.a]\ncheck = { url = \"tcp://h:1\", breaker = { attempts = 2 } }\n";
    assert_eq!(warnings_with(own), expected);
    assert_eq!(warnings_with("[probe]\nbreaker = { attempts = 3 }\n"), Vec::<String>::new());
}

#[test]
fn mechanisms_are_on_until_they_are_switched_off() {
    let on = config(MINIMAL).features;
    assert!(on.dependency_checks && on.adaptive_timing);
    let off = config_with("[features]\ndependency_checks = false\nadaptive_timing = false\n").features;
    assert!(!off.dependency_checks && !off.adaptive_timing);
}

#[test]
fn requests_wait_for_the_upstream_unless_told_to_wait_for_all() {
    assert_eq!(config(MINIMAL).http.wait_for, WaitFor::Upstream);
    assert_eq!(config_with("[http]\nwait_for = \"all\"\n").http.wait_for, WaitFor::All);
    let text = problem_with("[http]\nwait_for = \"dependencies\"\n");
    assert_begins(&text, "http.wait_for: unknown variant `dependencies`; expected `upstream` or `all`");
}
