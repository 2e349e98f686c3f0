//! Connections to the backend that are kept for the next request, and end when it comes.

use super::HOST;
use crate::harness::{
    gate::{Running, Setup},
    head::head,
    raw::Raw,
    upstream::Upstream,
};

/// How a server gives up a connection.
const ENDS: [fn(Raw); 2] = [drop, Raw::reset];

#[tokio::test]
async fn a_safe_request_is_sent_once_more_where_a_kept_connection_ends_unanswered() {
    for end in ENDS {
        for method in ["GET", "OPTIONS"] {
            let (_gate, mut upstream, mut client, mut kept) = kept().await;
            client.send(head(&format!("{method} /again?x=1 HTTP/1.1"), &[HOST, ("X-Mine", "1")])).await;
            let asked = kept.head().await;
            end(kept);
            let mut fresh = upstream.dialed().await;
            let again = fresh.head().await;
            assert_eq!((&again.first, again.get("x-mine")), (&asked.first, Some("1")));
            answer(&mut fresh).await;
            assert_eq!(client.response().await.text(), "ok", "{method}");
        }
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_upon_is_sent_once() {
    for end in ENDS {
        for (first, length, body) in [("POST", "0", ""), ("DELETE", "0", ""), ("GET", "3", "abc")] {
            let (_gate, mut upstream, mut client, mut kept) = kept().await;
            client.send(head(&format!("{first} /once HTTP/1.1"), &[HOST, ("Content-Length", length)]) + body).await;
            kept.head().await;
            assert_eq!(kept.exactly(body.len()).await, body.as_bytes());
            end(kept);
            assert_eq!(client.response().await.json()["error"], "bad upstream answer", "{first}");
            assert!(upstream.is_left_alone().await, "{first}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_never_answered_gets_no_request_twice() {
    for end in ENDS {
        let (_gate, mut upstream, mut client, mut kept) = kept().await;
        client.send(head("GET /crash HTTP/1.1", &[HOST])).await;
        kept.head().await;
        end(kept);
        let mut fresh = upstream.dialed().await;
        fresh.head().await;
        end(fresh);
        assert_eq!(client.response().await.json()["error"], "bad upstream answer");
        assert!(upstream.is_left_alone().await);
    }
}

/// The backend may have given up all of them at once.
#[tokio::test]
async fn the_second_time_goes_over_a_connection_of_its_own() {
    let (gate, mut upstream, mut client, mut first) = kept().await;
    client.send(head("GET /slow HTTP/1.1", &[HOST])).await;
    first.head().await;
    let mut other = gate.client().await;
    other.send(head("GET /other HTTP/1.1", &[HOST])).await;
    let mut second = upstream.dialed().await;
    second.head().await;
    for (client, backend) in [(&mut client, &mut first), (&mut other, &mut second)] {
        answer(backend).await;
        client.response().await;
    }
    client.send(head("GET /again HTTP/1.1", &[HOST])).await;
    tokio::select! {
        _ = first.head() => first.hang_up().await,
        _ = second.head() => second.hang_up().await,
    }
    let mut fresh = upstream.dialed().await;
    assert_eq!(fresh.head().await.first, "GET /again HTTP/1.1");
    answer(&mut fresh).await;
    assert_eq!(client.response().await.text(), "ok");
    fresh.ended().await;
}

#[tokio::test]
async fn what_a_kept_connection_answers_is_passed_on_however_bad() {
    let (_gate, mut upstream, mut client, mut kept) = kept().await;
    client.send(head("GET /bad HTTP/1.1", &[HOST])).await;
    kept.head().await;
    kept.send("220 mail.example.org ESMTP\r\n\r\n").await;
    assert_eq!(client.response().await.json()["error"], "bad upstream answer");
    assert!(upstream.is_left_alone().await);
}

/// A client whose first request is answered, and the connection over which it was.
async fn kept() -> (Running, Upstream, Raw, Raw) {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut client = gate.client().await;
    client.send(head("GET /first HTTP/1.1", &[HOST])).await;
    let mut backend = upstream.dialed().await;
    backend.head().await;
    answer(&mut backend).await;
    client.response().await;
    (gate, upstream, client, backend)
}

async fn answer(backend: &mut Raw) {
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
}
