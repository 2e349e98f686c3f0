//! Modes, degraded service, notices, refusals and the last call, led by the driver over in-memory streams.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeSet,
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, advance},
};

use super::{Arrival, House, Reply, gating::Gating, outcome::Outcome, run, standing::Standing};
use crate::{
    config::{Config, Environment},
    descriptors::Place,
    dial::{DialError, DialFault},
    fields::Lines,
    gate::{Class, Failure, Gate, Plan},
    telemetry::metrics::Metrics,
    upstream::{Answer, Fault, Going, Joined, Upstream, handshake::Handshake},
    wire::close,
};

/// Place of the optional dependency among the checks.
const OPTIONAL: usize = 1;

/// What the upstream says at once: a text frame.
const GREETING: &[u8] = b"\x81\x02hi";

/// An upstream that joins at once, or refuses every dial.
struct Script {
    refuses: bool,
    /// The far ends of its connections.
    ends: Mutex<Vec<DuplexStream>>,
}

impl Upstream for Script {
    type Stream = DuplexStream;

    async fn dial(&self, _: Vec<u8>, _: &str, _: Going) -> Result<Answer<DuplexStream>, Fault> {
        if self.refuses {
            let reason = "refused".to_owned();
            return Err(Fault::Dial(DialError { fault: DialFault::Refused, reason, hint: None }));
        }
        let (stream, end) = duplex(1 << 16);
        self.ends.lock().unwrap().push(end);
        Ok(Answer::Joined(Joined { stream, early: Bytes::from_static(GREETING), lines: Lines::default() }))
    }
}

/// A house whose upstream has a check, beside an optional dependency.
fn house(lines: &str, refuses: bool) -> Arc<House<Script>> {
    let text = format!(
        "upstream.url = \"http://localhost:1\"\nprobe.fall = 1\ngate.allowed_origins = [\"*\"]\n\
         dependencies.llm = {{ check = \"tcp://localhost:2\", required = false }}\n{lines}\n"
    );
    let config = Config::parse(&text, "proxy.toml", &Environment::with_variables([])).unwrap();
    let metrics = Metrics::new();
    let gate = Gate::of(&Plan::of(&config), Arc::clone(&metrics));
    Arc::new(House::new(config, gate, metrics, Script { refuses, ends: Mutex::default() }))
}

fn check(house: &House<Script>, index: usize, passes: bool) {
    let failure = Failure { class: Class::Refused, reason: "nothing listens".to_owned(), hint: None };
    let result = if passes { Ok(()) } else { Err(failure) };
    house.gate.report(index, result, Duration::ZERO, SystemTime::now());
}

/// A gate that is open, degraded or shut.
fn set(house: &House<Script>, verdict: &str) {
    check(house, OPTIONAL, verdict != "degraded");
    check(house, 0, verdict != "shut");
    assert_eq!(house.gate.lane(0).verdict().label(), verdict);
}

/// A session, its answer, and the client's end of its stream.
struct Session {
    reply: Reply,
    client: DuplexStream,
    task: JoinHandle<Outcome>,
}

async fn arrive(house: &Arc<House<Script>>) -> Session {
    let arrival = Arrival {
        path: "/".to_owned(),
        handshake: Handshake::default(),
        accept: "accept".to_owned(),
        gating: Gating::of(&house.config.gate, &HeaderMap::new(), Ipv4Addr::LOCALHOST.into()),
        trace: None,
        early: Ok(None),
        route: 0,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        place: Place::uncounted(),
        at: Instant::now().into_std(),
    };
    let (sender, reply) = oneshot::channel();
    let (client, server) = duplex(1 << 16);
    let (upgraded, upgrade) = oneshot::channel();
    let task = tokio::spawn(run(Arc::clone(house), arrival, sender, async move { upgrade.await.ok() }));
    let reply = reply.await.unwrap();
    // A session that was refused has ended and takes no stream.
    let _ = upgraded.send((server, Bytes::new()));
    Session { reply, client, task }
}

/// What became of the handshake: `early` with the state told, `switch` with the header of the 101, or a status.
fn answer(reply: &Reply) -> (&'static str, String) {
    match reply {
        Reply::Early { standing, .. } => ("early", standing.label().to_owned()),
        Reply::Switch { standing, .. } => ("switch", standing.map_or("backend", Standing::label).to_owned()),
        Reply::Refuse(farewell) => ("refuse", farewell.status.as_u16().to_string()),
        Reply::Decline(_) => ("decline", String::new()),
    }
}

fn has(house: &House<Script>, line: &str) -> bool {
    house.metrics.render().lines().any(|other| other == line)
}

/// The payload of the next frame, which must be a text message from a server.
async fn text(client: &mut DuplexStream) -> String {
    let first = [client.read_u8().await.unwrap(), client.read_u8().await.unwrap()];
    assert_eq!(first[0], 0x81, "no text frame");
    let length = if first[1] == 126 { client.read_u16().await.unwrap() } else { u16::from(first[1]) };
    let mut payload = vec![0; usize::from(length)];
    client.read_exact(&mut payload).await.unwrap();
    String::from_utf8(payload).unwrap()
}

