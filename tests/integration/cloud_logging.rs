//! Lines as Cloud Logging reads them, of a process that learns meanwhile which project it belongs to.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{
    process::Process,
    upstream::{Upstream, nowhere},
};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a metadata server answers.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: 10\r\n\r\nmy-project";

/// Every session ends at once, for nothing listens behind it.
const OBSERVING: &str = "gate.mode = \"off\"";

#[tokio::test]
async fn a_silent_metadata_server_holds_nothing_up_and_once_it_answers_traces_have_their_names() {
    let mut metadata = Upstream::start().await;
    let variables = [("GCE_METADATA_HOST", metadata.address.to_string())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut gate = Process::start(nowhere().await, OBSERVING, &variables).await;
    let mut asked = metadata.dialed().await;
    let head = asked.head().await;
    assert_eq!(head.first, "GET /computeMetadata/v1/project/project-id HTTP/1.1");
    assert_eq!(head.get("metadata-flavor"), Some("Google"));

    let line = ended(&mut gate, ("X-Cloud-Trace-Context", &format!("{ID}/255;o=1"))).await;
    assert_eq!((&line["trace"], &line["logging.googleapis.com/spanId"]), (&ID.into(), &"00000000000000ff".into()));
    assert_eq!((line.get("logging.googleapis.com/trace"), &line["severity"]), (None, &"WARNING".into()));

    // It may have been given up by now; the next attempt is answered too.
    let _ = asked.try_send(ANSWER).await;
    let answering = answer_all(metadata);
    gate.logged("traces are named by this project").await;
    answering.abort();
    let span = "00f067aa0ba902b7";
    let line = ended(&mut gate, ("traceparent", &format!("00-{ID}-{span}-00"))).await;
    assert_eq!(line["logging.googleapis.com/trace"], format!("projects/my-project/traces/{ID}"));
    assert_eq!(line["logging.googleapis.com/spanId"], span);
    assert_eq!((&line["logging.googleapis.com/trace_sampled"], line.get("trace")), (&false.into(), None));
}

#[tokio::test]
async fn the_line_on_a_session_s_end_is_that_of_a_request() {
    let project = [("GOOGLE_CLOUD_PROJECT", "named-before")];
    let mut gate = Process::start(nowhere().await, OBSERVING, &project).await;
    let line = ended(&mut gate, ("traceparent", &format!("00-{ID}-00f067aa0ba902b7-01"))).await;
    let mut request = line["httpRequest"].clone();
    let latency = request["latency"].take();
    let seconds = latency.as_str().unwrap().strip_suffix('s').unwrap();
    assert!(seconds.parse::<f64>().is_ok() && seconds.rsplit_once('.').unwrap().1.len() == 3, "{latency}");
    let expected = json!({
        "requestMethod": "GET", "requestUrl": "/ws", "status": 502, "latency": null,
        "remoteIp": "127.0.0.1", "protocol": "HTTP/1.1",
    });
    assert_eq!(request, expected);
    assert_eq!(line["logging.googleapis.com/trace"], format!("projects/named-before/traces/{ID}"));
    assert_eq!(line["logging.googleapis.com/labels"], json!({ "session": line["session"].to_string() }));
    assert_eq!(line["logging.googleapis.com/sourceLocation"]["file"], "src/session/books.rs");
}

#[tokio::test]
async fn a_plain_request_has_a_line_where_that_is_asked_for_and_a_handshake_only_those_of_its_session() {
    let lines = format!("{OBSERVING}\nlog.requests = true");
    let mut gate = Process::start(nowhere().await, &lines, &[("GOOGLE_CLOUD_PROJECT", "p")]).await;
    // The second is left to the HTTP server, which also serves the plain ones.
    for header in [("traceparent", format!("00-{ID}-00f067aa0ba902b7-01")), ("Content-Length", "0".to_owned())] {
        ended(&mut gate, (header.0, &header.1)).await;
    }
    let mut client = gate.client().await;
    client
        .send(format!("PUT /a?token=secret HTTP/1.1\r\nHost: a\r\nX-Cloud-Trace-Context: {ID}/255;o=1\r\n\r\n"))
        .await;
    assert_eq!(client.response().await.status(), 502);
    let line = gate.next_of(&["request answered"]).await;
    let mut request = line["httpRequest"].clone();
    assert!(request["latency"].take().as_str().unwrap().ends_with('s'), "{line}");
    let expected = json!({
        "requestMethod": "PUT", "requestUrl": "/a", "status": 502, "latency": null,
        "remoteIp": "127.0.0.1", "protocol": "HTTP/1.1",
    });
    assert_eq!(request, expected);
    assert_eq!((&line["severity"], &line["status"]), (&"INFO".into(), &502.into()));
    assert_eq!(line["logging.googleapis.com/trace"], format!("projects/p/traces/{ID}"));
    let mut client = gate.client().await;
    client.send("GET /without-a-host HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 400);
    let line = gate.logged("request answered").await;
    assert_eq!((&line["path"], &line["status"]), (&"/without-a-host".into(), &400.into()));
    gate.signal("TERM").await;
    let log = gate.everything().await;
    assert_eq!(log.matches("\"request answered\"").count(), 2, "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_plain_request_has_no_line_where_nobody_asked_for_it() {
    let mut gate = Process::start(nowhere().await, OBSERVING, &[]).await;
    let mut client = gate.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 502);
    gate.signal("TERM").await;
    let log = gate.everything().await;
    assert!(!log.contains("request answered"), "{log}");
}

#[tokio::test]
async fn a_hostile_trace_header_leaves_no_trace() {
    let mut gate = Process::start(nowhere().await, OBSERVING, &[("GOOGLE_CLOUD_PROJECT", "p")]).await;
    for (name, value) in [
        ("X-Cloud-Trace-Context", "x\",\"severity\":\"ERROR\",\"a\":\"/1;o=1"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-01"),
    ] {
        let line = ended(&mut gate, (name, value)).await;
        assert_eq!((&line["severity"], line.get("logging.googleapis.com/trace")), (&"WARNING".into(), None), "{line}");
        assert_eq!((line.get("trace"), line.get("logging.googleapis.com/spanId")), (None, None), "{line}");
    }
}

/// The line on the end of a session whose request has this header; those before it have its trace too.
async fn ended(gate: &mut Process, header: (&str, &str)) -> Value {
    let mut client = gate.client().await;
    client.ask("/ws?token=secret", &[header]).await;
    assert_eq!(client.response().await.status(), 502);
    let step = gate.logged("session dialing").await;
    let line = gate.logged("session ended: upstream_unreachable").await;
    for key in ["trace", "logging.googleapis.com/trace", "logging.googleapis.com/spanId"] {
        assert_eq!(step.get(key), line.get(key), "{step} {line}");
    }
    line
}

/// Whoever else asks is told at once.
fn answer_all(mut metadata: Upstream) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut asked = metadata.dialed().await;
            let _ = asked.try_send(ANSWER).await;
            asked.rest().await;
        }
    })
}
