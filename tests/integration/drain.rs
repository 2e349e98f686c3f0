//! A real process goes down: the held are told, the open go on, and the deadline holds.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::harness::{
    eventually,
    frame::Frame,
    gate::{admin, metric_is},
    head::head,
    process::Process,
    raw::Raw,
    upstream::{Health, Upstream},
};

const TIMEOUT: Duration = Duration::from_secs(2);
const HELD: u32 = 40;

#[tokio::test]
async fn held_clients_are_told_1012_one_after_the_other_and_new_ones_503() {
    let mut drained = Drained::start(false).await;
    let mut clients = Vec::new();
    for _ in 0..HELD {
        let mut client = drained.process.client().await;
        client.upgrade("/ws", &[]).await;
        clients.push(client);
    }
    drained.signal("TERM").await;
    assert_eq!(drained.admin_status("/livez").await, 200);
    assert_eq!(drained.admin_status("/gate").await, 503);
    let mut late = drained.process.client().await;
    late.ask("/ws", &[]).await;
    let refusal = late.response().await;
    assert_eq!((refusal.status(), refusal.json()["error"].as_str()), (503, Some("restarting")));
    assert!(refusal.head.get("retry-after").is_some());
    let began = drained.began;
    let told = join_all(clients.iter_mut().map(async |client| {
        assert_eq!(client.closed().await, (1012, "restarting".into()));
        began.elapsed().as_millis() / 100
    }));
    let moments: BTreeSet<u128> = told.await.into_iter().collect();
    assert!(moments.len() >= 4, "all were told within the tenths of a second {moments:?}");
    drop(clients);
    drained.ended_well().await;
}

#[tokio::test]
async fn an_open_session_goes_on_until_the_backend_closes_it() {
    let mut drained = Drained::start(true).await;
    let (mut client, mut backend) = drained.join().await;
    drained.signal("TERM").await;
    client.send_frame(&Frame::text("still")).await;
    assert_eq!(backend.frame().await, Frame::text("still"));
    backend.send_frame(&Frame::text("here")).await;
    assert_eq!(client.frame().await, Frame::text("here"));
    backend.send_frame(&Frame::close(1001, "the backend's own")).await;
    assert_eq!(client.frame().await.closing(), (1001, "the backend's own".into()));
    client.send_frame(&Frame::close(1001, "")).await;
    assert_eq!(backend.frame().await.closing().0, 1001);
    drop((client, backend));
    let took = drained.ended_well().await;
    assert!(took < TIMEOUT / 2, "{took:?}");
}

#[tokio::test]
async fn a_hangup_without_a_change_leaves_sessions_alone_and_is_said() {
    let mut drained = Drained::start(true).await;
    let (mut client, mut backend) = drained.join().await;
    drained.process.signal("HUP").await;
    drained.process.logged("configuration unchanged").await;
    client.send_frame(&Frame::text("still")).await;
    assert_eq!(backend.frame().await, Frame::text("still"));
    drop((client, backend));
    drained.process.signal("TERM").await;
    assert!(drained.process.ended().await.success());
}

#[tokio::test]
async fn at_the_deadline_both_ends_are_told_1012_between_frames() {
    let mut drained = Drained::start(true).await;
    let (mut client, mut backend) = drained.join().await;
    drained.signal("INT").await;
    let (to_client, to_backend) = tokio::join!(client.closed(), backend.closed());
    assert_eq!((to_client.0, to_backend.0), (1012, 1012));
    drop((client, backend));
    drained.ended_well().await;
}

