//! A good handshake: it begins a session, and is answered as that says.

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header, response, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;

use super::{
    Peer, Site, headers,
    refuse::Refusal,
    upgrade::{self, Opening},
};
use crate::{
    dial::Stream,
    session::{
        self, Arrival, Reply,
        deferral::Deferral,
        outcome::Outcome,
        standing::{self, Standing},
    },
    upstream::{
        Body,
        handshake::{self, Handshake, Heard},
        spelling::Spelling,
    },
};

/// As RFC 6455 writes them, for clients that look for them letter by letter.
const OWN_SPELLING: &[u8] = b"Connection:\nUpgrade:\nSec-WebSocket-Accept:\nSec-WebSocket-Protocol:";

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
        Ok(Reply::Switch(head)) => Answer::Switch(relayed(&head)),
        Ok(Reply::Decline(response)) => Answer::Refuse(declined(*response)),
        Ok(Reply::Refuse(farewell)) => Answer::Refuse(Refusal::from(farewell).into_response()),
        Err(_) => Answer::Refuse(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()),
    }
}

/// A 101 as hyper has it, and how its names are spelt.
pub(super) fn parsed(head: &[u8]) -> (Response<Body>, Spelling) {
    match handshake::hear_own(&mut BytesMut::from(head)) {
        Heard::Switch(mut head) => {
            let spelling = head.extensions.remove().unwrap_or_default();
            (Response::from_parts(*head, empty()), spelling)
        }
        Heard::Part | Heard::Other => {
            (Refusal::new(StatusCode::BAD_GATEWAY, "bad upstream answer").into_response(), Spelling::default())
        }
    }
}

fn arrival(site: &Site, opening: Opening, peer: &Peer) -> Arrival {
    let Opening { head: request, spelling, accept } = opening;
    let (config, address) = (&site.house.config, peer.address);
    let route = config.route_of(request.uri.path());
    let early = match config.features.early_accept {
        true => upgrade::early(&request, &config.routes[route].gate, peer.secure),
        false => Err(Deferral::SwitchedOff),
    };
    let target = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let forwarding = headers::forwarding(&request.headers, address.ip(), peer.secure);
    let is_own = |name: &HeaderName| forwarding.iter().any(|(own, _)| own == name);
    let passed = headers::end_to_end(&request.headers).filter(|(name, _)| !is_own(name));
    let lines = passed.chain(forwarding.iter().map(|(name, value)| (name, value)));
    let handshake = Handshake::of(target, lines, &spelling);
    Arrival { request, handshake, accept, early, route, peer: address, place: peer.place.clone(), at: Instant::now() }
}

/// readygate's own 101.
fn accepted(accept: &HeaderValue, subprotocol: Option<&HeaderValue>, standing: Standing) -> Vec<u8> {
    let state = standing.value();
    let subprotocol = subprotocol.map(|subprotocol| (&header::SEC_WEBSOCKET_PROTOCOL, subprotocol));
    let lines = [(&header::SEC_WEBSOCKET_ACCEPT, accept)].into_iter().chain(subprotocol);
    handshake::switching(lines.chain([(&standing::HEADER, &state)]), &Spelling::of(Bytes::from_static(OWN_SPELLING)))
}

/// The upstream's. RFC 9110 §8.6: it has no body, whatever it says.
fn relayed(head: &response::Parts) -> Vec<u8> {
    let lines = headers::end_to_end(&head.headers).filter(|(name, _)| *name != header::CONTENT_LENGTH);
    match head.extensions.get() {
        Some(spelling) => handshake::switching(lines, spelling),
        None => handshake::switching(lines, &Spelling::default()),
    }
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
    use crate::upstream::handshake::MOST_HEADERS;

    fn answer(lines: &[(&str, &str)]) -> Response<Body> {
        let answer = lines.iter().fold(Response::builder(), |answer, (name, value)| answer.header(*name, *value));
        declined(answer.body(empty()).unwrap())
    }

    #[test]
    fn a_101_with_as_many_lines_as_may_be_and_one_of_readygates_is_read_again() {
        let names = (0..MOST_HEADERS - 1).map(|number| HeaderName::try_from(format!("x-{number}")));
        let names = names.collect::<Result<Vec<_>, _>>().unwrap();
        let (value, spelling) = (HeaderValue::from_static("1"), Spelling::default());
        let head = handshake::switching(names.iter().map(|name| (name, &value)), &spelling);
        let (response, _) = parsed(&head);
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