async fn rest(client: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn r24_each_mode_under_each_verdict_holds_or_relays() {
    let held = ("early", "held");
    let (relayed, degraded) = (("switch", "backend"), ("switch", "degraded"));
    for (mode, verdict, expected) in [
        ("enforce", "open", relayed),
        ("enforce", "degraded", degraded),
        ("enforce", "shut", held),
        ("observe", "open", relayed),
        ("observe", "degraded", relayed),
        ("observe", "shut", relayed),
        ("off", "open", relayed),
        ("off", "degraded", relayed),
        ("off", "shut", relayed),
    ] {
        let house = house(&format!("gate.mode = \"{mode}\""), false);
        set(&house, verdict);
        let session = arrive(&house).await;
        assert_eq!(answer(&session.reply), (expected.0, expected.1.to_owned()), "{mode}, {verdict}");
        session.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn r24_what_would_have_been_is_counted_with_what_became_of_it_for_the_observed_alone() {
    for (mode, verdict, would) in [
        ("observe", "shut", Some("hold")),
        ("observe", "open", Some("pass")),
        ("off", "shut", None),
        ("enforce", "open", None),
    ] {
        let house = house(&format!("gate.mode = \"{mode}\""), false);
        set(&house, verdict);
        let mut session = arrive(&house).await;
        let mut greeting = [0; GREETING.len()];
        session.client.read_exact(&mut greeting).await.unwrap();
        drop(session.client);
        assert_eq!(session.task.await.unwrap(), Outcome::ClientGone);
        let line = |would: &str| format!("readygate_observed_total{{outcome=\"client_gone\",would=\"{would}\"}} 1");
        let counted = ["hold", "pass"].into_iter().find(|would| has(&house, &line(would)));
        assert_eq!(counted, would, "{mode}, {verdict}");
    }
}

#[tokio::test(start_paused = true)]
async fn r24_where_nothing_listens_who_is_not_held_is_told_at_once_and_the_gate_knows() {
    for (mode, would) in [("observe", Some("hold")), ("off", None)] {
        let house = house(&format!("gate.mode = \"{mode}\""), true);
        set(&house, "open");
        let (start, session) = (Instant::now(), arrive(&house).await);
        assert_eq!(answer(&session.reply), ("refuse", "502".to_owned()), "{mode}");
        assert_eq!(session.task.await.unwrap(), Outcome::UpstreamUnreachable);
        assert_eq!((start.elapsed(), house.gate.verdict().label()), (Duration::ZERO, "shut"), "{mode}");
        let line = "readygate_observed_total{outcome=\"upstream_unreachable\",would=\"hold\"} 1";
        assert_eq!(has(&house, line), would.is_some(), "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn r24_who_is_outside_the_share_is_observed() {
    let house = house("gate.rollout_percent = 0", false);
    set(&house, "shut");
    let session = arrive(&house).await;
    assert_eq!(answer(&session.reply), ("switch", "backend".to_owned()));
    session.task.abort();
}

#[tokio::test(start_paused = true)]
async fn r14_a_session_that_passes_degraded_is_counted_and_its_timeline_says_what_is_missing() {
    let house = house("", false);
    set(&house, "degraded");
    let session = arrive(&house).await;
    assert!(has(&house, "readygate_sessions_degraded_total{route=\"*\"} 1"));
    let steps = house.registry.find(1, Instant::now().into_std()).unwrap().steps;
    let replaying = steps.iter().find(|step| step.state == "replaying").unwrap();
    assert_eq!(&*replaying.reason, "degraded: llm: refused: nothing listens");
    session.task.abort();
}

#[tokio::test(start_paused = true)]
async fn r14_without_degraded_mode_the_gate_opens_whole_or_not_at_all() {
    let house = house("features.degraded_mode = false", false);
    check(&house, 0, true);
    check(&house, OPTIONAL, false);
    let session = arrive(&house).await;
    assert!(matches!(session.reply, Reply::Early { standing: Standing::Held, .. }));
    session.task.abort();
}

#[tokio::test(start_paused = true)]
async fn r15_a_waiting_client_is_told_that_it_waits_and_then_that_it_passes_before_the_backend_speaks() {
    let house = house("features.client_notices = true", false);
    set(&house, "shut");
    let mut session = arrive(&house).await;
    let held = r#"{"type":"readygate","state":"held","reason":"a service is starting","waited_ms":0}"#;
    assert_eq!(text(&mut session.client).await, held);
    advance(Duration::from_millis(1_500)).await;
    set(&house, "open");
    let ready = r#"{"type":"readygate","state":"ready","reason":"all services are ready","waited_ms":1500}"#;
    assert_eq!(text(&mut session.client).await, ready);
    assert_eq!(text(&mut session.client).await, "hi");
    session.task.abort();
}

#[tokio::test(start_paused = true)]
async fn r15_a_second_wait_has_an_estimate_and_may_end_degraded() {
    let house = house("features.client_notices = true", false);
    advance(Duration::from_secs(10)).await;
    set(&house, "open");
    set(&house, "shut");
    advance(Duration::from_secs(4)).await;
    let mut session = arrive(&house).await;
    let held =
        r#"{"type":"readygate","state":"held","reason":"a service is unavailable","waited_ms":0,"estimate_ms":6000}"#;
    assert_eq!(text(&mut session.client).await, held);
    set(&house, "degraded");
    let told: serde_json::Value = serde_json::from_str(&text(&mut session.client).await).unwrap();
    assert_eq!((&told["state"], &told["reason"]), (&"degraded".into(), &"some services are unavailable".into()));
    session.task.abort();
}

#[tokio::test(start_paused = true)]
async fn r15_a_client_is_told_before_it_is_closed_and_in_the_operators_words() {
    let lines = "features.client_notices = true\ngate.hold_timeout = \"3s\"\nnotices = { held = \"\", closing = \"{reason}; \
                 {waited_ms}, back in {retry_after_ms}\" }";
    let house = house(lines, false);
    set(&house, "shut");
    let mut session = arrive(&house).await;
    assert_eq!(text(&mut session.client).await, "not ready in time; 3000, back in 5000");
    assert_eq!(rest(&mut session.client).await, close::frame(close::TRY_AGAIN, "not ready in time"));
    drop(session.client);
    assert_eq!(session.task.await.unwrap(), Outcome::HoldTimeout);
}

#[tokio::test(start_paused = true)]
async fn r15_notices_go_to_who_waits_or_misses_something_and_to_nobody_else() {
    for (mode, verdict, expected) in [
        ("enforce", "open", "hi"),
        ("enforce", "degraded", "degraded"),
        ("observe", "shut", "hi"),
        ("off", "degraded", "hi"),
    ] {
        let lines = format!("features.client_notices = true\ngate.mode = \"{mode}\"\nnotices.degraded = \"{{state}}\"");
        let house = house(&lines, false);
        set(&house, verdict);
        let mut session = arrive(&house).await;
        assert_eq!(text(&mut session.client).await, expected, "{mode}, {verdict}");
        session.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn r15_switched_off_a_client_sees_the_backends_bytes_alone() {
    let house = house("notices.held = \"held\"\nnotices.ready = \"ready\"", false);
    set(&house, "shut");
    let mut session = arrive(&house).await;
    set(&house, "open");
    let mut seen = [0; GREETING.len()];
    session.client.read_exact(&mut seen).await.unwrap();
    let mut backend = house.upstream.ends.lock().unwrap().pop().unwrap();
    backend.write_all(&close::frame(close::NORMAL, "")).await.unwrap();
    drop(backend);
    assert_eq!((seen.as_slice(), rest(&mut session.client).await), (GREETING, close::frame(close::NORMAL, "")));
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_is_refused_and_nothing_says_that_it_was_held_or_listened_to() {
    for (lines, verdict, refuses, before) in [
        ("", "shut", false, vec!["arrived"]),
        ("", "open", true, vec!["arrived", "dialing"]),
        ("gate.confirm = { text = \"ready\" }", "open", false, vec!["arrived", "dialing"]),
    ] {
        let house = house(&format!("hold.sessions = 1\n{lines}"), refuses);
        set(&house, verdict);
        let _taken = house.budget.enter().unwrap();
        let session = arrive(&house).await;
        assert_eq!(answer(&session.reply), ("refuse", "503".to_owned()), "{before:?}");
        assert_eq!(session.task.await.unwrap(), Outcome::TooMany);
        let steps = house.registry.find(1, Instant::now().into_std()).unwrap().steps;
        let states: Vec<_> = steps.iter().map(|step| step.state).collect();
        assert_eq!(states, [before, vec!["too_many"]].concat());
        assert_eq!(&*steps.last().unwrap().reason, "hold.sessions are held already, or hold.total_bytes are used up");
        assert_eq!(house.gate.verdict().is_open(), verdict == "open" && !refuses, "the gate heard of a refused dial");
    }
}

#[tokio::test(start_paused = true)]
async fn r26_open_sessions_that_the_backend_closes_not_are_told_one_after_the_other() {
    let house = house("drain.timeout = \"8800ms\"", false);
    set(&house, "open");
    let (mut sessions, began) = (Vec::new(), Instant::now());
    for _ in 0..20 {
        sessions.push(arrive(&house).await);
    }
    let drain = house.drain.clone();
    drain.begin();
    tokio::spawn(async move { drain.run_out(pending(), |_| ()).await });
    let told = sessions.into_iter().map(async |mut session| {
        assert_eq!(rest(&mut session.client).await, [GREETING, &close::frame(close::RESTART, "restarting")].concat());
        assert_eq!(session.task.await.unwrap(), Outcome::Drained);
        began.elapsed().as_millis()
    });
    let moments: BTreeSet<u128> = join_all(told).await.into_iter().collect();
    assert!(moments.len() > 10, "{moments:?}");
}