#[tokio::test]
async fn a_second_signal_hurries_everyone_is_told_at_once_and_the_end_is_as_orderly() {
    // Longer than any test: who waits for it fails.
    let mut drained = Drained::start_with(true, Duration::from_secs(600)).await;
    let (mut client, mut backend) = drained.join().await;
    drained.health.set(false);
    drained.process.logged("gate shut").await;
    let mut held = drained.process.client().await;
    held.upgrade("/ws", &[]).await;
    drained.signal("TERM").await;
    client.send_frame(&Frame::text("still")).await;
    assert_eq!(backend.frame().await, Frame::text("still"));
    // One that comes on the heels of the first is the same wish, so it is sent until it is a second one.
    let hurry = async {
        loop {
            drained.process.signal("INT").await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let told = async { tokio::join!(client.closed(), backend.closed(), held.closed()) };
    let told = tokio::select! {
        told = told => told,
        () = hurry => unreachable!(),
    };
    assert_eq!([told.0.0, told.1.0, told.2.0], [1012; 3]);
    drop((client, backend, held));
    drained.process.logged("in a hurry: cutting what is left at once").await;
    assert_eq!(drained.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_on_the_heels_of_the_first_hurries_nobody() {
    let [in_turns, at_once] = ["cutting what is left", "in a hurry: cutting what is left at once"];
    // A process that stands still between the two takes them for two wishes, so each of a few may fail.
    for _ in 0..3 {
        let mut drained = Drained::start(true).await;
        let _open = drained.join().await;
        // A process that is stopped finds both at once when it goes on.
        for signal in ["STOP", "TERM", "INT", "CONT"] {
            drained.process.signal(signal).await;
        }
        if drained.process.next_of(&[in_turns, at_once]).await["message"] == in_turns {
            return;
        }
    }
    panic!("the second signal hurried each time");
}

#[tokio::test]
async fn at_the_deadline_nothing_is_put_inside_a_frame() {
    let mut drained = Drained::start(true).await;
    let (mut client, mut backend) = drained.join().await;
    let (down, up) = (Frame::text("to the client").plain(), Frame::text("to the backend").masked());
    backend.send(&down[..5]).await;
    client.send(&up[..9]).await;
    assert_eq!(client.exactly(5).await, down[..5]);
    assert_eq!(backend.exactly(9).await, up[..9]);
    drained.signal("TERM").await;
    tokio::join!(client.ended(), backend.ended());
    drop((client, backend));
    drained.ended_well().await;
}

#[tokio::test]
async fn clients_that_never_read_do_not_stretch_the_drain() {
    let mut drained = Drained::start(true).await;
    let (client, mut backend) = drained.join().await;
    let flood = Frame::binary(&[1; 60_000]).plain().repeat(1000);
    let mut sent = 0;
    eventually("a full pipe", async || {
        let count = backend.send_until_full(&flood[sent..]);
        sent += count;
        (count == 0).then_some(())
    })
    .await;
    drained.signal("TERM").await;
    drained.ended_well().await;
    assert!(sent < flood.len(), "the pipe took all");
    drop(client);
}

#[tokio::test]
async fn a_request_under_way_is_answered_and_idle_connections_do_not_hold_the_drain_up() {
    let mut drained = Drained::start(true).await;
    let _idle = drained.process.client().await;
    let mut client = drained.process.client().await;
    client.send(head("GET / HTTP/1.1", &[("Host", "example.org")])).await;
    let mut backend = drained.upstream.dialed().await;
    backend.head().await;
    drained.signal("TERM").await;
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let response = client.response().await;
    assert_eq!((response.text(), response.head.get("connection")), ("ok", Some("close")));
    client.ended().await;
    let took = drained.ended_well().await;
    assert!(took < TIMEOUT / 2, "{took:?}");
}

#[tokio::test]
async fn a_plain_request_that_comes_in_a_drain_passes_to_a_backend_that_is_ready_and_to_no_other() {
    let request = head("GET / HTTP/1.1", &[("Host", "example.org")]);
    let mut ready = Drained::start(true).await;
    let _session = ready.join().await;
    ready.signal("TERM").await;
    let mut client = ready.process.client().await;
    client.send(request.clone()).await;
    let mut backend = ready.upstream.dialed().await;
    backend.head().await;
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.response().await.text(), "ok");

    let mut starting = Drained::start_with(false, TIMEOUT * 4).await;
    // Each is told at a random moment of the first half, so that one is there long enough.
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut client = starting.process.client().await;
        client.upgrade("/ws", &[]).await;
        held.push(client);
    }
    starting.signal("TERM").await;
    let mut client = starting.process.client().await;
    client.send(request).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.head.get("retry-after").is_some()), (503, true), "{}", response.text());
    assert!(response.text().contains("restarting"), "{}", response.text());
}

#[tokio::test]
async fn a_refusal_in_a_drain_is_the_last_answer_of_its_connection() {
    // So long that the client's turn to be told of the drain hardly comes first.
    let mut drained = Drained::start_with(true, Duration::from_secs(600)).await;
    let mut client = drained.process.client().await;
    client.ask("/ws", &[]).await;
    let mut backend = drained.upstream.dialed().await;
    backend.head().await;
    drained.signal("TERM").await;
    backend.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let refusal = client.response().await;
    assert!([403, 503].contains(&refusal.status()), "{}", refusal.status());
    assert_eq!(refusal.head.get("connection"), Some("close"));
    assert_eq!(drained.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_process_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let health = Health::start(true).await;
        let upstream = Upstream::start().await;
        let mut process = Process::start(upstream.address, &check(&health), &[]).await;
        let began = Instant::now();
        process.signal(signal).await;
        assert_eq!(process.ended().await.code(), Some(0));
        assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    }
}

/// A process that is about to drain.
struct Drained {
    process: Process,
    upstream: Upstream,
    began: Instant,
    health: Health,
}

impl Drained {
    async fn start(open: bool) -> Self {
        Self::start_with(open, TIMEOUT).await
    }

    async fn start_with(open: bool, timeout: Duration) -> Self {
        let health = Health::start(open).await;
        let upstream = Upstream::start().await;
        // No ping comes before a Close, however long that takes on a busy machine.
        let lines =
            format!("{}\nhold.ping_interval = \"10m\"\ndrain.timeout = \"{}ms\"", check(&health), timeout.as_millis());
        let process = Process::start(upstream.address, &lines, &[]).await;
        if open {
            metric_is(process.admin, r#"readygate_gate_verdict{route="*",verdict="open"}"#, 1.0).await;
        }
        Self { process, upstream, began: Instant::now(), health }
    }

    /// An open session.
    async fn join(&mut self) -> (Raw, Raw) {
        let mut client = self.process.client().await;
        client.ask("/ws", &[]).await;
        let mut backend = self.upstream.dialed().await;
        backend.accept(&[]).await;
        client.upgraded().await;
        (client, backend)
    }

    /// Sends it, and waits until it has been taken: from there on the process is not ready.
    async fn signal(&mut self, name: &str) {
        assert_eq!(self.admin_status("/readyz").await, 200);
        self.began = Instant::now();
        self.process.signal(name).await;
        self.process.logged("draining").await;
        eventually("/readyz 503", async || (self.admin_status("/readyz").await == 503).then_some(())).await;
    }

    async fn admin_status(&self, path: &str) -> u16 {
        admin(self.process.admin, path).await.status()
    }

    /// It has ended with code 0 and in time; how long it took.
    async fn ended_well(&mut self) -> Duration {
        let status = self.process.ended().await;
        let took = self.began.elapsed();
        assert_eq!(status.code(), Some(0));
        assert!(took < TIMEOUT + Duration::from_millis(300), "{took:?}");
        took
    }
}

fn check(health: &Health) -> String {
    format!("upstream.check = \"http://{}/\"", health.address)
}
