//! One cycle: what happens to a service in a bad week, and rest at its end.
//!
//! Nothing in it is timed. Each step follows an event, so that what readygate must have counted is known to the frame, but
//! for those who arrive in the very moment in which the backend goes.

use std::net::SocketAddr;

use futures_util::future::join_all;

use super::{
    backend::{Backend, PAGE},
    client::{Fate, Passing, Refused, Wave},
    growth::Figures,
    service::{Books, Service},
};
use crate::harness::{
    gate::{admin, metric_is},
    process::Process,
    raw::Raw,
};

/// Each client's, at a time.
const MESSAGES: usize = 3;

/// Plain requests that wait for the backend.
const PLAIN: usize = 10;

/// In one of so many cycles a process is drained: it takes its time.
const DRAIN_EVERY: usize = 6;

/// Open and held clients of that process.
const DRAINED: usize = 5;

/// The process that is drained has a route that never opens. Its held clients are told over half of its time.
const DRAINING: &str = r#"
upstream.check = "/ready"
dependencies.never.check = "tcp://127.0.0.1:1"
routes = [{ path = "/held", depends_on = ["never"] }, { path = "*", depends_on = [] }]
drain.timeout = "8s"
"#;

/// What a client is told by a Close when its backend goes: 1012, or 1014 where the handshake was under way.
const CLOSES: [u16; 2] = [1012, 1014];

/// The same before the 101.
const STATUSES: [u16; 2] = [502, 504];

/// Kinds of clients in a cycle, each as large as any other: those that stay; those that pass; those that are held and
/// served, end their stream or say their Close while held; those that are refused, in three ways or by time; those that are
/// held for the backend; those that arrive as it goes.
const KINDS: usize = 1 + Passing::ALL.len() + 3 + Refused::ALL.len() + 1 + 1 + 1;

/// What all clients of a run did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cycles: usize,
    /// That readygate has ended and counted.
    pub(crate) sessions: usize,
    /// Of those that arrived as the backend went: served, and told that they were not.
    pub(crate) amid: [usize; 2],
}

/// A cycle under way.
struct Cycle<'a> {
    service: &'a mut Service,
    /// Clients of a kind.
    each: usize,
    /// What readygate's books must say.
    expected: Books,
    open: Wave,
}

/// One cycle with some `sessions` in all; adds to `tally` what its clients did, and tells what the process has at rest.
pub(crate) async fn run(service: &mut Service, sessions: usize, base: Option<&Figures>, tally: &mut Tally) -> Figures {
    let each = (sessions / KINDS).max(1);
    let is_replaced = tally.cycles.is_multiple_of(DRAIN_EVERY);
    tally.cycles += 1;
    let replaced = async {
        if is_replaced {
            drained().await;
        }
    };
    let (fates, ()) = tokio::join!(outages(service, each), replaced);
    let told = fates.iter().filter(|fate| **fate != Fate::Whole).count();
    tally.amid = [tally.amid[0] + fates.len() - told, tally.amid[1] + told];
    let figures = service.at_rest(base).await;
    let books = service.books().await;
    assert_eq!(books.received, books.delivered + books.refused, "{books:?}");
    tally.sessions = books.sessions;
    figures
}

/// Everything that happens to the service itself. The books are held to the clients' count in between: with those who
/// arrive amid there is a frame more or less.
async fn outages(service: &mut Service, each: usize) -> Vec<Fate> {
    let before = service.books().await;
    let open = Wave::arrive(service.gate.public, "/ws", "open", each).await;
    let mut cycle = Cycle { service, each, expected: Books { sessions: each, ..Books::default() }, open };
    cycle.pass().await;
    cycle.without_redis().await;
    let (mut expected, service) = cycle.without_backend().await;
    service.is_empty().await;
    expected.received = expected.delivered + expected.refused;
    assert_eq!(service.books().await.since(before), expected, "readygate's books, and those of the clients");
    amid(service, each).await
}

impl<'a> Cycle<'a> {
    /// With everything there, clients come and go, and requests of others pass.
    async fn pass(&mut self) {
        self.open.talk(MESSAGES).await;
        let (public, each) = (self.service.gate.public, self.each);
        let lives = Passing::ALL.into_iter().flat_map(|passing| (0..each).map(move |number| (passing, number)));
        let lives = lives.map(|(passing, number)| passing.live(public, format!("{passing:?} {number}"), MESSAGES));
        tokio::join!(join_all(lives), self.service.looked_at(), pages(public), broken_off(public, each));
        self.expected.sessions += Passing::ALL.len() * each;
    }

