//! The alert rules of `deploy`: taken by a real Prometheus, and each with a case that fires and one that does not.

use std::collections::BTreeMap;

use super::{
    Busy,
    server::{Prometheus, path, promtool, read},
};

const RULES: &str = "deploy/prometheus/alerts.yml";
const CASES: &str = "deploy/prometheus/tests/alerts.yml";

/// Of an alert: the cases in which it fires, and those in which it does not.
type Cases = BTreeMap<String, (usize, usize)>;

#[test]
fn promtool_sees_each_alert_fire_and_be_silent_as_its_cases_say() {
    let (clean, said) = promtool(&["check", "rules", &path(RULES)], "");
    assert!(clean, "{said}");
    let (passed, said) = promtool(&["test", "rules", &path(CASES)], "");
    assert!(passed && said.contains("SUCCESS"), "{said}");
}

#[test]
fn each_alert_has_a_case_that_fires_and_one_that_does_not() {
    let (alerts, cases) = (alerts(&read(RULES)), cases(&read(CASES)));
    assert!(alerts.len() >= 9, "only {alerts:?} were found");
    for alert in &alerts {
        let (firing, silent) = cases.get(alert).copied().unwrap_or_default();
        assert!(firing > 0 && silent > 0, "{alert}: {firing} cases that fire, {silent} that do not");
    }
    assert_eq!(cases.len(), alerts.len(), "cases of alerts that are none: {cases:?}");
}

#[test]
fn a_case_that_fires_is_told_from_one_that_does_not() {
    let text = "- alertname: A\n  exp_alerts:\n    - exp_labels: { a: b }\n- alertname: A\n  exp_alerts: []\n\
                - alertname: B\n  eval_time: 1m\n";
    assert_eq!(cases(text), BTreeMap::from([("A".into(), (1, 1)), ("B".into(), (0, 1))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_evaluates_every_alert_over_real_series() {
    let busy = Busy::scraped().await;
    let rules = Prometheus::start(busy.process.admin).rules().await;
    let names: Vec<_> = rules.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(names, alerts(&read(RULES)));
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        for key in ["summary", "description", "runbook"] {
            assert!(rule["annotations"][key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {rule}");
        }
        let severity = rule["labels"]["severity"].as_str();
        assert!(severity.is_some_and(|severity| ["page", "ticket"].contains(&severity)), "{rule}");
    }
}

/// The names of the alerts in a rule file, in their order.
fn alerts(rules: &str) -> Vec<String> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

fn cases(text: &str) -> Cases {
    let mut cases = Cases::new();
    for case in text.split("- alertname: ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (firing, silent) = cases.entry(name.to_owned()).or_default();
        // An expected alert names its labels; a case without one expects none.
        let count = if rest.contains("exp_labels:") { firing } else { silent };
        *count += 1;
    }
    cases
}
