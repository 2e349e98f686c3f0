//! A good handshake: it begins a session, and is answered as that says.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;

use super::{
    Peer, Site, headers,
    refuse::Refusal,
    upgrade::{self, Opening},
};
use crate::{
    dial::Stream,
    fields::{self, Line, Lines},
    session::{
        self, Arrival, Reply,
        deferral::Deferral,
        gating::Gating,
        outcome::Outcome,
        standing::{self, Standing},
    },
    telemetry::trace::Trace,
    upstream::{
        Body,
        handshake::{self, Handshake, MOST_HEADERS},
        spelling::Spelling,
    },
};

/// The names in an answer of ours, as RFC 6455 writes them, for clients that look for them letter by letter.
const OWN_UPGRADING: [Line; 2] = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")];
const OWN_ACCEPT: &[u8] = b"Sec-WebSocket-Accept";
const OWN_PROTOCOL: &[u8] = b"Sec-WebSocket-Protocol";

/// What a handshake is answered.
pub(super) enum Answer {
    /// A 101, as it is written.
    Switch(Vec<u8>),
    /// Anything else.
    Refuse(Response<Body>),
}

/// Begins the session of `opening`, which is given its client's stream, and bytes that came behind the request, by
/// `client`. The session and its reply.
pub(super) fn begin<F>(
    site: &Site,
    opening: Opening,
    peer: &Peer,
    client: F,
) -> (impl Future<Output = Outcome> + Send + use<F>, oneshot::Receiver<Reply>)
where
    F: Future<Output = Option<(Stream, Bytes)>> + Send + 'static,
{
    let (sender, reply) = oneshot::channel();
    (session::run(Arc::clone(&site.house), arrival(site, opening, peer), sender, client), reply)
}

/// Answers as the session says. If the client goes first, nobody waits for its `reply`, and the session sees that.
pub(super) async fn answer(reply: oneshot::Receiver<Reply>, peer: &Peer) -> Answer {
    let reply = tokio::select! {
        biased;
        reply = reply => reply,
        () = peer.line.ended() => return Answer::Refuse(super::bad_request("the client's stream ended")),
    };
    match reply {
        Ok(Reply::Early { accept, subprotocol, standing }) => {
            Answer::Switch(accepted(&accept, subprotocol.as_ref(), standing))
        }
        Ok(Reply::Switch { lines, standing }) => Answer::Switch(relayed(&lines, standing)),
        Ok(Reply::Decline(response)) => Answer::Refuse(declined(*response)),
        Ok(Reply::Refuse(farewell)) => Answer::Refuse(Refusal::from(farewell).into_response()),
        Err(_) => Answer::Refuse(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()),
    }
}

/// A 101 as hyper has it, and how its names are spelt.
pub(super) fn parsed(head: Vec<u8>) -> (Response<Body>, Spelling) {
    // The upstream's may have one line more by then, that says how things stand.
    let mut lines = [httparse::EMPTY_HEADER; MOST_HEADERS + 1];
    let mut answer = httparse::Response::new(&mut lines);
    let response = answer.parse(&head).ok().and_then(|_| {
        let bare = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let whole = answer.headers.iter().fold(bare, |response, line| response.header(line.name, line.value));
        whole.body(empty()).ok()
    });
    match response {
        Some(response) => (response, Spelling::of(head.into())),
        None => (Refusal::new(StatusCode::BAD_GATEWAY, "bad upstream answer").into_response(), Spelling::default()),
    }
}

fn arrival(site: &Site, opening: Opening, peer: &Peer) -> Arrival {
    let Opening { uri, lines, accept } = opening;
    let (config, address, path) = (&site.house.config, peer.address, uri.path());
    let route = config.route_of(path);
    let policy = &config.routes[route].gate;
    let early = match config.features.early_accept {
        true => upgrade::early(&lines, policy, peer.secure),
        false => Err(Deferral::SwitchedOff),
    };
    let gating = Gating::of(policy, &lines, address.ip());
    let trace = Trace::of(&lines).map(Box::new);
    let handshake = passed(&uri, &lines, peer);
    let (path, place) = (path.to_owned(), peer.place.clone());
    Arrival { path, handshake, accept, gating, trace, early, route, peer: address, place, at: Instant::now() }
}

/// The handshake as it goes on to the upstream.
fn passed(uri: &Uri, lines: &Lines, peer: &Peer) -> Handshake {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let forwarding = headers::forwarding(lines, peer.address.ip(), peer.secure);
    let ours = || forwarding.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let is_ours = |name: &[u8]| ours().any(|(our, _)| fields::is(name, our));
    let theirs = headers::end_to_end(lines).filter(|(name, _)| !is_ours(name));
    let ours = ours().map(|(name, value)| (lines.spell(name), value));
    Handshake::of(target, theirs.chain(ours).chain(handshake::upgrading(lines)))
}

/// readygate's own 101.
fn accepted(accept: &str, subprotocol: Option<&HeaderValue>, standing: Standing) -> Vec<u8> {
    let subprotocol = subprotocol.map(|subprotocol| (OWN_PROTOCOL, subprotocol.as_bytes()));
    let lines = OWN_UPGRADING.into_iter().chain([(OWN_ACCEPT, accept.as_bytes())]).chain(subprotocol);
    handshake::switching(lines.chain([standing.line()]))
}

/// The upstream's. RFC 9110 §8.6: it has no body, whatever it says.
fn relayed(lines: &Lines, standing: Option<Standing>) -> Vec<u8> {
    let is_ours = |name: &[u8]| standing.is_some() && fields::is(name, standing::NAME);
    let is_length = |name: &[u8]| fields::is(name, "content-length");
    let theirs = headers::end_to_end(lines).filter(|(name, _)| !is_length(name) && !is_ours(name));
    handshake::switching(theirs.chain(standing.map(Standing::line)).chain(handshake::upgrading(lines)))
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
    fn a_101_with_as_many_lines_as_may_be_and_one_of_readygates_is_read_again() {
        let names: Vec<_> = (0..=MOST_HEADERS).map(|number| format!("x-{number}")).collect();
        let head = handshake::switching(names.iter().map(|name| (name.as_bytes(), b"1".as_slice())));
        let (response, _) = parsed(head);
        assert_eq!((response.status(), response.headers().len()), (StatusCode::SWITCHING_PROTOCOLS, MOST_HEADERS + 1));
    }

    #[test]
    fn a_declining_answer_has_one_length_or_is_not_relayed() {
        let two = answer(&[("content-length", "40"), ("transfer-encoding", "chunked")]);
        assert_eq!((two.status(), two.headers().len()), (StatusCode::OK, 0));
        let coded = answer(&[("transfer-encoding", "gzip, chunked")]);
        assert_eq!(coded.status(), StatusCode::BAD_GATEWAY);
    }
}
