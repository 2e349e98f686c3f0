//! What stands where on the admin port. Everything here is read-only; `writes` is not.

use std::{net::IpAddr, time::Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;
use serde_json::json;

use super::{
    View, page,
    status::{GateStatus, Session, Status, Timeline},
    writes::{self, Verb},
};
use crate::{gate::Verdict, telemetry::metrics::HoldUse};

/// Shown to whoever asks for something else.
const PATHS: [&str; 15] = [
    "/",
    "/startupz",
    "/livez",
    "/readyz",
    "/gate",
    "/metrics",
    "/status",
    "/events",
    "/sessions",
    "/sessions/{id}",
    "POST /gate/open",
    "POST /gate/shut",
    "POST /gate/auto",
    "POST /reload",
    "POST /drain",
];

/// Sessions in one answer unless `limit` says otherwise: enough for eyes, and well under a megabyte.
const SESSIONS_LIMIT: usize = 1000;

/// How many sessions matched, when not all of them are in the answer.
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) type Answer = Response<Full<Bytes>>;

#[derive(Clone, Copy)]
enum Route<'a> {
    Page,
    Startup,
    Live,
    Ready,
    Gate,
    Metrics,
    Status,
    Sessions,
    Session(&'a str),
}

/// The answer to any request of `peer`. hyper leaves the body out of an answer to HEAD.
pub(super) async fn answer(view: &View, request: Request<Incoming>, peer: IpAddr) -> Answer {
    if let Some(verb) = Verb::parse(request.uri().path()) {
        return writes::answer(view, verb, request, peer).await;
    }
    let Some(route) = Route::parse(request.uri().path()) else {
        return json(StatusCode::NOT_FOUND, &json!({ "error": "no such path", "paths": PATHS }));
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_allowed("only GET and HEAD", "GET, HEAD");
    }
    match route {
        Route::Page => page::answer(),
        Route::Startup => startup(view),
        Route::Live => ok(),
        Route::Ready => ready(view),
        Route::Gate => gate(view),
        Route::Metrics => metrics(view),
        Route::Status => json(StatusCode::OK, &Status::new(view).dated(view.started)),
        Route::Sessions => sessions(view, request.uri().query().unwrap_or_default()),
        Route::Session(id) => session(view, id),
    }
}

impl<'a> Route<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/startupz" => Some(Self::Startup),
            "/livez" => Some(Self::Live),
            "/readyz" => Some(Self::Ready),
            "/gate" => Some(Self::Gate),
            "/metrics" => Some(Self::Metrics),
            "/status" => Some(Self::Status),
            "/sessions" => Some(Self::Sessions),
            _ => path.strip_prefix("/sessions/").map(Self::Session),
        }
    }
}

fn startup(view: &View) -> Answer {
    if view.is_bound() {
        return ok();
    }
    unavailable("the public port is not bound yet")
}

/// A shut gate is not unready: holding is the job. What cannot be held is, and what cannot even be let in.
fn ready(view: &View) -> Answer {
    if view.gate().verdict() == Verdict::Draining {
        return unavailable("draining");
    }
    if view.budget.is_spent() {
        let (bytes, sessions) = view.budget.limits();
        let (used, held) = (view.budget.bytes(), view.budget.sessions());
        return unavailable(&format!("hold budget spent: {used} of {bytes} bytes, {held} of {sessions} sessions"));
    }
    if !view.has_seats() {
        return unavailable("no file descriptors are left for one more client");
    }
    ok()
}

fn metrics(view: &View) -> Answer {
    let taken = (view.budget.bytes(), view.budget.sessions());
    let oldest = view.registry.oldest_held(Instant::now());
    view.metrics.hold_is(&HoldUse { taken, limit: view.budget.limits(), oldest });
    respond(StatusCode::OK, EXPOSITION, view.metrics.render())
}

fn gate(view: &View) -> Answer {
    let snapshot = view.gate().snapshot();
    let status = match snapshot.verdict {
        Verdict::Open | Verdict::Degraded { .. } => StatusCode::OK,
        Verdict::Shut { .. } | Verdict::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &GateStatus::new(snapshot))
}

fn sessions(view: &View, query: &str) -> Answer {
    let wanted = match Wanted::parse(query) {
        Ok(wanted) => wanted,
        Err(error) => return json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    };
    let living = view.registry.living(Instant::now()).into_iter().map(Session::from);
    let mut matching: Vec<_> = living.filter(|session| wanted.state.is_none_or(|s| s == session.state())).collect();
    let total = matching.len();
    matching.truncate(wanted.limit);
    let mut answer = json(StatusCode::OK, &matching);
    answer.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
    answer
}

fn session(view: &View, id: &str) -> Answer {
    let found = id.parse().ok().and_then(|id| view.registry.find(id, Instant::now()));
    match found {
        Some(session) => {
            let route = view.config().route_of(&session.path);
            json(StatusCode::OK, &Timeline::new(session, &view.gate().lane(route).verdict()))
        }
        None => json(StatusCode::NOT_FOUND, &json!({ "error": "no such session, or it ended too long ago" })),
    }
}

/// The query of `/sessions`.
struct Wanted<'a> {
    state: Option<&'a str>,
    limit: usize,
}

impl<'a> Wanted<'a> {
    fn parse(query: &'a str) -> Result<Self, String> {
        let mut wanted = Self { state: None, limit: SESSIONS_LIMIT };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("state", state)) => wanted.state = Some(state),
                Some(("limit", limit)) => {
                    wanted.limit = limit.parse().map_err(|_| "limit is not a whole number".to_owned())?;
                }
                Some(_) | None => return Err("the query may have state=… and limit=…".to_owned()),
            }
        }
        Ok(wanted)
    }
}

fn ok() -> Answer {
    json(StatusCode::OK, &json!({ "status": "ok" }))
}

fn unavailable(reason: &str) -> Answer {
    json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unavailable", "reason": reason }))
}

/// 405 with the methods that are.
pub(super) fn not_allowed(error: &'static str, allowed: &'static str) -> Answer {
    let mut answer = json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": error }));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Any value as JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => respond(status, JSON, body),
        Err(error) => {
            tracing::error!(%error, "failed to serialise an admin answer");
            respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, "{}")
        }
    }
}

pub(super) fn respond(status: StatusCode, content: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
