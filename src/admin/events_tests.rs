#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::SystemTime;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};

use super::*;
use crate::{
    admin::{crowd::Crowd, server::connection, tests},
    gate::{Class, Failure},
};

/// Room for every event of a test.
const ROOMY: usize = 1 << 20;
const ASK: &[u8] = b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n";

/// A connection without a socket, so that the clock may be paused.
struct Reader {
    stream: DuplexStream,
    read: String,
    served: JoinHandle<()>,
}

impl Reader {
    async fn open(view: &Arc<View>, buffer: usize, shutdown: &CancellationToken) -> Self {
        let (mut stream, server) = duplex(buffer);
        let place = Crowd::new(1).enter().await;
        let served = tokio::spawn(connection(server, [127, 0, 0, 1].into(), Arc::clone(view), shutdown.clone(), place));
        stream.write_all(ASK).await.unwrap();
        Self { stream, read: String::new(), served }
    }

    async fn listening(view: &Arc<View>) -> Self {
        Self::open(view, ROOMY, &CancellationToken::new()).await
    }

    /// What comes next that ends so, framing of chunks and all.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.read.find(end) {
                return self.read.drain(..at + end.len()).collect();
            }
            let mut piece = [0; 4096];
            let count = timeout(10 * HEARTBEAT, self.stream.read(&mut piece)).await.expect("silence").unwrap();
            assert!(count > 0, "the connection ended after {:?}", self.read);
            self.read += std::str::from_utf8(&piece[..count]).unwrap();
        }
    }

    async fn event(&mut self) -> Value {
        self.until("event: status\ndata: ").await;
        serde_json::from_str(&self.until("\n\n").await).unwrap()
    }
}

fn report(view: &View, result: Result<(), Failure>) {
    view.gate().report(0, result, Duration::from_micros(800), SystemTime::now());
}

fn failure(reason: &str) -> Result<(), Failure> {
    Err(Failure { class: Class::NotReady, reason: reason.to_owned(), hint: None })
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_told_the_status_at_once_and_every_change_of_a_verdict_at_once() {
    let (view, begun) = (tests::view(), Instant::now());
    let mut reader = Reader::listening(&view).await;
    assert!(reader.until("\r\n\r\n").await.contains("content-type: text/event-stream"));
    let first = reader.event().await;
    assert_eq!((&first["verdict"], &first["changes"]), (&json!("shut"), &json!([])));
    report(&view, Ok(()));
    let opened = reader.event().await;
    assert_eq!((&opened["verdict"], &opened["changes"][0]["to"]), (&json!("open"), &json!("open")));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn anything_else_is_told_within_a_second() {
    let (view, begun) = (tests::view(), Instant::now());
    let mut reader = Reader::listening(&view).await;
    reader.event().await;
    report(&view, failure("answered 503"));
    assert_eq!(reader.event().await["checks"][0]["reason"], "answered 503");
    assert_eq!(begun.elapsed().as_secs(), PERIOD.as_secs());
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_said_again_but_a_sign_of_life_is() {
    let (view, begun) = (tests::view(), Instant::now());
    let mut reader = Reader::listening(&view).await;
    reader.event().await;
    let said = reader.until(":\n\n").await;
    assert!(!said.contains("status"), "{said}");
    assert_eq!(begun.elapsed().as_secs(), HEARTBEAT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_other_connections_and_ends_with_the_port() {
    let (view, shutdown) = (tests::view(), CancellationToken::new());
    let mut reader = Reader::open(&view, ROOMY, &shutdown).await;
    reader.event().await;
    for _ in 0..10 {
        reader.until(":\n\n").await;
    }
    view.gate().drain();
    shutdown.cancel();
    assert_eq!(reader.event().await["verdict"], "draining");
    let (last, begun) = (reader.until("0\r\n\r\n").await, Instant::now());
    assert_eq!(last, "\r\n0\r\n\r\n");
    reader.served.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_read_is_cut_off() {
    let view = tests::view();
    let reader = Reader::open(&view, 64, &CancellationToken::new()).await;
    let busy = async {
        loop {
            // A run of no length: one that began before the refusal would not count.
            view.gate().report(0, Ok(()), Duration::ZERO, SystemTime::now());
            view.gate().dial_refused();
            tokio::time::sleep(PERIOD).await;
        }
    };
    let cut = tokio::select! {
        cut = timeout(20 * SLOW, reader.served) => cut,
        () = busy => return,
    };
    cut.expect("the connection goes on").unwrap();
    assert_eq!(view.listeners.available_permits(), MAX_LISTENERS);
}

#[tokio::test(start_paused = true)]
async fn one_listener_too_many_is_refused_until_another_has_gone() {
    let view = tests::view();
    let mut readers = Vec::new();
    for _ in 0..MAX_LISTENERS {
        let mut reader = Reader::listening(&view).await;
        reader.event().await;
        readers.push(reader);
    }
    let refused = Reader::listening(&view).await.until("\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 5"), "{refused}");
    let Reader { stream, served, .. } = readers.remove(0);
    drop(stream);
    served.await.unwrap();
    // The listener's task notices at its next turn.
    tokio::time::sleep(PERIOD).await;
    Reader::listening(&view).await.event().await;
}

#[tokio::test(start_paused = true)]
async fn only_get_begins_a_stream() {
    let view = tests::view();
    for method in [Method::HEAD, Method::POST] {
        let request = Request::builder().method(method).uri(PATH).body(()).unwrap();
        let refused = answer(&view, &request, &Line::new(CancellationToken::new()));
        assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, "GET"));
    }
    assert_eq!(view.listeners.available_permits(), MAX_LISTENERS);
}
