//! One client connection: its requests, told apart into WebSockets, which become sessions, and the rest, which is
//! proxied.
//!
//! `doorstep` hears a connection's first words and `socket` answers handshakes; all other requests are read by hyper.
//! `headers`, `upgrade` and `refuse` are the rules; `asked` is the line on a plain request, `head` bounds the time for a
//! request head and remembers how its names were spelt, `interim` lets 1xx answers through and names as they were spelt,
//! `body` is bodies on their way, `proxy` is plain HTTP.

mod asked;
mod body;
mod doorstep;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
mod headers;
mod interim;
mod proxy;
mod refuse;
mod socket;
mod upgrade;

use std::{
    cell::Cell,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use self::{
    asked::Asked,
    body::Noted,
    doorstep::{Knock, Ready},
    head::{Line, Phase, Timed},
    headers::Head,
    interim::{Aside, Interim},
    refuse::Refusal,
    socket::Answer,
    upgrade::{Examined, Opening},
};
use crate::{
    descriptors::Place,
    dial::Stream,
    gate::Visit,
    session::{House, outcome::Outcome},
    upstream::{Backend, Body, handshake::MOST_HEADERS},
};

pub use self::proxy::Proxy;

/// For the request head, and for the TLS handshake, of a client that will be told to come back. Few stand in the doorway, and
/// one that says nothing must not keep the others out.
const DOORWAY_TIME: Duration = Duration::from_secs(2);

/// Room for what is read of a connection and not yet understood: hyper's own default. A longer head needs more.
const READ_BUFFER: usize = 408 << 10;

/// What every connection shares, under one configuration.
pub struct Site {
    /// Where sessions live.
    pub house: Arc<House<Backend>>,
    /// Plain HTTP.
    pub proxy: Arc<Proxy>,
    /// Ends TLS, where so configured.
    pub tls: Option<TlsAcceptor>,
    /// Sessions and connections under way, whatever their configuration.
    pub tasks: TaskTracker,
}

/// The site of the configuration in force. A request or session keeps the one it began with.
pub type Sites = watch::Receiver<Arc<Site>>;

/// The client's end of one connection.
#[derive(Clone, Debug)]
struct Peer {
    address: SocketAddr,
    place: Place,
    secure: bool,
    interim: Interim,
    line: Line<Aside<Stream>>,
}

/// A session that is under way.
pub type Session = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Time for the head of a request, and for the TLS handshake before it.
#[must_use]
pub fn head_time(site: &Site, place: &Place) -> Duration {
    let time = site.house.config.server.header_timeout;
    if place.is_seat() { time } else { time.min(DOORWAY_TIME) }
}

/// Serves one connection until it ends, or until it is idle in a drain, or has become the session that is given back: it
/// is to be run in its place.
pub async fn serve(sites: Sites, stream: Stream, address: SocketAddr, place: Place) -> Option<Session> {
    let (time, drain) = {
        let site = sites.borrow();
        (head_time(&site, &place), site.house.drain.clone())
    };
    let secure = matches!(stream, Stream::Tls(_));
    let (aside, interim) = Aside::new(stream);
    let (mut timed, phase) = Timed::new(aside, time);
    let peer = Peer { address, place, secure, interim, line: timed.line() };
    // A connection that comes during the drain has a request to be refused; it must be read first.
    let is_late = drain.has_begun();
    let ready = match is_late {
        true => None,
        false => match doorstep::knock(&sites, &mut timed, &phase, &peer).await {
            Knock::Switched(session) => return session,
            Knock::Unread => None,
            Knock::Refused(ready) => Some(ready),
        },
    };
    // Boxed, for a connection that was answered should not have room for what hyper needs.
    Box::pin(serve_requests(sites, timed, phase, peer, ready, is_late)).await;
    None
}

/// Serves the requests of a connection by hyper; the first is answered with what is `ready`.
async fn serve_requests(
    sites: Sites,
    mut timed: Timed<Aside<Stream>>,
    phase: Phase,
    peer: Peer,
    ready: Option<Ready>,
    is_late: bool,
) {
    let (header_bytes, drain) = {
        let house = &sites.borrow().house;
        (house.config.server.header_bytes, house.drain.clone())
    };
    let address = peer.address;
    timed.remember();
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(header_bytes)
        .max_headers(MOST_HEADERS)
        .max_buf_size(header_bytes.max(READ_BUFFER))
        .preserve_header_case(true)
        .keep_alive(!drain.has_begun() && peer.place.is_seat());
    let ready = Cell::new(ready);
    let service = service_fn(move |request| {
        let ((site, visit), phase, peer, ready) = (enter(&sites), phase.clone(), peer.clone(), ready.take());
        async move {
            let response = answer(&site, request, peer, phase, ready).await;
            drop(visit);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(timed), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // What was put back is read first: whoever has sent a request is answered, also in a drain.
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain.begun(), if !is_late => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %address, error = %error, "connection ended");
    }
}

/// The site in force. A gate that lets nobody in has a successor, which is there to be found.
fn enter(sites: &Sites) -> (Arc<Site>, Visit) {
    loop {
        let site = Arc::clone(&sites.borrow());
        if let Some(visit) = site.house.gate.visit() {
            return (site, visit);
        }
    }
}

async fn answer(
    site: &Arc<Site>,
    request: Request<Incoming>,
    peer: Peer,
    phase: Phase,
    ready: Option<Ready>,
) -> Response<Body> {
    phase.begin();
    let (response, began) = match ready {
        Some(Ready { response, began }) => (response, began),
        None => {
            let began = Instant::now();
            (route(site, request, peer).await, began)
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    site.house.metrics.http_answered(response.status().as_u16(), began.elapsed());
    response.map(|body| Noted::new(body, phase).boxed())
}

async fn route(site: &Arc<Site>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let (head, body) = request.into_parts();
    let asked = site.house.config.log.requests.then(|| Asked::new(&head, peer.address.ip()));
    let read = Head::from(&head);
    let examined = headers::check(&read).map(|()| upgrade::examine(&read));
    if !matches!(examined, Ok(Examined::WebSocket(_))) {
        peer.line.forget();
    }
    let response = match examined {
        Err(what) => bad_request(what),
        Ok(Examined::Malformed(refusal)) => refusal.into_response(),
        Ok(Examined::WebSocket(accept)) => {
            return socket(site, Request::from_parts(head, body), accept, &peer).await;
        }
        Ok(Examined::Plain) if !peer.place.is_seat() => Refusal::too_many().into_response(),
        Ok(Examined::Plain) => {
            let request = Request::from_parts(head, body);
            // Boxed, for a WebSocket should not pay for what plain HTTP needs.
            Box::pin(site.proxy.answer(&site.house, request, &peer)).await
        }
    };
    if let Some(asked) = asked {
        asked.answered(response.status(), &site.house.floods);
    }
    response
}

/// As an upgrade of hyper's.
async fn socket(site: &Arc<Site>, mut request: Request<Incoming>, accept: String, peer: &Peer) -> Response<Body> {
    let client = raw(hyper::upgrade::on(&mut request));
    let (head, _) = request.into_parts();
    let opening = Opening { uri: head.uri, lines: peer.line.spelling().lines(&head.headers), accept };
    let (session, reply) = socket::begin(site, opening, peer, client);
    site.tasks.spawn(session);
    match socket::answer(reply, peer).await {
        Answer::Switch(head) => {
            let (response, spelling) = socket::parsed(head);
            peer.interim.spell(spelling);
            response
        }
        Answer::Refuse(response) => response,
    }
}

/// The client's stream as raw bytes, with those that came glued to its request.
async fn raw(client: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = client.await.ok()?.downcast::<TokioIo<Timed<Aside<Stream>>>>().ok()?;
    let (stream, ahead) = parts.io.into_inner().hand_over()?;
    let early = if ahead.is_empty() { parts.read_buf } else { [parts.read_buf.as_ref(), &ahead].concat().into() };
    Some((stream.into_inner(), early))
}

fn bad_request(what: &'static str) -> Response<Body> {
    Refusal::new(StatusCode::BAD_REQUEST, what).into_response()
}
