//! One client connection: its requests, told apart into WebSockets, which become sessions, and the rest, which is
//! proxied.
//!
//! `headers`, `upgrade` and `refuse` are the rules; `asked` is the line on a plain request, `head` bounds the time for a
//! request head and remembers how its names were spelt, `interim` lets 1xx answers through and names as they were spelt,
//! `body` is bodies on their way, `proxy` is plain HTTP.

mod asked;
mod body;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
mod headers;
mod interim;
mod proxy;
mod refuse;
mod upgrade;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use self::{
    asked::Asked,
    body::Noted,
    head::{Line, Phase, Timed},
    interim::{Aside, Interim},
    refuse::Refusal,
    upgrade::Examined,
};
use crate::{
    descriptors::Place,
    dial::Stream,
    gate::Visit,
    session::{self, Arrival, House, Reply, deferral::Deferral, standing::Standing},
    upstream::{Backend, Body, handshake::MOST_HEADERS, spelling::Spelling},
};

pub use self::proxy::Proxy;

/// For the request head, and for the TLS handshake, of a client that will be told to come back. Few stand in the doorway, and
/// one that says nothing must not keep the others out.
const DOORWAY_TIME: Duration = Duration::from_secs(2);

/// As RFC 6455 writes them, for clients that look for them letter by letter.
const OWN_SPELLING: &[u8] = b"Connection:\nUpgrade:\nSec-WebSocket-Accept:\nSec-WebSocket-Protocol:";

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

/// Time for the head of a request, and for the TLS handshake before it.
#[must_use]
pub fn head_time(site: &Site, place: &Place) -> Duration {
    let time = site.house.config.server.header_timeout;
    if place.is_seat() { time } else { time.min(DOORWAY_TIME) }
}

