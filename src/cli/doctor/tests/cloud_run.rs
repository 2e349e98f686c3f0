//! Services of Cloud Run.

use super::{super::Rule, Patient};

const GOOD: &str = r#"apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: chat}
spec:
  template:
    metadata:
      annotations:
        run.googleapis.com/cpu-throttling: "false"
        run.googleapis.com/container-dependencies: '{"collector":["readygate"]}'
    spec:
      timeoutSeconds: 3600
      containerConcurrency: 500
      containers:
        - image: example/readygate
          name: readygate
          ports: [{name: http1, containerPort: 8080}]
          resources: {limits: {memory: 1Gi}}
          startupProbe: {httpGet: {path: /startupz, port: 9090}}
        - image: example/app
          name: app
          startupProbe: {httpGet: {path: /health, port: 8081}}
        - image: example/cloud-run-gmp-sidecar
          name: collector
"#;

fn good() -> Patient {
    Patient::new(GOOD)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    good().is_sound();
    // Alone, a container needs no ports: Cloud Run knows whom it gives PORT.
    let (before, _) = GOOD.split_once("        - image: example/app").unwrap();
    let order = "        run.googleapis.com/container-dependencies: '{\"collector\":[\"readygate\"]}'\n";
    let alone = Patient::new(before).with(order, "");
    alone.with("          ports: [{name: http1, containerPort: 8080}]\n", "").is_sound();
}

#[test]
fn http2_end_to_end_is_found() {
    good().with("name: http1", "name: h2c").has(&[
        "pod.yaml:16:26: the port is named \"h2c\": Cloud Run then speaks HTTP/2 end to end, which has no WebSocket \
         upgrade, and every handshake fails; name it \"http1\", or leave the name out [http2]",
    ]);
}

#[test]
fn a_timeout_left_at_its_default_is_found() {
    let remedy = "set timeoutSeconds: 3600, the most there is [timeout]";
    let cut = "Cloud Run cuts every WebSocket at that age";
    let line = "      timeoutSeconds: 3600\n";
    let missing = format!("pod.yaml:10:5: timeoutSeconds is missing, which means 300: {cut}; {remedy}");
    good().with(line, "").has(&[&missing]);
    let default = format!("pod.yaml:11:23: timeoutSeconds is 300: {cut}; {remedy}");
    good().with("timeoutSeconds: 3600", "timeoutSeconds: 300").has(&[&default]);
    let more = format!("pod.yaml:11:23: timeoutSeconds is 3601: Cloud Run refuses more than 3600; {remedy}");
    good().with("timeoutSeconds: 3600", "timeoutSeconds: 3601").has(&[&more]);
    good().with("timeoutSeconds: 3600", "timeoutSeconds: 301").is_sound();
}

#[test]
fn more_sessions_than_open_files_are_found() {
    let remedy = "set 1000 or less, the most that Cloud Run takes [descriptors]";
    let concurrency = |many: &str| good().with("Concurrency: 500", &format!("Concurrency: {many}"));
    concurrency("12501").has(&[&format!(
        "pod.yaml:12:29: containerConcurrency is 12501: each WebSocket is two open files, 25002 in all, and an \
         instance has 25000; {remedy}"
    )]);
    let refused = "pod.yaml:12:29: containerConcurrency is 1001: Cloud Run refuses more than 1000";
    concurrency("1001").has(&[&format!("{refused}; {remedy}")]);
    concurrency("1000").is_sound();
    good().set("hold.sessions = 25001").has(&[
        "proxy.toml:3:17: hold.sessions is 25001: each is an open file, and an instance has 25000; lower it: no more \
         than containerConcurrency are ever there [descriptors]",
    ]);
}

#[test]
fn a_hold_that_does_not_fit_the_memory_is_found() {
    let reason = "a full hold gets the container killed, and every client with it";
    let limit = |text: &str| good().with("memory: 1Gi", &format!("memory: {text}"));
    limit("512Mi").set("hold.total_bytes = \"385MiB\"").has(&[&format!(
        "pod.yaml:17:40: hold.total_bytes is 385MiB and the memory limit 512MiB: {reason}; lower hold.total_bytes to \
         384MiB or less, or raise the limit [memory]"
    )]);
    limit("512Mi").set("hold.total_bytes = \"384MiB\"").is_sound();
    // More than there is at all is refused by readygate itself, which would name no line of this file.
    limit("256M").set("hold.total_bytes = \"1GiB\"").has(&[&format!(
        "pod.yaml:17:40: hold.total_bytes is 1024MiB and the memory limit 244MiB: {reason}; lower hold.total_bytes \
         to 183MiB or less, or raise the limit [memory]"
    )]);
    let unset = good().with("          resources: {limits: {memory: 1Gi}}\n", "");
    unset.set("hold.total_bytes = \"400MiB\"").has(&[&format!(
        "pod.yaml:14:11: hold.total_bytes is 400MiB and the memory limit 512MiB, the default: {reason}; lower \
         hold.total_bytes to 384MiB or less, or raise the limit [memory]"
    )]);
}

