//! What is read, and what is said of what cannot be.

use super::{Patient, SETTINGS};

const POD: &str = r"kind: Pod
spec:
  containers:
    - name: readygate
      env:
        - {name: UPSTREAM, value: '8081'}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}}
        - {name: READYGATE_DRAIN__TIMEOUT, value: 31s}
        - {name: READYGATE_UPSTREAM__URL, valueFrom: {secretKeyRef: {name: a, key: b}}}
      args: [run, --config, /etc/readygate/gate.toml]
";

const GRACE: &str = "terminationGracePeriodSeconds is 30, and the drain may take 31s: whoever is still there is cut \
                     without a Close; raise it above drain.timeout and preStop together, or lower those [grace]";

#[test]
fn the_containers_variables_lie_over_the_file_and_a_secret_is_left_open() {
    let mut pod = Patient::new(POD).with("gate.toml", "proxy.toml");
    pod.settings = "[upstream]\nurl = \"http://127.0.0.1:${UPSTREAM}\"\n\
                    [dependencies.cache]\ncheck = \"redis://:${PASSWORD}@10.0.0.3\"\n"
        .to_owned();
    pod.has(&[&format!("pod.yaml:2:1: {GRACE}")]);
}

#[test]
fn a_configuration_in_the_manifest_is_taken_before_the_file() {
    let map = "---\nkind: ConfigMap\ndata:\n  gate.toml: |\n    upstream.url = 'http://127.0.0.1:81'\n";
    let mut pod = Patient::new(&format!("{POD}{map}"));
    pod.settings = "not read".to_owned();
    pod.has(&[&format!("pod.yaml:2:1: {GRACE}")]);
    let pod = pod.with("http://127.0.0.1:81'", "http://127.0.0.1:81'\n    hold.session = 1");
    pod.is_unreadable("pod.yaml#gate.toml:2:6: unknown key \"session\" in [hold]; did you mean \"sessions\"?");
}

#[test]
fn of_several_maps_the_one_that_the_pod_mounts_is_taken() {
    let map = |name: &str, text: &str| {
        format!("---\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{gate.toml: \"{text}\"}}\n")
    };
    let volume = "  volumes: [{name: v, configMap: {name: mine}}]\n";
    let sound = "upstream.url = 'http://127.0.0.1:81'";
    let pod = |first: &str| format!("{POD}{volume}{}{}", map(first, "nonsense"), map("mine", sound));
    Patient::new(&pod("other")).has(&[&format!("pod.yaml:2:1: {GRACE}")]);
    let (_, said) = Patient::new(&pod("mine")).seen();
    assert!(said.starts_with("pod.yaml#gate.toml:1:"), "{said}");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    Patient::new(POD).is_unreadable("gate.toml: no such file; name the configuration with --config");
}

#[test]
fn what_is_no_manifest_is_named() {
    let nothing = "pod.yaml: no Cloud Run service and no Kubernetes workload is in it";
    Patient::new("").is_unreadable(nothing);
    Patient::new("kind: ConfigMap\n").is_unreadable(nothing);
    let mut other = Patient::new(POD).with("name: readygate", "name: proxy");
    other.is_unreadable("pod.yaml: no container runs readygate; name it with --container");
    other.container = Some("proxy".to_owned());
    other.with("gate.toml", "proxy.toml").has(&[&format!("pod.yaml:2:1: {GRACE}")]);
    Patient::new("a: 1\na: 2\n").is_unreadable("pod.yaml:2:1: the key \"a\" stands on line 1 already");
}

#[test]
fn a_configuration_in_place_of_a_manifest_is_told_what_to_do_with_it() {
    let told = "pod.yaml: this is a configuration of readygate's, and no manifest: `readygate check --config pod.yaml` \
                judges it; doctor wants the Cloud Run service or the Kubernetes manifests, and takes it by --config";
    Patient::new(SETTINGS).is_unreadable(told);
    Patient::new("# nothing yet\n[upstream]\nurl = \"http://127.0.0.1:81\"\n").is_unreadable(told);
    let mut broken = Patient::new("upstream.url = \n");
    broken.name = "proxy.toml";
    broken.is_unreadable(&told.replace("pod.yaml", "proxy.toml"));
}