/// Serves one connection until it ends, or until it is idle in a drain.
pub async fn serve(sites: Sites, stream: Stream, address: SocketAddr, place: Place) {
    let site = Arc::clone(&sites.borrow());
    let server = &site.house.config.server;
    let secure = matches!(stream, Stream::Tls(_));
    let (aside, interim) = Aside::new(stream);
    let (timed, phase) = Timed::new(aside, head_time(&site, &place));
    let is_seated = place.is_seat();
    let peer = Peer { address, place, secure, interim, line: timed.line() };
    let drain = site.house.drain.clone();
    // A connection that comes during the drain has a request to be refused; it must be read first.
    let is_late = drain.has_begun();
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(server.header_bytes)
        .max_headers(MOST_HEADERS)
        .preserve_header_case(true)
        .keep_alive(!is_late && is_seated);
    // An idle connection keeps no configuration alive.
    drop(site);
    let service = service_fn(move |request| {
        let ((site, visit), phase, peer) = (enter(&sites), phase.clone(), peer.clone());
        async move {
            let response = answer(&site, request, peer, phase).await;
            drop(visit);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(timed), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
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

async fn answer(site: &Arc<Site>, request: Request<Incoming>, peer: Peer, phase: Phase) -> Response<Body> {
    phase.begin();
    let began = Instant::now();
    let response = route(site, request, peer).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    site.house.metrics.http_answered(response.status().as_u16(), began.elapsed());
    response.map(|body| Noted::new(body, phase).boxed())
}

async fn route(site: &Arc<Site>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let spelling = peer.line.spelling();
    let asked = site.house.config.log.requests.then(|| Asked::new(&head, peer.address.ip()));
    let examined = headers::check(&head).map(|()| upgrade::examine(&head));
    let response = match examined {
        Err(what) => bad_request(what),
        Ok(Examined::Malformed(refusal)) => refusal.into_response(),
        Ok(Examined::WebSocket(accept)) => {
            head.extensions.insert(spelling);
            return socket(site, Request::from_parts(head, body), accept, peer).await;
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

/// Begins a session and answers as it says. If the client goes first, nobody waits for the reply, and the session sees
/// that.
async fn socket(site: &Arc<Site>, mut request: Request<Incoming>, accept: HeaderValue, peer: Peer) -> Response<Body> {
    let client = hyper::upgrade::on(&mut request);
    let (mut head, _) = request.into_parts();
    let route = site.house.config.route_of(head.uri.path());
    let early = match site.house.config.features.early_accept {
        true => upgrade::early(&head, &site.house.config.routes[route].gate, peer.secure),
        false => Err(Deferral::SwitchedOff),
    };
    headers::strip_hop_by_hop(&mut head.headers);
    headers::forward(&mut head.headers, peer.address.ip(), peer.secure);
    upgrade::ask(&mut head.headers);
    head.uri = origin_form(&head.uri);
    let Peer { address, place, line, interim, .. } = peer;
    let arrival = Arrival { request: head, accept, early, route, peer: address, place, at: Instant::now() };
    let (sender, reply) = oneshot::channel();
    site.tasks.spawn(session::run(Arc::clone(&site.house), arrival, sender, raw(client)));
    let reply = tokio::select! {
        biased;
        reply = reply => reply,
        () = line.ended() => return bad_request("the client's stream ended"),
    };
    match reply {
        Ok(Reply::Early { accept, subprotocol, standing }) => {
            interim.spell(Spelling(OWN_SPELLING.into()));
            switching(accept, subprotocol, standing)
        }
        Ok(Reply::Switch(mut head)) => {
            head.extensions.remove().into_iter().for_each(|spelling| interim.spell(spelling));
            relayed(*head)
        }
        Ok(Reply::Decline(response)) => declined(*response),
        Ok(Reply::Refuse(farewell)) => Refusal::from(farewell).into_response(),
        Err(_) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response(),
    }
}

/// The client's stream as raw bytes, with those that came glued to its request.
async fn raw(client: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = client.await.ok()?.downcast::<TokioIo<Timed<Aside<Stream>>>>().ok()?;
    let (stream, ahead) = parts.io.into_inner().into_inner()?;
    let early = if ahead.is_empty() { parts.read_buf } else { [parts.read_buf.as_ref(), &ahead].concat().into() };
    Some((stream.into_inner(), early))
}

fn bad_request(what: &'static str) -> Response<Body> {
    Refusal::new(StatusCode::BAD_REQUEST, what).into_response()
}

fn origin_form(uri: &http::Uri) -> http::Uri {
    uri.path_and_query().cloned().map(http::Uri::from).unwrap_or_default()
}

fn switching(accept: HeaderValue, subprotocol: Option<HeaderValue>, standing: Standing) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    upgrade::ask(response.headers_mut());
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    standing.mark(response.headers_mut());
    response
}

fn relayed(mut head: response::Parts) -> Response<Body> {
    headers::strip_hop_by_hop(&mut head.headers);
    upgrade::ask(&mut head.headers);
    Response::from_parts(head, empty())
}

fn declined(mut response: Response<Body>) -> Response<Body> {
    if headers::check_response(response.headers_mut()).is_err() {
        return Refusal::new(StatusCode::BAD_GATEWAY, "bad upstream answer").into_response();
    }
    headers::strip_hop_by_hop(response.headers_mut());
    response
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn answer(lines: &[(&str, &str)]) -> Response<Body> {
        let answer = lines.iter().fold(Response::builder(), |answer, (name, value)| answer.header(*name, *value));
        declined(answer.body(empty()).unwrap())
    }

    #[test]
    fn a_declining_answer_has_one_length_or_is_not_relayed() {
        let two = answer(&[("content-length", "40"), ("transfer-encoding", "chunked")]);
        assert_eq!((two.status(), two.headers().len()), (StatusCode::OK, 0));
        let coded = answer(&[("transfer-encoding", "gzip, chunked")]);
        assert_eq!(coded.status(), StatusCode::BAD_GATEWAY);
    }
}
