//! Planted secrets, searched for in everything that readygate says.

use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::{io::copy, net::TcpListener, task::JoinSet};

use super::{check, route};
use crate::{
    dependencies::{postgres::Postgres, redis::Redis},
    harness::{
        frame::Frame,
        gate::{admin, metric_is},
        head::head,
        process::{Process, run},
        raw::Raw,
        upstream::{Echo, Health, nowhere},
    },
};

/// Part of every secret, and of nothing else.
const PLANTED: &str = "planted";

/// Where the file takes its secrets from the environment.
const VARIABLES: [(&str, &str); 2] = [("IN_A_HEADER", "planted-in-a-header"), ("IN_A_QUERY", "planted-in-a-query")];

/// Of the upstream's check, its address to be put in place of `ADDRESS`.
const CHECK: &str =
    r#"{ url = "http://ADDRESS/ready?key=${IN_A_QUERY}", headers = { authorization = "Bearer ${IN_A_HEADER}" } }"#;

const PAGES: [&str; 7] = ["/", "/gate", "/status", "/sessions", "/metrics", "/readyz", "/livez"];

/// What a client says of itself.
const CREDENTIALS: [(&str, &str); 4] = [
    ("Authorization", "Bearer planted-authorization"),
    ("Cookie", "session=planted-cookie"),
    ("Sec-WebSocket-Protocol", "bearer, planted-subprotocol"),
    ("Origin", "https://elsewhere.example?planted-origin"),
];