#[test]
fn a_drain_longer_than_the_platform_waits_is_found() {
    good().set("drain.timeout = \"10s\"").has(&[
        "proxy.toml:3:17: drain.timeout is 10s: Cloud Run kills 10s after SIGTERM, whoever is still there is cut \
         without a Close; keep it below, as the default of \"8500ms\" does [grace]",
    ]);
    good().set("drain.timeout = \"9999ms\"").is_sound();
}

#[test]
fn a_cpu_that_stops_between_requests_is_found_unless_it_is_meant_so() {
    let reason = "between requests the CPU stops, and the checks with it, so the first client after a pause waits \
                  for them; set it to \"false\" (instance-based billing) [throttling]";
    let annotation = "run.googleapis.com/cpu-throttling";
    let line = "        run.googleapis.com/cpu-throttling: \"false\"\n";
    good().with(line, "").has(&[&format!("pod.yaml:9:5: the annotation {annotation} is missing: {reason}")]);
    let throttled = || good().with("throttling: \"false\"", "throttling: \"true\"");
    throttled().has(&[&format!("pod.yaml:8:44: the annotation {annotation} is not \"false\": {reason}")]);
    throttled().allowing(Rule::Throttling).is_sound();
}

#[test]
fn a_path_that_google_keeps_for_itself_is_found() {
    good().set("[[routes]]\npath = \"/healthz\"").has(&[
        "proxy.toml:4:8: the route /healthz is never reached: Google's front end answers that path with 404; choose \
         another path [reserved-path]",
    ]);
    let remedy = "of a Cloud Run service: Google's front end answers with 404, whatever the service would say; give \
                  that service another health path, such as /health [reserved-path]";
    good()
        .set("[dependencies.auth]\ncheck = \"https://auth-x.a.run.app/healthz\"")
        .has(&[&format!("proxy.toml:4:9: the check \"auth\" asks for /healthz {remedy}")]);
    good()
        .set("upstream.check = [\"/healthz\", \"https://x.run.app/healthz?a\"]")
        .has(&[&format!("proxy.toml:3:18: the check \"upstream-2\" asks for /healthz {remedy}")]);
}

#[test]
fn ports_anywhere_but_on_readygate_are_found() {
    let remedy = "give ports to \"readygate\" alone [ports]";
    let ports = "          ports: [{name: http1, containerPort: 8080}]\n";
    let app = "          name: app\n";
    let both = good().with(app, &format!("{app}          ports: [{{containerPort: 8081}}]\n"));
    let second = "\"app\" has ports too: Cloud Run takes them on one container only";
    both.has(&[&format!("pod.yaml:21:11: {second}; {remedy}")]);
    let moved = good().with(ports, "").with(app, &format!("{app}{ports}"));
    let round = "the ports are those of \"app\": clients go round readygate";
    moved.has(&[&format!("pod.yaml:20:11: {round}; {remedy}")]);
    let none = "no container has ports: Cloud Run cannot tell which one takes the clients";
    good().with(ports, "").has(&[&format!("pod.yaml:13:7: {none}; {remedy}")]);
    good().set("server.listen = \"127.0.0.1:8080\"").has(&[
        "proxy.toml:3:17: server.listen is 127.0.0.1:8080: clients come from outside of the container, and cannot \
         reach it; listen on 0.0.0.0:8080 [ports]",
    ]);
}

#[test]
fn a_container_that_needs_a_startup_probe_and_has_none_is_found() {
    let app = "          startupProbe: {httpGet: {path: /health, port: 8081}}\n";
    good().with(app, "").has(&[
        "pod.yaml:19:11: \"app\" has no startupProbe: its boot has the CPU only while a client waits, and a revision \
         whose application never starts replaces one that works; add a startupProbe that asks its own health path \
         [startup-probe]",
    ]);
    let gate = "          startupProbe: {httpGet: {path: /startupz, port: 9090}}\n";
    good().with(gate, "").has(&[
        "pod.yaml:14:11: others start after \"readygate\", which has no startupProbe to pass; add a startupProbe to \
         it [startup-probe]",
    ]);
}