    /// Redis goes and comes back: open sessions do not notice, others are held, refused, or told.
    async fn without_redis(&mut self) {
        self.service.redis.kill();
        self.service.verdict("shut").await;
        let (public, each) = (self.service.gate.public, self.each);
        let held = async |name| {
            let mut wave = Wave::arrive(public, "/ws", name, each).await;
            wave.send(MESSAGES).await;
            wave
        };
        let (mut stays, mut ends, mut closes) = tokio::join!(held("stays"), held("ends"), held("closes"));
        let refused = join_all(Refused::ALL.map(|_| held("refused"))).await;
        let frames = [&stays, &ends, &closes].into_iter().chain(&refused).map(Wave::sent).sum();
        self.service.until("readygate_hold_frames", frames).await;
        self.open.talk(MESSAGES).await;
        self.service.reload().await;
        tokio::join!(self.open.talk(MESSAGES), self.service.looked_at(), too_late(public, each));
        self.expected.sessions += each;
        self.refuse(refused).await;
        tokio::join!(ends.half_close(), closes.close());
        self.service.until("readygate_hold_frames", 3 * each * MESSAGES).await;

        self.service.redis.restart(&[], "eady to accept connections");
        tokio::join!(stays.receive(), ends.receive_to_the_end(), closes.closed());
        self.service.until("readygate_sessions{state=\"open\"}", 2 * each).await;
        stays.talk(MESSAGES).await;
        stays.leave().await;
        self.expected.sessions += 3 * each;
        self.expected.delivered += 3 * each * MESSAGES;
    }

    /// Each in its own way.
    async fn refuse(&mut self, waves: Vec<Wave>) {
        for (refused, wave) in Refused::ALL.into_iter().zip(waves) {
            self.expected.sessions += wave.0.len();
            self.expected.refused += wave.sent();
            join_all(wave.0.into_iter().map(|client| refused.provoke(client))).await;
        }
    }

    /// The backend is killed: who was open is told, who comes is held, and served by the next.
    async fn without_backend(self) -> (Books, &'a mut Service) {
        let Self { service, each, open, mut expected } = self;
        service.backend.kill().await;
        open.all_told(1012).await;
        service.verdict("shut").await;
        let public = service.gate.public;
        let mut held = Wave::arrive(public, "/ws", "held", each).await;
        held.send(MESSAGES).await;
        service.until("readygate_hold_frames", held.sent()).await;
        let serve = async {
            service.until("readygate_hold_budget_taken_sessions", each + PLAIN).await;
            service.backend.restart();
        };
        tokio::join!(pages(public), serve);
        held.receive().await;
        held.leave().await;
        expected.sessions += each;
        expected.delivered += each * MESSAGES;
        (expected, service)
    }
}

/// Clients arrive in the moment in which the backend goes: each is served by the next one, or told.
async fn amid(service: &mut Service, each: usize) -> Vec<Fate> {
    let mut open = Wave::arrive(service.gate.public, "/ws", "open", each).await;
    open.talk(MESSAGES).await;
    let public = service.gate.public;
    let arriving = (0..each).map(|number| Fate::meet(public, format!("amid {number}"), MESSAGES));
    let restart = async {
        service.backend.kill().await;
        open.all_told(1012).await;
        service.backend.restart();
    };
    let (fates, ()) = tokio::join!(join_all(arriving), restart);
    service.verdict("open").await;
    for fate in &fates {
        let known = match fate {
            Fate::Whole => true,
            Fate::Status(status) => STATUSES.contains(status),
            Fate::Close(code) => CLOSES.contains(code),
        };
        assert!(known, "{fates:?}");
    }
    fates
}

/// Plain requests, all of them answered by the backend.
async fn pages(public: SocketAddr) {
    let answers = join_all((0..PLAIN).map(|_| admin(public, "/page"))).await;
    assert!(answers.iter().all(|answer| (answer.status(), answer.text()) == (200, PAGE)), "{answers:?}");
}

/// Connections that never become a request.
async fn broken_off(public: SocketAddr, count: usize) {
    join_all((0..count).map(async |_| Raw::connect(public).await.send("GET /ws HTTP/1.1\r\nHost: exam").await)).await;
}

/// Those whose patience is configured to be short.
async fn too_late(public: SocketAddr, count: usize) {
    let late = (0..count).map(async |_| {
        let mut client = Raw::connect(public).await;
        client.ask("/brief", &[]).await;
        match client.head().await.status() {
            101 => assert_eq!(client.closed().await.0, 1013),
            // On a machine so busy that time was over before the answer.
            status => assert_eq!(status, 503),
        }
    });
    join_all(late).await;
}

/// Another readygate is drained as it is replaced: those who wait are told, those who are open finish, and it ends well.
async fn drained() {
    let backend = Backend::start();
    let mut process = Process::start(backend.address, DRAINING, &[]).await;
    metric_is(process.admin, r#"readygate_gate_verdict{route="*",verdict="open"}"#, 1.0).await;
    let arrive = |path| Wave::arrive(process.public, path, path, DRAINED);
    let (mut open, held) = tokio::join!(arrive("/open"), arrive("/held"));
    open.talk(MESSAGES).await;
    process.signal("TERM").await;
    process.logged("draining").await;
    open.talk(MESSAGES).await;
    tokio::join!(open.leave(), held.all_told(1012));
    assert_eq!(process.ended().await.code(), Some(0));
}
