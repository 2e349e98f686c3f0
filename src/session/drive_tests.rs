#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    sync::oneshot,
    task::JoinHandle,
    time::advance,
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, Registry, layer, layer::SubscriberExt};

use super::*;
use crate::{
    descriptors::Place,
    gate::Gate,
    session::{Reply, gating::Gating, outcome::Outcome, simulation::scene::usual_configuration},
    telemetry::metrics::{Books, Metrics},
    upstream::{Going, handshake::Handshake},
    wire::{
        close::{self, control},
        header::Opcode,
    },
};

/// An upstream that wants another client.
#[derive(Default)]
struct Unwilling {
    dials: Mutex<Vec<Going>>,
}

impl Upstream for Unwilling {
    type Stream = DuplexStream;

    async fn dial(&self, _: Vec<u8>, _: &str, going: Going) -> Result<Answer<DuplexStream>, Fault> {
        self.dials.lock().unwrap().push(going);
        let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        Ok(Answer::Declined(Box::new(response)))
    }
}

fn house() -> Arc<House<Unwilling>> {
    let (config, metrics) = (usual_configuration(), Metrics::new());
    let gate = Gate::new(&config.upstream.checks, NonZeroUsize::MIN, Arc::clone(&metrics));
    Arc::new(House::new(config, gate, metrics, Unwilling::default()))
}

fn arrival() -> Arrival {
    Arrival {
        path: "/".to_owned(),
        handshake: Handshake::default(),
        accept: "accept".to_owned(),
        gating: Gating::Enforced,
        trace: None,
        early: Ok(None),
        route: 0,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        place: Place::uncounted(),
        at: Instant::now().into_std(),
    }
}

/// A client that is refused by the upstream before its stream is there, which has room for so many bytes.
async fn refused(house: &Arc<House<Unwilling>>, glued: Vec<u8>, room: usize) -> (DuplexStream, JoinHandle<Outcome>) {
    let (sender, reply) = oneshot::channel();
    let (upgraded, upgrade) = oneshot::channel::<(DuplexStream, Bytes)>();
    let session = tokio::spawn(run(Arc::clone(house), arrival(), sender, async move { upgrade.await.ok() }));
    assert!(matches!(reply.await, Ok(Reply::Early { .. })));
    house.gate.report(0, Ok(()), Duration::ZERO, SystemTime::now());
    let view = || house.registry.find(1, std::time::Instant::now()).unwrap();
    while view().steps.last().unwrap().state != "closing" {
        tokio::task::yield_now().await;
    }
    let (client, server) = duplex(room);
    upgraded.send((server, glued.into())).unwrap();
    (client, session)
}

fn refusal() -> Vec<u8> {
    close::frame(close::UNAUTHORIZED, "refused by upstream")
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_stream_comes_after_the_refusal_is_told_and_its_frames_are_counted() {
    let house = house();
    let (mut client, session) = refused(&house, control(Opcode::Text, b"hi", Some([1; 4])), 1024).await;
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    drop(client);
    assert_eq!(told, refusal());
    assert_eq!(session.await.unwrap(), Outcome::UpstreamRefused(StatusCode::UNAUTHORIZED));
    let books = house.metrics.books();
    assert_eq!((books.received, books.delivered, books.refused), (1, 0, 1));
}

/// The books at each line that is written.
struct Looking(Arc<Metrics>, Arc<Mutex<Vec<Books>>>);

impl<S: Subscriber> Layer<S> for Looking {
    fn on_event(&self, _: &Event<'_>, _: layer::Context<'_, S>) {
        self.1.lock().unwrap().push(self.0.books());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_sees_that_a_session_has_ended_finds_its_frames_counted() {
    let (house, seen) = (house(), Arc::default());
    let looking = Looking(Arc::clone(&house.metrics), Arc::clone(&seen));
    let _looking = tracing::subscriber::set_default(Registry::default().with(looking));
    let (client, session) = refused(&house, control(Opcode::Text, b"hi", Some([1; 4])), 1024).await;
    drop(client);
    session.await.unwrap();
    assert_eq!(house.metrics.outcomes(), 1);
    let counted: Vec<_> = seen.lock().unwrap().iter().map(|books| books.received).collect();
    assert_eq!((counted.first(), counted.last()), (Some(&0), Some(&1)), "{counted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_goes_along_with_the_dial_but_for_those_who_were_held() {
    let held = house();
    refused(&held, Vec::new(), 1024).await;
    assert_eq!(*held.upstream.dials.lock().unwrap(), [Going::Behind]);
    let open = house();
    open.gate.report(0, Ok(()), Duration::ZERO, SystemTime::now());
    let (sender, _reply) = oneshot::channel();
    let outcome =
        run(Arc::clone(&open), arrival(), sender, std::future::pending::<Option<(DuplexStream, Bytes)>>()).await;
    assert_eq!(outcome, Outcome::UpstreamRefused(StatusCode::UNAUTHORIZED));
    assert_eq!(*open.upstream.dials.lock().unwrap(), [Going::Along]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_being_told_as_the_process_stops_is_told_after_it() {
    let (mut client, session) = refused(&house(), Vec::new(), 4).await;
    let mut told = vec![client.read_u8().await.unwrap()];
    advance(Duration::from_secs(60)).await;
    client.read_to_end(&mut told).await.unwrap();
    drop(client);
    assert_eq!(told, refusal());
    assert_eq!(session.await.unwrap(), Outcome::UpstreamRefused(StatusCode::UNAUTHORIZED));
}