#[test]
fn containers_that_wait_for_each_other_are_found() {
    let order = |text: &str| good().with(r#"{"collector":["readygate"]}"#, text);
    let circle = "waits for itself in the start order: none of that circle ever starts; leave one of them out";
    let last = "until that one is up nobody listens, and clients are kept out rather than held; let readygate start \
                first, or leave the order out";
    order(r#"{"readygate":["app"]}"#)
        .has(&[&format!("pod.yaml:9:52: \"readygate\" starts after \"app\": {last} [start-order]")]);
    order(r#"{"readygate":["app"],"app":["readygate"]}"#).has(&[
        &format!("pod.yaml:9:52: \"app\" {circle} [start-order]"),
        &format!("pod.yaml:9:52: \"readygate\" starts after \"app\": {last} [start-order]"),
    ]);
    // However many stand between them.
    order(r#"{"readygate":["collector"],"collector":["app"],"app":["readygate"]}"#).has(&[
        &format!("pod.yaml:9:52: \"app\" {circle} [start-order]"),
        &format!("pod.yaml:9:52: \"readygate\" starts after \"app\": {last} [start-order]"),
        "pod.yaml:22:11: others start after \"collector\", which has no startupProbe to pass; add a startupProbe to it \
         [startup-probe]",
    ]);
    order(r#"{"collector":["redygate"]}"#).has(&[
        "pod.yaml:9:52: \"redygate\" in the start order is no container of this service; name containers by their \
         name [start-order]",
    ]);
    order("readygate").has(&["pod.yaml:9:52: the annotation run.googleapis.com/container-dependencies is no JSON \
         object of lists of names; write '{\"app\":[\"readygate\"]}' [start-order]"]);
}

#[test]
fn a_startup_probe_that_waits_for_the_application_is_found() {
    let circle = "and \"app\" starts after readygate: neither ever starts; ask /startupz on port 9090 [start-order]";
    let order = |patient: Patient| patient.with(r#"{"collector":["readygate"]}"#, r#"{"app":["readygate"]}"#);
    let gate = || good().with("path: /startupz", "path: /gate");
    let public = || good().with("path: /startupz, port: 9090", "path: /health");
    order(gate()).has(&[&format!("pod.yaml:18:11: startupProbe asks /gate, which waits for the backend, {circle}")]);
    order(public()).has(&[&format!(
        "pod.yaml:18:11: startupProbe asks the public port 8080, which waits for the backend, {circle}"
    )]);
    // The collector waits too, and is part of no circle: but no client comes before it is up.
    let nobody = |patient: Patient| patient.with(r#"{"collector":["readygate"]}"#, "{}");
    nobody(gate()).has(&[
        "pod.yaml:18:11: startupProbe asks /gate, which waits for the backend: until then no client comes, and \
         holding clients is the job; ask /startupz on port 9090 [probe-path]",
    ]);
}

#[test]
fn a_probe_that_readygate_cannot_pass_is_found() {
    let probe = |text: &str| good().with("startupProbe: {httpGet: {path: /startupz, port: 9090}}", text);
    let remedy = "ask /startupz on port 9090";
    probe("startupProbe: {httpGet: {path: /healthz, port: 9090}}").has(&[&format!(
        "pod.yaml:18:11: startupProbe asks /healthz, which the admin port answers with 404; {remedy} [probe-path]"
    )]);
    probe("startupProbe: {tcpSocket: {port: 9091}}").has(&[&format!(
        "pod.yaml:18:11: startupProbe asks port 9091, where readygate does not listen; {remedy} [probe-reach]"
    )]);
    probe("startupProbe: {grpc: {port: 9090}}").has(&[&format!(
        "pod.yaml:18:11: startupProbe asks by gRPC, which readygate does not answer; {remedy} [probe-path]"
    )]);
    probe("startupProbe: {exec: {command: [readygate, probe, --admin]}}").has(&[&format!(
        "pod.yaml:18:11: startupProbe runs a command, which Cloud Run does not do; {remedy} [probe-path]"
    )]);
    probe("startupProbe: {tcpSocket: {port: 8080}}").is_sound();
    probe("startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 60, failureThreshold: 5}").has(&[
        "pod.yaml:18:11: periodSeconds × failureThreshold is 300: Cloud Run refuses more than 240 s of start-up; \
         lower one of the two [probe-time]",
    ]);
}

#[test]
fn a_probe_of_an_admin_port_on_the_loopback_is_found() {
    let mut patient = good();
    patient.settings = patient.settings.replace("0.0.0.0:9090", "127.0.0.1:9090");
    patient.has(&[
        "pod.yaml:18:11: startupProbe asks port 9090, and admin.listen is 127.0.0.1:9090: probes come from outside \
         of the container, and never pass; set admin.listen = \"0.0.0.0:9090\" [probe-reach]",
    ]);
    patient.with("httpGet: {path: /startupz, port: 9090}", "tcpSocket: {port: 8080}").is_sound();
}
