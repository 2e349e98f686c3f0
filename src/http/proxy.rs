//! Plain HTTP beside the WebSockets: waits for the gate where so configured, then streams both ways.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Extensions, HeaderValue, Request, Response, StatusCode, Uri, Version, header, request, uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::{body::Incoming, ext::on_informational};
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::time::{sleep, timeout, timeout_at};
use tower_service::Service;

use super::{
    Peer,
    body::{Reclaimable, Shelf},
    headers,
    refuse::Refusal,
};
use crate::{
    config::{OnTimeout, Target, WaitFor, WhenShut},
    dial::{DialError, DialFault, Dialer, Stream},
    gate::Verdict,
    hold::head,
    session::{House, gating::Gating, standing::Standing},
    upstream::Body,
};

/// Idle connections to the upstream are given up before it does: uvicorn hangs up after 5 s, and a request written into
/// a connection that is being closed is lost.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// The HTTP client of the configured upstream.
#[derive(Debug)]
pub struct Proxy {
    client: Client<Connector, Reclaimable>,
    /// Keeps no connection, for what a kept one has failed.
    fresh: Client<Connector, Reclaimable>,
    target: uri::Parts,
}

#[derive(Clone)]
struct Connector(Dialer);

/// Whether a connection has carried an answer before.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<AtomicBool>);

/// Why a request has no answer.
enum Trouble {
    /// There is no connection, for a reason that may pass, and the request is as it came.
    NotDialed(DialFault),
    /// The connection had been kept from an earlier request and ended before there was an answer, and the body is as it
    /// came. Most often the backend gave it up at that moment, and has not seen the request.
    Stale,
    /// Anything else.
    Answered(Refusal),
}

impl Proxy {
    /// A client of the backend behind `dialer` that keeps at most so many `idle` connections.
    #[must_use]
    pub fn new(dialer: Dialer, upstream: &Target, idle: usize) -> Self {
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE).pool_max_idle_per_host(idle);
        client.http1_preserve_header_case(true);
        // The pool keeps connections by the authority, and a request without Host gets it as one.
        let mut target = uri::Parts::default();
        target.scheme = Some(uri::Scheme::HTTP);
        let authority = upstream.authority().parse();
        target.authority = Some(authority.unwrap_or_else(|_| uri::Authority::from_static("upstream")));
        let kept = client.build(Connector(dialer.clone()));
        Self { client: kept, fresh: client.pool_max_idle_per_host(0).build(Connector(dialer)), target }
    }

    /// Answers one request: the upstream's answer, or why there is none.
    pub(super) async fn answer<U>(&self, house: &House<U>, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let route = house.config.route_of(head.uri.path());
        let policy = &house.config.routes[route].gate;
        let deadline = Instant::now() + policy.hold_timeout;
        let takes_interim = head.version >= Version::HTTP_11;
        self.prepare(&mut head, &body, peer);
        let gating = Gating::of(policy, &head.headers, peer.address.ip());
        let when_shut = when_shut(house, gating);
        let shelf = Shelf::new(body);
        let (mut refused, mut standing, mut client) = (0, None, &self.client);
        loop {
            match wait(house, &head, route, when_shut, deadline).await {
                Ok(seen) => standing = seen.or(standing),
                Err(refusal) => return refusal.into_response(),
            }
            let mut request = Request::from_parts(head.clone(), shelf.lend());
            if takes_interim {
                let interim = peer.interim.clone();
                on_informational(&mut request, move |answer| interim.send(answer.status(), answer.headers()));
            }
            match send(client, request, &shelf, house.config.http.response_timeout).await {
                Ok(response) => return marked(response, standing.filter(|_| gating.holds())),
                Err(Trouble::Answered(refusal)) => return refusal.into_response(),
                // Nobody can tell whether the request was acted upon (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
                Err(Trouble::Stale) if !head.method.is_safe() => return bad_answer().into_response(),
                Err(Trouble::Stale) => client = &self.fresh,
                Err(Trouble::NotDialed(fault)) => {
                    refused += 1;
                    if fault == DialFault::Refused {
                        house.gate.dial_refused();
                    }
                    if when_shut != WhenShut::Hold || Instant::now() >= deadline {
                        return Refusal::new(StatusCode::BAD_GATEWAY, "upstream unreachable").into_response();
                    }
                    sleep(house.config.upstream.backoff.pause(refused, fastrand::f64())).await;
                    standing = standing.or(Some(Standing::Held));
                }
            }
        }
    }

    fn prepare(&self, head: &mut request::Parts, body: &Incoming, peer: &Peer) {
        headers::strip_hop_by_hop(&mut head.headers);
        // A GET without a length has no body for hyper, unless it is told of one.
        if body.size_hint().exact().is_none() {
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        headers::forward(&mut head.headers, peer.address.ip(), peer.secure);
        // The client is told to go on when its body is first read, which is not before the request is on its way.
        head.headers.remove(header::EXPECT);
        let mut target = uri::Parts::default();
        target.scheme.clone_from(&self.target.scheme);
        target.authority.clone_from(&self.target.authority);
        target.path_and_query =
            head.uri.path_and_query().cloned().or_else(|| Some(uri::PathAndQuery::from_static("/")));
        head.uri = Uri::from_parts(target).unwrap_or_default();
        head.version = Version::HTTP_11;
    }
}

