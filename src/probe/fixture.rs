//! What the tests of probes are run against: small servers on a loopback port of the kernel's choice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
};

use super::once;
use crate::{
    config::{Backoff, Check, CheckKind, HttpCheck, Pacing, Target},
    gate::Failure,
};

/// A check with the rhythm of the defaults.
pub(super) fn check(kind: CheckKind) -> Check {
    let backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(1) };
    let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
    Check {
        name: "upstream".to_owned(),
        kind,
        pacing: Pacing {
            interval,
            timeout,
            backoff,
            rise: 1,
            fall: 3,
            breaker: crate::config::Breaker { attempts: 10, cooldown: std::time::Duration::from_secs(10) },
        },
    }
}

/// The result of one run.
pub(super) async fn run_once(kind: CheckKind) -> Result<(), Failure> {
    once(&check(kind)).await.0
}

pub(super) fn local(port: u16) -> Target {
    Target { host: "127.0.0.1".to_owned(), port, tls: None }
}

pub(super) fn get(port: u16, path: &str) -> HttpCheck {
    let (status, json, headers) = (Vec::new(), Vec::new(), Vec::new());
    HttpCheck { target: local(port), path: path.to_owned(), status, json, text: None, headers }
}

/// A whole answer.
pub(super) fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A port that is bound and not listening: refused, and nobody else's while the socket is kept.
pub(super) fn dead_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// Takes every connection and never says a word.
pub(super) async fn mute() -> u16 {
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
        }
    });
    port
}

/// Gives every connection the same bytes for whatever it sends, and closes.
pub(super) async fn say(bytes: &'static [u8]) -> u16 {
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        loop {
            exchange(listener.accept().await.unwrap().0, bytes).await;
        }
    });
    port
}

/// The same for one connection, and tells what it sent.
pub(super) async fn hear(bytes: &'static [u8]) -> (u16, oneshot::Receiver<String>) {
    let (listener, port) = listener().await;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let request = exchange(listener.accept().await.unwrap().0, bytes).await;
        tell.send(request).unwrap();
    });
    (port, told)
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// One read is enough: a request head is sent in one piece.
async fn exchange(mut stream: TcpStream, bytes: &[u8]) -> String {
    let mut request = vec![0; 4096];
    let count = stream.read(&mut request).await.unwrap();
    request.truncate(count);
    // The client may have had enough before the end of a large answer.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    String::from_utf8_lossy(&request).into_owned()
}
