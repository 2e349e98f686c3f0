//! What the admin port does: the operator's hand on the gate, and the drain. From this machine only.

use std::{net::IpAddr, time::SystemTime};

use http_body_util::{BodyExt, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{HOST, HeaderValue, ORIGIN},
    http::uri::Authority,
};
use serde_json::json;

use super::{
    View,
    order::Order,
    routes::{Answer, json, not_allowed},
    status::GateStatus,
};
use crate::gate::{Forced, NoRoute};

/// Most bytes of a body: a path, a reason and a duration in JSON.
const BODY_BYTES: usize = 4 * 1024;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `POST /gate/open`, `POST /gate/shut`
    Force(Forced),
    /// `POST /gate/auto`
    Free,
    /// `POST /drain`
    Drain,
}

impl Verb {
    /// What stands at this path, if it does anything.
    pub(super) fn parse(path: &str) -> Option<Self> {
        match path {
            "/gate/open" => Some(Self::Force(Forced::Open)),
            "/gate/shut" => Some(Self::Force(Forced::Shut)),
            "/gate/auto" => Some(Self::Free),
            "/drain" => Some(Self::Drain),
            _ => None,
        }
    }
}

/// The answer to a request of `peer` for one of them.
pub(super) async fn answer(view: &View, verb: Verb, request: Request<Incoming>, peer: IpAddr) -> Answer {
    if request.method() != Method::POST {
        return not_allowed("only POST", "POST");
    }
    if let Err(why) = may_write(peer, request.headers()) {
        return json(StatusCode::FORBIDDEN, &json!({ "error": why }));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES).collect().await else {
        return bad_request(&format!("the body did not come whole, or is larger than {BODY_BYTES} bytes"));
    };
    let order = match Order::parse(head.uri.query().unwrap_or_default(), &body.to_bytes()) {
        Ok(order) => order,
        Err(why) => return bad_request(&why),
    };
    match verb {
        Verb::Force(forced) => force(view, forced, order),
        Verb::Free => free(view, order),
        Verb::Drain => drain(view, &order),
    }
}

fn force(view: &View, forced: Forced, order: Order) -> Answer {
    let route = order.route.clone();
    match order.hand(forced, SystemTime::now()) {
        Ok(hand) => gate(view, view.gate.force(route.as_deref(), &hand)),
        Err(why) => bad_request(&why),
    }
}

fn free(view: &View, order: Order) -> Answer {
    match order.route_alone() {
        Ok(route) => gate(view, view.gate.free(route.as_deref(), SystemTime::now())),
        Err(why) => bad_request(&why),
    }
}

fn drain(view: &View, order: &Order) -> Answer {
    if *order != Order::default() {
        return bad_request("drain takes nothing");
    }
    view.ask_to_drain();
    json(StatusCode::ACCEPTED, &json!({ "status": "draining" }))
}

/// The gate as it is from here on; 200 whatever its verdict, for what was asked is done.
fn gate(view: &View, done: Result<(), NoRoute>) -> Answer {
    let snapshot = view.gate.snapshot();
    match done {
        Ok(()) => json(StatusCode::OK, &GateStatus::new(snapshot)),
        Err(NoRoute) => {
            let routes: Vec<_> = snapshot.routes.iter().map(|route| &route.path).collect();
            json(StatusCode::NOT_FOUND, &json!({ "error": "no such route", "routes": routes }))
        }
    }
}

/// Who is on this machine may, but for web pages in a browser on this machine: a page of somewhere else can send such a
/// request, by this address or by a name of its own that leads here. A page sends its Origin.
fn may_write(peer: IpAddr, headers: &HeaderMap) -> Result<(), String> {
    if !peer.to_canonical().is_loopback() {
        return Err(format!("taken from loopback only, and {peer} is not"));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = headers.get(HOST).and_then(authority);
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, page)| page);
    match host {
        Some(host) if is_here(&host) && page == Some(host.as_str()) => Ok(()),
        Some(_) | None => Err("taken from no web page but readygate's own".to_owned()),
    }
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    host.to_str().ok()?.parse().ok()
}

fn is_here(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn bad_request(why: &str) -> Answer {
    json(StatusCode::BAD_REQUEST, &json!({ "error": why }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn allowed(peer: &str, lines: &[(&'static str, &'static str)]) -> bool {
        let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        may_write(peer.parse().unwrap(), &lines.collect()).is_ok()
    }

    #[test]
    fn who_is_on_this_machine_may_and_nobody_else() {
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(allowed(peer, &[("host", "whatever.example")]), "{peer}");
        }
        for peer in ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1"] {
            assert!(!allowed(peer, &[]), "{peer}");
        }
    }

    #[test]
    fn a_web_page_may_only_if_it_is_readygates_own_by_a_name_of_this_machine() {
        for (host, origin, may) in [
            ("127.0.0.1:9090", "http://127.0.0.1:9090", true),
            ("[::1]:9090", "http://[::1]:9090", true),
            ("localhost:9090", "http://localhost:9090", true),
            ("127.0.0.1:9090", "https://evil.example", false),
            ("127.0.0.1:9090", "null", false),
            ("evil.example:9090", "http://evil.example:9090", false),
            ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example", false),
        ] {
            assert_eq!(allowed("127.0.0.1", &[("host", host), ("origin", origin)]), may, "{host} {origin}");
        }
    }
}
