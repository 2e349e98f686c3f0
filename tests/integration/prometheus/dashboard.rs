//! The dashboard of `deploy`: no panel comes back empty from a Prometheus that holds real series.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Busy,
    server::{Prometheus, read},
};

const DASHBOARD: &str = "deploy/grafana/readygate.json";

/// Long enough for the rates of all that a test does.
const RANGE: &str = "5m";

/// Fewer queries mean that the panels are not found.
const QUERIES_AT_LEAST: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn no_query_of_the_dashboard_comes_back_empty() {
    let mut busy = Busy::start().await;
    let prometheus = Prometheus::start(busy.process.admin);
    busy.hold(&prometheus).await;
    busy.release().await;
    let queries = queries();
    assert!(queries.len() >= QUERIES_AT_LEAST, "only {} queries were found", queries.len());
    for query in queries {
        prometheus.shows(&asked(&query), f64::is_finite).await;
    }
}

#[test]
fn each_panel_says_what_it_shows_and_no_two_overlap() {
    let panels = panels();
    let mut taken = BTreeMap::new();
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty(), "{panel}");
        let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{title} is wider than the page");
        for place in (0..side("w") * side("h")).map(|n| (side("x") + n % side("w"), side("y") + n / side("w"))) {
            let other = taken.insert(place, title);
            assert_eq!(other, None, "{title} lies over another panel at {place:?}");
        }
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "{ids:?}");
}

/// Every expression on the dashboard.
fn queries() -> Vec<String> {
    let targets = |panel: Value| panel["targets"].as_array().cloned().unwrap_or_default();
    panels().into_iter().flat_map(targets).map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// A query as Grafana would ask it with every job and instance chosen.
fn asked(query: &str) -> String {
    let asked = query.replace("$__rate_interval", RANGE).replace("$job", ".*").replace("$instance", ".*");
    assert!(!asked.contains('$'), "a variable is left in {asked}");
    asked
}
