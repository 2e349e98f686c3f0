//! The command line: exit codes, messages, ports, certificates, and what the admin port has.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{
    frame::Frame,
    gate::{Setup, admin},
    head::head,
    process::{Ended, Process, run},
    raw::Raw,
    tls::{certificate, tls_connect},
    upstream::{Echo, Upstream, nowhere},
};

const SOUND: &str =
    "server.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nupstream.url = \"http://127.0.0.1:1\"\n";

const ADMIN_PATHS: [&str; 7] = ["/startupz", "/livez", "/readyz", "/gate", "/metrics", "/status", "/sessions"];

#[tokio::test]
async fn a_missing_file_is_wrong_usage() {
    for command in ["run", "check"] {
        let ended = run(&[command, "--config", "missing.toml"], &[], &[]).await;
        fails(&ended, 2, &["missing.toml: no such file", "name the configuration with --config"]);
    }
    fails(&run(&[], &[], &[]).await, 2, &["proxy.toml: no such file"]);
}

#[tokio::test]
async fn every_problem_of_a_file_is_named_with_its_place() {
    let file = format!("{SOUND}gate.hold_timeuot = \"1s\"\nhold.sessions = 0\n");
    for command in ["run", "check"] {
        let ended = run(&[command], &[], &[("proxy.toml", &file)]).await;
        fails(&ended, 2, &["proxy.toml:4:6: unknown key \"hold_timeuot\"", "hold_timeout", "proxy.toml:5:"]);
    }
}