async fn send(
    client: &Client<Connector, Reclaimable>,
    request: Request<Reclaimable>,
    shelf: &Shelf,
    time: Duration,
) -> Result<Response<Body>, Trouble> {
    let Ok(answer) = timeout(time, client.request(request)).await else {
        return Err(Trouble::Answered(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "upstream timeout")));
    };
    match answer {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Trouble::Answered(bad_answer())),
        Ok(mut response) => {
            Kept::note(response.extensions_mut());
            headers::check_response(response.headers_mut()).map_err(|_| Trouble::Answered(bad_answer()))?;
            headers::strip_hop_by_hop(response.headers_mut());
            *response.version_mut() = Version::HTTP_11;
            Ok(response.map(BodyExt::boxed))
        }
        Err(error) => Err(trouble(&error, shelf)),
    }
}

/// A route that holds no WebSocket holds no other request either.
fn when_shut<U>(house: &House<U>, gating: Gating) -> WhenShut {
    match gating {
        Gating::Enforced => house.config.http.when_shut,
        Gating::Observed | Gating::Off => WhenShut::Pass,
    }
}

fn marked(mut response: Response<Body>, standing: Option<Standing>) -> Response<Body> {
    if let Some(standing) = standing {
        standing.mark(response.headers_mut());
    }
    response
}

/// Returns when the request may go on, and how things then stand, or with what to answer instead.
async fn wait<U>(
    house: &House<U>,
    request: &request::Parts,
    route: usize,
    when_shut: WhenShut,
    deadline: Instant,
) -> Result<Option<Standing>, Refusal> {
    let busy = |reason| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason);
    let lane = match house.config.http.wait_for {
        WaitFor::Upstream => house.gate.upstream(),
        WaitFor::All => house.gate.lane(route),
    };
    let mut verdict = lane.subscribe();
    let present = verdict.borrow_and_update().clone();
    match present {
        Verdict::Open | Verdict::Degraded { .. } => return Ok(Standing::passing(&present)),
        // A backend that is ready answers what still comes; one that is not will not become it here.
        Verdict::Draining if when_shut == WhenShut::Pass || lane.would_pass() => return Ok(None),
        Verdict::Draining => return Err(busy("restarting")),
        Verdict::Shut { .. } => {}
    }
    match when_shut {
        WhenShut::Pass => return Ok(None),
        WhenShut::Refuse => return Err(busy("not ready")),
        WhenShut::Hold => {}
    }
    let Some(_place) = head::place(&house.budget, head::weight(request)) else { return Err(Refusal::too_many()) };
    house.gate.arrived();
    let _waiting = lane.waiting();
    let changed = verdict.wait_for(|verdict| !matches!(verdict, Verdict::Shut { .. }));
    let outcome = timeout_at(deadline.into(), changed).await;
    match (outcome, house.config.routes[route].gate.on_timeout) {
        (Ok(Ok(verdict)), _) if verdict.is_open() => Ok(Some(Standing::held(&verdict))),
        (Err(_), OnTimeout::Pass) => Ok(Some(Standing::Held)),
        (Ok(Ok(_) | Err(_)), _) => Err(busy("restarting")),
        (Err(_), OnTimeout::Close) => Err(busy("not ready in time")),
    }
}

fn trouble(error: &legacy::Error, shelf: &Shelf) -> Trouble {
    let refusal = |status, reason| Trouble::Answered(Refusal::new(status, reason));
    match dial_error(error).map(|dial| dial.fault) {
        Some(fault @ (DialFault::Refused | DialFault::Starved)) if shelf.is_untouched() => Trouble::NotDialed(fault),
        Some(DialFault::Timeout) => refusal(StatusCode::GATEWAY_TIMEOUT, "upstream timeout"),
        Some(DialFault::Refused | DialFault::Dns | DialFault::Tls | DialFault::Unreachable(_)) => {
            refusal(StatusCode::BAD_GATEWAY, "upstream unreachable")
        }
        Some(DialFault::Starved) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        None if shelf.is_broken() => refusal(StatusCode::BAD_REQUEST, "bad request body"),
        None if shelf.is_untouched() && Kept::was(error) && has_ended(error) => Trouble::Stale,
        None => Trouble::Answered(bad_answer()),
    }
}

fn bad_answer() -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, "bad upstream answer")
}

fn dial_error(error: &legacy::Error) -> Option<&DialError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The connection ended, in order or not, before there was an answer.
fn has_ended(error: &legacy::Error) -> bool {
    causes(error)
        .any(|cause| cause.is::<io::Error>() || cause.downcast_ref().is_some_and(hyper::Error::is_incomplete_message))
}

fn causes(error: &legacy::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| Error::source(*cause))
}

impl Kept {
    /// An answer came over the connection of which `extensions` tell.
    fn note(extensions: &mut Extensions) {
        if let Some(Self(is_kept)) = extensions.remove() {
            is_kept.store(true, Ordering::Relaxed);
        }
    }

    /// One had come before over the connection that failed with `error`.
    fn was(error: &legacy::Error) -> bool {
        let mut extensions = Extensions::new();
        if let Some(connection) = error.connect_info() {
            connection.get_extras(&mut extensions);
        }
        extensions.get().is_some_and(|Self(is_kept)| is_kept.load(Ordering::Relaxed))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move { dialer.connect().await.map(TokioIo::new) })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(Kept::default())
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}
