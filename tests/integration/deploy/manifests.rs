//! Cloud Run, Terraform and Kubernetes.

use std::{collections::BTreeMap, fs};

use readygate::{
    cli::doctor::yaml::Node,
    config::{Config, Environment},
};

use super::{deploy, items, lines, text, yaml};
use crate::harness::process::run;

/// Directories of manifests that run readygate.
const OURS: [&str; 3] = ["cloud-run", "compose", "kubernetes"];

/// What the configurations take from the environment.
const PASSWORD: (&str, &str) = ("REDIS_PASSWORD", "s3cret");

#[tokio::test]
async fn the_doctor_finds_nothing_in_our_own_manifests() {
    for file in ["cloud-run/service.yaml", "kubernetes/sidecar.yaml"] {
        let path = deploy(file).display().to_string();
        let ended = run(&["doctor", &path], &[], &[]).await;
        assert_eq!((ended.code, ended.stdout), (Some(0), format!("{path}: ok\n")));
    }
}

#[tokio::test]
async fn every_configuration_passes_readygates_own_check() {
    let sidecar = yaml("kubernetes/sidecar.yaml");
    let embedded = sidecar[0].find(&["data", "proxy.toml"]).and_then(Node::text).unwrap().to_owned();
    let mut configurations = vec![("kubernetes/sidecar.yaml".to_owned(), embedded)];
    let files = OURS.into_iter().flat_map(files).filter(|file| file.ends_with(".toml"));
    configurations.extend(files.map(|file| (file.clone(), text(&file))));
    assert_eq!(configurations.len(), 3, "{configurations:?}");
    for (file, text) in configurations {
        let ended = run(&["check"], &[PASSWORD], &[("proxy.toml", &text)]).await;
        assert_eq!(ended.code, Some(0), "{file}: {ended:?}");
        assert!(!ended.stdout.contains("warning:"), "{file}: {ended:?}");
    }
}

#[test]
fn every_yaml_file_is_one_and_says_what_it_is() {
    let all: Vec<String> = OURS.into_iter().flat_map(files).filter(|file| file.ends_with(".yaml")).collect();
    assert_eq!(all.len(), 5, "{all:?}");
    for file in all {
        let is_compose = file.starts_with("compose/");
        for document in yaml(&file) {
            let keys = if is_compose { ["services", "services"] } else { ["apiVersion", "kind"] };
            assert!(keys.iter().all(|key| document.get(key).is_some()), "{file}");
        }
    }
}

#[test]
fn exactly_one_container_of_the_service_has_ports() {
    let service = yaml("cloud-run/service.yaml");
    let containers = service[0].find(&["spec", "template", "spec", "containers"]).unwrap();
    let with_ports = containers.items().filter(|container| container.get("ports").is_some());
    let names: Vec<Option<&str>> = with_ports.map(|container| container.get("name")?.text()).collect();
    assert_eq!((names, containers.items().count()), (vec![Some("readygate")], 3));
}

#[test]
fn the_collector_scrapes_the_admin_port_on_which_metrics_are() {
    let config = parsed(&text("cloud-run/proxy.toml"));
    let monitoring = yaml("cloud-run/run-monitoring.yaml");
    let endpoint = monitoring[0].find(&["spec", "endpoints"]).and_then(|list| list.items().next()).unwrap();
    assert_eq!(endpoint.get("port").and_then(Node::whole), Some(u64::from(config.admin.listen.port())));
    assert_eq!(endpoint.get("path").and_then(Node::text), Some("/metrics"));
    assert_eq!(monitoring[0].get("kind").and_then(Node::text), Some("RunMonitoring"));
    assert_eq!(monitoring[0].get("apiVersion").and_then(Node::text), Some("monitoring.googleapis.com/v1beta"));
}

