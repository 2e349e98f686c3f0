#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::fields::Fields;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{advance, timeout},
};

const TIME: Duration = Duration::from_secs(10);

/// What `future` gives. Where no deadline fires, that is a failure and not a wait without end: the clock is paused.
async fn within<F: Future>(future: F) -> F::Output {
    timeout(TIME * 100, future).await.expect("it never came")
}

/// How Host was spelt in the present head.
fn spelt(timed: &Timed<tokio::io::DuplexStream>) -> Vec<u8> {
    let host = http::HeaderMap::from_iter([(http::header::HOST, http::HeaderValue::from_static("a"))]);
    let lines = timed.line().spelling().lines(&host);
    lines.lines().map(|(name, _)| name.to_vec()).collect::<Vec<_>>().concat()
}

async fn told(client: &mut tokio::io::DuplexStream) -> String {
    let mut text = String::new();
    within(client.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_whole_in_time_is_answered_408() {
    let (mut client, server) = duplex(1024);
    let (mut timed, _phase) = Timed::new(server, TIME);
    client.write_all(b"GET / HT").await.unwrap();
    let start = Instant::now();
    let mut head = Vec::new();
    within(timed.read_to_end(&mut head)).await.unwrap();
    drop(timed);
    assert_eq!((head.as_slice(), start.elapsed().as_secs()), (b"GET / HT".as_slice(), TIME.as_secs()));
    assert!(told(&mut client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_been_told_408_is_not_heard_any_more() {
    let (mut client, server) = duplex(1024);
    let (mut timed, _phase) = Timed::new(server, TIME);
    assert_eq!(within(timed.read(&mut [0; 8])).await.unwrap(), 0);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(within(timed.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_kept_only_where_somebody_will_ask_for_it() {
    for remembers in [false, true] {
        let (mut client, server) = duplex(1024);
        let (mut timed, _phase) = Timed::new(server, TIME);
        if remembers {
            timed.remember();
        }
        client.write_all(b"HOST: a\r\n").await.unwrap();
        within(timed.read_exact(&mut [0; 9])).await.unwrap();
        assert_eq!(timed.line().lock().head.is_empty(), !remembers);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_nobody_asks_for_is_not_put_before_the_next() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    timed.remember();
    for (head, name) in [("HOST: a\r\n", None), ("hOsT: a\r\n", Some(b"hOsT"))] {
        client.write_all(head.as_bytes()).await.unwrap();
        within(timed.read_exact(&mut [0; 9])).await.unwrap();
        phase.begin();
        match name {
            None => timed.line().forget(),
            Some(name) => assert_eq!(spelt(&timed), name),
        }
        phase.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_whose_rest_came_while_the_process_was_stopped_is_read() {
    let (mut client, server) = duplex(1024);
    let (mut timed, _phase) = Timed::new(server, TIME);
    client.write_all(b"GET / HT").await.unwrap();
    let mut head = [0; 8];
    within(timed.read_exact(&mut head)).await.unwrap();
    let mut reading = std::pin::pin!(timed.read_u8());
    assert!(futures_util::poll!(&mut reading).is_pending());
    advance(TIME * 6).await;
    assert!(futures_util::poll!(&mut reading).is_pending(), "the stop was taken for silence");
    client.write_all(b"T").await.unwrap();
    assert_eq!(within(reading).await.unwrap(), b'T');
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_hung_up_on_without_a_word() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    phase.end();
    assert_eq!(within(timed.read(&mut [0; 8])).await.unwrap(), 0);
    drop(timed);
    assert_eq!(told(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_idle_while_it_is_read_from_is_hung_up_on_too() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    phase.begin();
    let reader = tokio::spawn(async move { timed.read(&mut [0; 8]).await.unwrap() });
    tokio::task::yield_now().await;
    phase.end();
    assert_eq!(within(reader).await.unwrap(), 0);
    assert_eq!(told(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_second_head_has_its_own_deadline() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    phase.begin();
    phase.end();
    {
        // Its client was idle for a while, and was waited for.
        let mut reading = std::pin::pin!(timed.read_u8());
        assert!(futures_util::poll!(&mut reading).is_pending());
        advance(TIME / 2).await;
        client.write_all(b"G").await.unwrap();
        assert_eq!(within(reading).await.unwrap(), b'G');
    }
    let start = Instant::now();
    assert_eq!(within(timed.read(&mut [0; 8])).await.unwrap(), 0);
    assert_eq!(start.elapsed().as_secs(), TIME.as_secs());
    drop(timed);
    assert!(told(&mut client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(start_paused = true)]
async fn who_has_been_answered_may_be_idle_for_the_whole_time_however_long_the_head_took() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    assert!(futures_util::poll!(std::pin::pin!(timed.read_u8())).is_pending());
    advance(TIME / 2).await;
    phase.begin();
    client.write_all(b"body").await.unwrap();
    within(timed.read_exact(&mut [0; 4])).await.unwrap();
    phase.end();
    let start = Instant::now();
    assert_eq!(within(timed.read(&mut [0; 8])).await.unwrap(), 0);
    assert_eq!(start.elapsed().as_secs(), TIME.as_secs());
}

#[tokio::test(start_paused = true)]
async fn what_was_read_while_watching_comes_first_and_the_end_is_seen() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    phase.begin();
    client.write_all(b"ahead").await.unwrap();
    let line = timed.line();
    assert!(futures_util::poll!(std::pin::pin!(line.ended())).is_pending());
    client.write_all(b", then").await.unwrap();
    let mut first = [0; 2];
    within(timed.read_exact(&mut first)).await.unwrap();
    drop(client);
    within(line.ended()).await;
    let (_, rest) = timed.hand_over().unwrap();
    assert_eq!((&first, rest.as_slice()), (b"ah", b"ead, then".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_too_much_ahead_is_watched_no_more() {
    let (mut client, server) = duplex(MOST_AHEAD * 4);
    let (mut timed, _phase) = Timed::new(server, TIME);
    client.write_all(&[7; MOST_AHEAD * 3]).await.unwrap();
    drop(client);
    assert!(futures_util::poll!(std::pin::pin!(timed.line().ended())).is_pending());
    let (mut stream, mut ahead) = timed.hand_over().unwrap();
    within(stream.read_to_end(&mut ahead)).await.unwrap();
    assert_eq!(ahead, [7; MOST_AHEAD * 3]);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_has_no_deadline_here() {
    let (mut client, server) = duplex(1024);
    let (mut timed, phase) = Timed::new(server, TIME);
    phase.begin();
    let writer = tokio::spawn(async move {
        tokio::time::sleep(TIME * 3).await;
        client.write_all(b"body").await.unwrap();
    });
    assert_eq!(within(timed.read(&mut [0; 8])).await.unwrap(), 4);
    within(writer).await.unwrap();
}