/// A file that is wrong in one way.
const WRONG: [&str; 26] = [
    r#"dependencies.a.check = "redis://:planted@host:99999/0""#,
    r#"dependencies.a.check = "redis://:planted@host/nought""#,
    r#"dependencies.a.check = "redis://:planted@""#,
    r#"dependencies.a.check = "redis://user:planted@host:port/0""#,
    r#"dependencies.a.check = "redis://:plan%ted-planted@host""#,
    r#"dependencies.a.check = "redis://:planted/x@host/0""#,
    r#"dependencies.a.check = "postgres://u:planted@host/db?sslmode=sometimes""#,
    r#"dependencies.a.check = "postgres://u:p@host/db?password=planted""#,
    r#"dependencies.a.check = "mysql://u:planted@host/db""#,
    r#"dependencies.a.check = "http://u:planted@host/""#,
    r#"dependencies.a.check = "https://host/a b?token=planted""#,
    r#"dependencies.a.check = ":planted@host""#,
    r#"dependencies.a.check = "redis://:planted@host" and more"#,
    r#"dependencies.a.check = "redis://:planted@host"#,
    r#"dependencies.a.chekc = "redis://:planted@host""#,
    r#"dependencies.a.check = ["redis://:planted@host"]"#,
    r#"dependencies.a.check = { url = "http://host/", headers = "planted" }"#,
    r#"dependencies.a.check = { url = "http://host/", headers = { authorization = "planted\n" } }"#,
    r#"dependencies.a.check = { url = "http://host/", headers = ["Bearer planted"] }"#,
    r#"dependencies.a.check = { url = "http://host/", headers = "x, expected planted" }"#,
    r#"dependencies.a = "planted""#,
    r#"dependencies.a.check = { url = "redis://host", rise = "planted" }"#,
    r#"dependencies = "planted""#,
    r#"upstream.check = { url = "/ready", headers = { key = ["planted"], other = 7 } }"#,
    r#"upstream.check = { url = "/ready?key=planted ü" }"#,
    r#"upstream.url = "http://u:planted@host""#,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_of_checks_that_fail_or_of_clients_that_wait() {
    let (redis, postgres) = (Redis::start(&["--requirepass", "right"]), Postgres::start(&[]));
    let (health, echo) = (Health::start(false).await, Echo::start().await);
    let (mirror, scold, dead) = (Mirror::start(false).await, Mirror::start(true).await, nowhere().await);
    let sick = health.address;
    let checks = [
        ("redis-wrong", format!("redis://:planted@127.0.0.1:{}", redis.port)),
        ("redis-user", format!("redis://nobody:planted%40@127.0.0.1:{}", redis.port)),
        ("redis-dead", format!("redis://:planted@{dead}")),
        ("redis-mirror", format!("redis://:planted@{}", mirror.address)),
        ("redis-scold", format!("redis://:planted@{}", scold.address)),
        ("redis-tls", format!("rediss://:planted@{sick}")),
        ("postgres-wrong", format!("postgres://app:planted@127.0.0.1:{}/postgres", postgres.port)),
        ("postgres-mirror", format!("postgres://app:planted@{}/x?sslmode=disable", mirror.address)),
        ("http-sick", format!("http://{sick}/?token=planted")),
        ("http-dead", format!("http://{dead}/?token=planted")),
        ("http-mirror", format!("http://{}/?token=planted", mirror.address)),
        ("http-tls", format!("https://{sick}/?token=planted")),
        ("http-unknown", "http://readygate.invalid/?token=planted".to_owned()),
        ("ws-sick", format!("ws://{sick}/ws?token=planted")),
        ("ws-mirror", format!("ws://{}/ws?token=planted", mirror.address)),
    ];
    let lines = file(sick, &checks);
    let mut gate = Process::start(echo.address, &lines, &VARIABLES).await;
    for (name, _) in &checks {
        check(gate.admin, name, |check| check["state"] == "failing").await;
    }
    let clients = clients(&gate).await;
    metric_is(gate.admin, r#"readygate_sessions{state="held"}"#, clients.len() as f64).await;
    assert_eq!(search(&mut gate).await, clients.len());
    assert_commands(echo.address, &lines, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_of_checks_that_pass_or_of_clients_that_come_through() {
    let (redis, postgres) = (Redis::start(&["--requirepass", "planted"]), Postgres::start(&[]));
    postgres.sql("CREATE ROLE app LOGIN PASSWORD 'planted'");
    let (health, echo) = (Health::start(true).await, Echo::start().await);
    let checks = [
        ("redis", format!("redis://:planted@127.0.0.1:{}", redis.port)),
        ("postgres", format!("postgres://app:planted@127.0.0.1:{}/postgres", postgres.port)),
        ("http", format!("http://{}/?token=planted", health.address)),
        ("ws", format!("ws://{}/ws?token=planted", echo.address)),
    ];
    let lines = file(health.address, &checks);
    let mut gate = Process::start(echo.address, &lines, &VARIABLES).await;
    route(gate.admin, "*", "open").await;
    let mut clients = clients(&gate).await;
    let (open, closing) = clients.split_at_mut(1);
    assert_eq!(open[0].head().await.status(), 101);
    for client in closing {
        client.head().await;
        client.send_frame(&Frame::close(4000, "planted-reason")).await;
    }
    metric_is(gate.admin, r#"readygate_sessions{state="open"}"#, 1.0).await;
    assert!(search(&mut gate).await > 0);
    assert_commands(echo.address, &lines, 0).await;
}

#[tokio::test]
async fn no_secret_is_told_of_a_file_that_is_wrong() {
    for wrong in WRONG {
        let url = if wrong.contains("upstream.url") { "" } else { "upstream.url = \"http://127.0.0.1:1\"\n" };
        for command in ["check", "run"] {
            let ended = run(&[command], &[], &[("proxy.toml", &format!("{url}{wrong}\n"))]).await;
            assert_eq!(ended.code, Some(2), "{wrong}: {ended:?}");
            let said = ended.stdout + &ended.stderr;
            assert!(said.contains("proxy.toml:"), "{wrong}: {said}");
            assert_silent(wrong, &said);
        }
    }
}

#[tokio::test]
async fn no_secret_is_told_of_a_variable_that_is_wrong() {
    let file = "upstream.url = \"http://127.0.0.1:1\"\ndependencies.a.check = \"redis://:${WORD}@host/0\"\n";
    let cases = [
        ("READYGATE_DEPENDENCIES__A__CHECK", "redis://:planted@host:99999"),
        ("READYGATE_DEPENDENCIES__A__CHECK", "{ url = \"redis://:planted@host\", rise = 0 }"),
        ("READYGATE_DEPENDENCIES__A__CHECK", "{ url = \"redis://:planted@host\""),
        ("READYGATE_DEPENDENCIES__A__CHEKC", "redis://:planted@host"),
        ("READYGATE_UPSTREAM__CHECK", "mysql://:planted@host"),
        ("WORD", "planted@host:1:2/#?"),
    ];
    for (name, value) in cases {
        let ended = run(&["check"], &[("WORD", "word"), (name, value)], &[("proxy.toml", file)]).await;
        assert_eq!(ended.code, Some(2), "{name}={value}: {ended:?}");
        assert_silent(value, &(ended.stdout + &ended.stderr));
    }
}

/// A file with these dependencies that says all there is to say.
fn file(upstream: SocketAddr, checks: &[(&str, String)]) -> String {
    let check = CHECK.replace("ADDRESS", &upstream.to_string());
    let mut lines = format!("log.level = \"debug\"\nupstream.check = [\"/up?key=${{IN_A_QUERY}}\", {check}]\n");
    if checks.iter().any(|(name, _)| *name == "http") {
        lines = format!("log.level = \"debug\"\nupstream.check = {check}\n");
    }
    for (name, url) in checks {
        lines += &format!("dependencies.{name}.check = \"{url}\"\n");
    }
    lines
}

/// Accepted early and deferred, with all that a client can have secrets in.
async fn clients(gate: &Process) -> Vec<Raw> {
    let mut clients = join_all((0..=CREDENTIALS.len()).map(|_| gate.client())).await;
    for (place, client) in clients.iter_mut().enumerate() {
        let lines = place.checked_sub(1).map_or(&CREDENTIALS[..2], |only| &CREDENTIALS[only..=only]);
        client.ask("/ws?token=planted-query", lines).await;
        client.send_frame(&Frame::text("planted-payload")).await;
    }
    let mut broken = gate.client().await;
    broken.send("GET /ws?token=planted HTTP/1.1\r\nHost: h\r\nAuthorization planted\r\n\r\n").await;
    broken.rest().await;
    let mut odd = gate.client().await;
    odd.send(head("GET /ws?token=planted HTTP/1.1", &[("Host", "h"), ("Upgrade", "planted"), CREDENTIALS[0]])).await;
    drop(odd);
    clients
}

/// Looks through every page and then the log; says how many sessions had a page of their own.
async fn search(gate: &mut Process) -> usize {
    for page in PAGES {
        assert_silent(page, admin(gate.admin, page).await.text());
    }
    let sessions = admin(gate.admin, "/sessions").await.json();
    let ids: Vec<&Value> = sessions.as_array().unwrap().iter().map(|session| &session["id"]).collect();
    for id in &ids {
        let page = format!("/sessions/{id}");
        assert_silent(&page, admin(gate.admin, &page).await.text());
    }
    gate.signal("TERM").await;
    let log = gate.everything().await;
    assert!(log.lines().count() > 10, "a log in which nothing can be found: {log}");
    assert_silent("the log", &log);
    ids.len()
}

/// The commands that read the same file.
async fn assert_commands(upstream: SocketAddr, lines: &str, live: i32) {
    let file = format!("upstream.url = \"http://{upstream}\"\n{lines}");
    for (arguments, code) in [(&["check"][..], 0), (&["check", "--live"], live)] {
        let ended = run(arguments, &VARIABLES, &[("proxy.toml", &file)]).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_silent(&arguments.join(" "), &(ended.stdout + &ended.stderr));
    }
}

#[track_caller]
fn assert_silent(what: &str, text: &str) {
    let told: Vec<_> = text.lines().filter(|line| line.contains(PLANTED)).collect();
    assert!(told.is_empty(), "{what} tells a secret: {told:#?}");
}

/// A server that sends back what it gets; as an old Redis does that does not know the command, or as it is.
struct Mirror {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Mirror {
    async fn start(scolds: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    if scolds {
                        let line = b"-ERR unknown command `AUTH`, with args beginning with: `planted`, \r\n";
                        let _ = tokio::io::AsyncWriteExt::write_all(&mut to, &line.repeat(2)).await;
                    }
                    let _ = copy(&mut from, &mut to).await;
                });
            }
        });
        Self { address, _task: task }
    }
}