#[test]
fn the_hold_has_room_for_every_session_that_cloud_run_sends() {
    let service = yaml("cloud-run/service.yaml");
    let concurrency = service[0].find(&["spec", "template", "spec", "containerConcurrency"]).and_then(Node::whole);
    let config = parsed(&text("cloud-run/proxy.toml"));
    assert_eq!(concurrency, Some(config.hold.sessions as u64));
    // Each of them its full share: nobody is slowed down for what others hold.
    assert!(config.hold.connection_bytes * config.hold.sessions <= config.hold.total_bytes);
}

#[test]
fn the_gcloud_form_says_what_the_service_says() {
    let script = text("cloud-run/deploy.sh");
    let flags: Vec<&str> = script.lines().map(|line| line.trim().trim_end_matches([' ', '\\'])).collect();
    let (_, of_containers) = flags.split_at(flags.iter().position(|flag| flag.starts_with("--container=")).unwrap());
    let containers: Vec<&[&str]> =
        of_containers.split(|flag| flag.starts_with("--container=")).filter(|flags| !flags.is_empty()).collect();
    assert_eq!(containers.len(), 3);
    let with_port = containers.iter().map(|flags| flags.iter().filter(|flag| flag.starts_with("--port=")).count());
    assert_eq!(with_port.collect::<Vec<_>>(), [1, 0, 0]);
    for flag in ["--timeout=3600", "--concurrency=500", "--no-cpu-throttling", "--session-affinity", "--no-use-http2"] {
        assert!(flags.contains(&flag), "{flag}");
    }
    assert_eq!(in_gcloud_form(&yaml("cloud-run/service.yaml")[0]), probes_of(&containers));
}

/// The probes of each container as gcloud's flags say them.
fn probes_of(containers: &[&[&str]]) -> Vec<BTreeMap<String, String>> {
    let value = |flags: &[&str], name: &str| {
        flags.iter().find_map(|flag| flag.strip_prefix(&format!("--{name}-probe="))).map(str::to_owned)
    };
    let probe = |flags: &&[&str]| {
        let all = ["startup", "liveness"].map(|name| Some((format!("{name}Probe"), value(flags, name)?)));
        all.into_iter().flatten().collect()
    };
    containers.iter().map(probe).collect()
}

/// The same, made of the manifest.
fn in_gcloud_form(service: &Node) -> Vec<BTreeMap<String, String>> {
    let containers = service.find(&["spec", "template", "spec", "containers"]).unwrap();
    containers
        .items()
        .map(|container| {
            let probes = container.entries().iter().filter(|entry| entry.key.ends_with("Probe"));
            probes.map(|entry| (entry.key.clone(), flattened(&entry.node))).collect()
        })
        .collect()
}

fn flattened(probe: &Node) -> String {
    let one = |name: &str, node: &Node| match node.text() {
        Some(text) => vec![format!("{name}={text}")],
        None => node.entries().iter().map(|e| format!("{name}.{}={}", e.key, e.node.text().unwrap())).collect(),
    };
    let all: Vec<String> = probe.entries().iter().flat_map(|entry| one(&entry.key, &entry.node)).collect();
    all.join(",")
}

#[test]
fn terraform_says_what_the_service_says() {
    let terraform = text("terraform/main.tf");
    let terraform: Vec<String> = lines(&terraform).iter().map(|line| words(line)).collect();
    let count = |line: &str| terraform.iter().filter(|other| *other == line).count();
    for line in [
        "ports {",
        "name = \"http1\"",
        "container_port = 8080",
        "timeout = \"3600s\"",
        "max_instance_request_concurrency = 500",
        "session_affinity = true",
        "execution_environment = \"EXECUTION_ENVIRONMENT_GEN2\"",
        "path = \"/startupz\"",
        "path = \"/livez\"",
        "path = \"/health/live\"",
        "memory = \"512Mi\"",
        "memory = \"1Gi\"",
        "depends_on = [\"readygate\"]",
        "readygate-config = \"proxy.toml\"",
        "readygate-monitoring = \"run-monitoring.yaml\"",
    ] {
        assert_eq!(count(line), 1, "{line}");
    }
    assert_eq!((count("containers {"), count("startup_probe {"), count("liveness_probe {")), (3, 2, 1));
    // Each container that has limits; the collector leaves both to Cloud Run.
    assert_eq!((count("cpu_idle = false"), count("limits = {")), (2, 2));
    assert!(!terraform.iter().any(|line| line.contains("h2c")));
    let braces = |brace: char| terraform.iter().flat_map(|line| line.chars()).filter(|c| *c == brace).count();
    assert_eq!(braces('{'), braces('}'));
}

