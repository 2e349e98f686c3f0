//! Workloads and services of Kubernetes.

use super::Patient;

const GOOD: &str = r"kind: Deployment
metadata: {name: chat}
spec:
  template:
    metadata: {labels: {app: chat, tier: web}}
    spec:
      terminationGracePeriodSeconds: 30
      initContainers:
        - name: readygate
          restartPolicy: Always
          ports: [{name: http, containerPort: 8080}]
          startupProbe: {httpGet: {path: /startupz, port: 9090}}
          livenessProbe: {httpGet: {path: /livez, port: 9090}}
          readinessProbe: {httpGet: {path: /readyz, port: 9090}}
      containers:
        - name: app
          ports: [{name: app, containerPort: 8081}]
---
apiVersion: v1
kind: Service
spec:
  selector: {app: chat}
  ports: [{port: 80, targetPort: http, appProtocol: kubernetes.io/ws}]
";

fn good() -> Patient {
    Patient::new(GOOD)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    good().is_sound();
    let command = "exec: {command: [readygate, probe, --admin]}";
    let mut inside = good().with("httpGet: {path: /readyz, port: 9090}", command);
    inside = inside.with("httpGet: {path: /livez, port: 9090}", command);
    inside = inside.with("httpGet: {path: /startupz, port: 9090}", command);
    inside.settings = inside.settings.replace("0.0.0.0:9090", "127.0.0.1:9090");
    inside.is_sound();
}

#[test]
fn a_grace_period_shorter_than_the_drain_is_found() {
    let remedy = "whoever is still there is cut without a Close; raise it above drain.timeout and preStop together, \
                  or lower those [grace]";
    good().with("Seconds: 30", "Seconds: 8").has(&[&format!(
        "pod.yaml:7:38: terminationGracePeriodSeconds is 8, and the drain may take 8s 500ms: {remedy}"
    )]);
    good()
        .with("      terminationGracePeriodSeconds: 30\n", "")
        .set("drain.timeout = \"30s\"")
        .has(&[&format!("pod.yaml:6:5: terminationGracePeriodSeconds is 30, and the drain may take 30s: {remedy}")]);
    let sleeping = "restartPolicy: Always\n          lifecycle: {preStop: {sleep: {seconds: 25}}}";
    good().with("restartPolicy: Always", sleeping).has(&[&format!(
        "pod.yaml:7:38: terminationGracePeriodSeconds is 30, and the drain may take 8s 500ms after 25s of preStop: \
         {remedy}"
    )]);
}

#[test]
fn an_init_container_that_never_ends_is_found() {
    good()
        .with("          restartPolicy: Always\n", "")
        .has(&["pod.yaml:9:11: \"readygate\" is an init container that never ends: the pod never starts; give it \
         restartPolicy: Always [start-order]"]);
}

#[test]
fn a_sidecar_whose_start_waits_for_the_application_is_found() {
    good().with("path: /startupz", "path: /gate").has(&[
        "pod.yaml:12:11: startupProbe asks /gate, which waits for the backend, and \"app\" starts after readygate: \
         neither ever starts; ask /startupz on port 9090 [start-order]",
    ]);
}

#[test]
fn a_probe_that_makes_an_outage_worse_is_found() {
    good().with("path: /livez", "path: /gate").has(&[
        "pod.yaml:13:11: livenessProbe asks /gate: a shut gate restarts readygate, and everybody it holds is lost; \
         ask /livez on port 9090 [probe-path]",
    ]);
    good().with("path: /livez", "path: /readyz").has(&[
        "pod.yaml:13:11: livenessProbe asks /readyz: a full hold or a drain restarts readygate, and everybody it \
         holds is lost; ask /livez on port 9090 [probe-path]",
    ]);
    good().with("path: /livez, port: 9090", "path: /, port: http").has(&[
        "pod.yaml:13:11: livenessProbe asks the public port 8080: a backend that is down restarts readygate; ask \
         /livez on port 9090 [probe-path]",
    ]);
    good().with("path: /readyz", "path: /gate").has(&[
        "pod.yaml:14:11: readinessProbe asks /gate: while it is shut no client comes, and holding clients is the \
         job; ask /readyz on port 9090 [probe-path]",
    ]);
    good().with("path: /readyz, port: 9090", "path: /, port: 8080").has(&[
        "pod.yaml:14:11: readinessProbe asks the public port 8080: while the backend is down no client comes to be \
         held; ask /readyz on port 9090 [probe-path]",
    ]);
    good().with("path: /readyz, port: 9090", "path: /, port: web").has(&[
        "pod.yaml:14:11: readinessProbe asks a port that it does not name, where readygate does not listen; ask \
         /readyz on port 9090 [probe-reach]",
    ]);
}

#[test]
fn a_service_that_points_past_readygate_is_found() {
    let round = "is a port of \"app\": clients go round readygate; point it to readygate's 8080 [ports]";
    for target in ["app", "8081"] {
        let finding = format!("pod.yaml:23:34: targetPort {target} {round}");
        good().with("targetPort: http", &format!("targetPort: {target}")).has(&[&finding]);
    }
    good().with("targetPort: http", "targetPort: 9090").is_sound();
    // A port that nobody declares is open all the same.
    let undeclared = || good().with("          ports: [{name: app, containerPort: 8081}]\n", "");
    let around = "clients go round readygate; point it to readygate's 8080 [ports]";
    let finding = format!("pod.yaml:22:34: targetPort 8081 is that of upstream.url: {around}");
    undeclared().with("targetPort: http", "targetPort: 8081").has(&[&finding]);
    let other_service = good().with("selector: {app: chat}", "selector: {app: chat, tier: batch}");
    other_service.with("targetPort: http", "targetPort: app").is_sound();
    good().with("appProtocol: kubernetes.io/ws", "appProtocol: kubernetes.io/h2c").has(&[
        "pod.yaml:23:53: appProtocol \"kubernetes.io/h2c\" asks for HTTP/2, which readygate does not speak and which \
         has no WebSocket upgrade; write \"kubernetes.io/ws\", or leave it out [http2]",
    ]);
}