#[tokio::test]
async fn text_that_is_no_toml_is_wrong_usage() {
    fails(&run(&["check"], &[], &[("proxy.toml", "[gate\n")]).await, 2, &["proxy.toml:1:"]);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["server.listen", "admin.listen"] {
        let file = SOUND.replace(&format!("{key} = \"127.0.0.1:0\""), &format!("{key} = \"{address}\""));
        let ended = run(&["run"], &[], &[("proxy.toml", &file)]).await;
        fails(&ended, 1, &[&format!("{key}: cannot listen on {address}"), "another process has port"]);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_before_the_start() {
    let (cert, key) = certificate(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let file = format!("{SOUND}server.tls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\n");
    for command in ["run", "check"] {
        let ended = run(&[command], &[], &[("proxy.toml", &file), ("cert.pem", &cert), ("key.pem", &key)]).await;
        fails(&ended, 2, &["cert.pem", "expired"]);
    }
}

#[tokio::test]
async fn a_sound_file_is_summed_up_and_a_live_check_tells_what_fails() {
    let files = [("proxy.toml", SOUND)];
    let ended = run(&["check"], &[], &files).await;
    assert_eq!((ended.code, ended.stdout.lines().next()), (Some(0), Some("proxy.toml: ok")), "{ended:?}");
    let ended = run(&["check", "--live"], &[], &files).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.lines().any(|line| line.starts_with("upstream") && line.contains("refused")), "{ended:?}");
    let upstream = Upstream::start().await;
    let file = SOUND.replace("127.0.0.1:1", &upstream.address.to_string());
    let ended = run(&["check", "--live"], &[], &[("proxy.toml", &file)]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn variables_lie_over_the_file_and_their_faults_are_named() {
    let files = [("proxy.toml", "server.listen = \"127.0.0.1:1234\"\n")];
    let url = ("READYGATE_UPSTREAM__URL", "http://10.0.0.1:81");
    let ended = run(&["check"], &[("PORT", "8765"), url], &files).await;
    assert!(ended.stdout.contains("127.0.0.1:8765") && ended.stdout.contains("10.0.0.1:81"), "{ended:?}");
    fails(&run(&["check"], &[("PORT", "http"), url], &files).await, 2, &["PORT", "\"http\" is no port"]);
    let ended = run(&["check"], &[("READYGATE_GATE__HOLD_TIMEOUT", "soon"), url], &files).await;
    fails(&ended, 2, &["READYGATE_GATE__HOLD_TIMEOUT", "soon"]);
}

#[tokio::test]
async fn the_process_listens_on_the_port_of_its_environment() {
    let port = nowhere().await.port();
    let echo = Echo::start().await;
    let process = Process::start(echo.address, "", &[("PORT", &port.to_string())]).await;
    assert_eq!(process.public, SocketAddr::from(([127, 0, 0, 1], port)));
    let mut client = process.client().await;
    client.upgrade("/", &[]).await;
    client.send_frame(&Frame::text("through")).await;
    assert_eq!(client.frame().await, Frame::text("through"));
}

#[tokio::test]
async fn the_schema_is_json_with_every_section() {
    let ended = run(&["schema"], &[], &[]).await;
    assert_eq!(ended.code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for section in ["server", "admin", "upstream", "probe", "gate", "hold", "http", "drain", "log"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[tokio::test]
async fn wrong_usage_is_2_and_help_is_0() {
    fails(&run(&["--no-such-flag"], &[], &[]).await, 2, &["--no-such-flag"]);
    fails(&run(&["no-such-command"], &[], &[]).await, 2, &["no-such-command"]);
    let help = run(&["--help"], &[], &[]).await;
    assert_eq!(help.code, Some(0));
    assert!(
        ["run", "check", "demo", "schema", "doctor", "probe"].iter().all(|command| help.stdout.contains(command)),
        "{help:?}"
    );
    assert_eq!(run(&["--version"], &[], &[]).await.stdout, format!("readygate {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn the_admin_port_has_its_paths_and_no_other_and_takes_no_writes() {
    let gate = Setup::open(nowhere().await).start().await;
    for path in ADMIN_PATHS {
        assert_eq!(gate.admin(path).await.status(), 200, "{path}");
    }
    let missing = gate.admin("/healthz").await;
    assert_eq!(missing.status(), 404);
    assert!(missing.json()["paths"].as_array().unwrap().len() >= ADMIN_PATHS.len());
    gate.shut().await;
    let states = ["/livez", "/readyz", "/gate"].map(|path| admin(gate.admin, path));
    let states = futures_util::future::join_all(states).await;
    assert_eq!(states.iter().map(|answer| answer.status()).collect::<Vec<_>>(), [200, 200, 503]);
    let mut client = Raw::connect(gate.admin).await;
    client.send(head("DELETE /sessions HTTP/1.1", &[("Host", "admin"), ("Content-Length", "0")])).await;
    assert_eq!(client.response().await.status(), 405);
}

#[tokio::test]
async fn no_path_is_reserved_on_the_public_port() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    for path in ADMIN_PATHS.iter().chain(&["/healthz", "/"]) {
        let mut client = gate.client().await;
        client.send(head(&format!("GET {path} HTTP/1.1"), &[("Host", "example.org"), ("Connection", "close")])).await;
        let mut backend = upstream.dialed().await;
        assert_eq!(backend.head().await.first, format!("GET {path} HTTP/1.1"));
        backend.send("HTTP/1.1 418 I'm a teapot\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.response().await.status(), 418);
    }
}

#[tokio::test]
async fn the_public_port_can_speak_tls() {
    let (cert, key) = certificate(|_| {});
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), &cert).unwrap();
    std::fs::write(path("key.pem"), key).unwrap();
    let tls = format!("server.tls = {{ cert = \"{}\", key = \"{}\" }}", path("cert.pem"), path("key.pem"));
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).with(&tls).start().await;
    let mut client = Raw::client(tls_connect(gate.public, &cert).await.unwrap());
    client.upgrade("/ws", &[("Origin", "https://example.org")]).await;
    client.send_frame(&Frame::binary(&[5; 100_000])).await;
    gate.holds_bytes(|bytes| bytes > 100_000).await;
    gate.open().await;
    let mut backend = upstream.dialed().await;
    assert_eq!(backend.accept(&[]).await.get("x-forwarded-proto"), Some("https"));
    assert_eq!(backend.frame().await, Frame::binary(&[5; 100_000]));
    backend.send_frame(&Frame::close(1000, "bye")).await;
    assert_eq!(client.frame().await.closing(), (1000, "bye".into()));
    let mut plain = gate.client().await;
    plain.send(head("GET / HTTP/1.1", &[("Host", "example.org")])).await;
    let answer = plain.rest().await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

/// It ended with this code, and said each of these.
fn fails(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let text = format!("{}{}", ended.stdout, ended.stderr);
    for part in said {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}