/// The line with single blanks, as `terraform fmt` aligns them.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn images_and_mounts_are_the_same_wherever_they_are_named() {
    let service = text("cloud-run/service.yaml");
    let collector = lines(&service).into_iter().find(|line| line.contains("cloud-run-gmp-sidecar:")).unwrap();
    let image = collector.trim_start_matches("image: ");
    for file in ["cloud-run/deploy.sh", "terraform/main.tf"] {
        assert!(text(file).contains(image), "{file} has another image than {image}");
    }
    for file in ["cloud-run/service.yaml", "cloud-run/deploy.sh", "terraform/main.tf", "kubernetes/sidecar.yaml"] {
        assert!(text(file).contains("/etc/readygate"), "{file}");
    }
    for file in ["cloud-run/service.yaml", "cloud-run/deploy.sh", "terraform/main.tf"] {
        assert!(text(file).contains("/etc/rungmp"), "{file}");
    }
}

#[test]
fn the_sidecar_of_kubernetes_is_one_and_prometheus_finds_its_admin_port() {
    let sidecar = yaml("kubernetes/sidecar.yaml");
    let pod = sidecar[1].find(&["spec", "template", "spec"]).unwrap();
    let gate = pod.get("initContainers").and_then(|list| list.items().next()).unwrap();
    assert_eq!(gate.get("restartPolicy").and_then(Node::text), Some("Always"));
    assert!(pod.get("containers").unwrap().items().all(|container| container.get("ports").is_none()));
    let config = parsed(sidecar[0].find(&["data", "proxy.toml"]).and_then(Node::text).unwrap());
    let ports: Vec<(Option<&str>, Option<u64>)> = gate.get("ports").unwrap().items().map(named_port).collect();
    let (public, admin) = (u64::from(config.server.listen.port()), u64::from(config.admin.listen.port()));
    assert_eq!(ports, [(Some("http"), Some(public)), (Some("admin"), Some(admin))]);
    let monitor = yaml("kubernetes/monitoring.yaml");
    let endpoint = monitor[0].find(&["spec", "podMetricsEndpoints"]).and_then(|list| list.items().next()).unwrap();
    assert_eq!(endpoint.get("port").and_then(Node::text), Some("admin"));
    let label = |node: &Node, keys: &[&str]| node.find(keys).and_then(Node::text).map(str::to_owned);
    let labels = [
        label(&monitor[0], &["spec", "selector", "matchLabels", "app"]),
        label(&sidecar[1], &["spec", "selector", "matchLabels", "app"]),
        label(&sidecar[1], &["spec", "template", "metadata", "labels", "app"]),
        label(&sidecar[2], &["spec", "selector", "app"]),
    ];
    assert!(labels.iter().all(|label| label.as_deref() == Some("chat")), "{labels:?}");
    assert_eq!(items(gate, &["securityContext", "capabilities", "drop"]), ["ALL"]);
}

fn named_port(port: &Node) -> (Option<&str>, Option<u64>) {
    (port.get("name").and_then(Node::text), port.get("containerPort").and_then(Node::whole))
}

fn parsed(text: &str) -> Config {
    Config::parse(text, "proxy.toml", &Environment::with_variables([PASSWORD])).unwrap()
}

/// Every file of a directory of `deploy/`, by its path there.
fn files(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(deploy(directory)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| format!("{directory}/{}", name.to_str().unwrap())).collect();
    names.sort();
    names
}
