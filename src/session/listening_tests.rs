#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::*;
use crate::{
    config::OnTimeout,
    fields::Lines,
    hold::{Hold, budget::Budget},
    session::simulation::scene::usual_configuration,
};

/// Room in each direction of a connection, unless a test is about a reader that is slow.
const ROOMY: usize = 1 << 20;

/// Bytes read at a time, and a header.
const MOST_ON_ITS_WAY: usize = (16 << 10) + 14;

struct Fixture {
    /// The two ends that the session does not have.
    client: DuplexStream,
    backend: DuplexStream,
    listening: Listening<DuplexStream, DuplexStream>,
}

/// Waits for "ready"; `early` came with the 101, and the client takes `room` bytes before it reads.
fn fixture(early: &[u8], room: usize) -> Fixture {
    let limits = usual_configuration().hold;
    let lease = Budget::new(limits.total_bytes, limits.sessions).enter().unwrap();
    let ((client, client_end), (backend, upstream_end)) = (duplex(room), duplex(ROOMY));
    let joined = Joined { stream: upstream_end, early: Bytes::copy_from_slice(early), lines: Lines::default() };
    let rule = Confirm {
        json: Vec::new(),
        text: Some("ready".to_owned()),
        timeout: Duration::from_secs(5),
        on_timeout: OnTimeout::Close,
        message_bytes: 1 << 10,
    };
    let client_side = Client::new(client_end, Hold::new(&limits), lease, &limits);
    Fixture { client, backend, listening: Listening::new(client_side, joined, Arc::new(rule)) }
}

fn text(payload: &[u8]) -> Vec<u8> {
    close::control(Opcode::Text, payload, None)
}

fn masked(payload: &[u8]) -> Vec<u8> {
    close::control(Opcode::Text, payload, Some([1, 2, 3, 4]))
}

/// What the session is told.
async fn told_next(listening: &mut Listening<DuplexStream, DuplexStream>) -> Input {
    poll_fn(|cx| listening.poll_next(cx, &|_, _| ())).await
}

/// The same, however long that takes on a clock that nobody waits for.
async fn next(listening: &mut Listening<DuplexStream, DuplexStream>) -> Input {
    timeout(Duration::from_secs(3_600), told_next(listening)).await.expect("something to tell")
}

impl Fixture {
    /// What the session is told once nothing is left to do.
    async fn settle(&mut self) -> Option<Input> {
        timeout(Duration::from_millis(1), told_next(&mut self.listening)).await.ok()
    }

    async fn received(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.client.read_exact(&mut bytes).await.unwrap();
        bytes
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_with_the_101_is_looked_at_first_and_what_lies_behind_the_confirmation_is_handed_over() {
    let (ready, behind) = (text(b"ready"), text(b"behind"));
    let mut scene = fixture(&[&ready[..], &behind[..3]].concat(), ROOMY);
    scene.client.write_all(&masked(b"held")).await.unwrap();
    assert_eq!(scene.settle().await, Some(Input::Confirmed));
    let (client, joined) = scene.listening.hand_over();
    assert_eq!((client.outbox().unsent(), joined.early.as_ref()), (&ready[..], &behind[..3]));
    assert_eq!(client.hand_over().released.bytes, masked(b"held"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_stops_the_upstream_and_is_read_all_the_same() {
    let mut scene = fixture(b"", 64);
    let piece = [&[0x82, 127][..], &(ROOMY as u64).to_be_bytes(), &vec![7; ROOMY - 10]].concat();
    scene.backend.write_all(&piece).await.unwrap();
    scene.client.write_all(&masked(b"held")).await.unwrap();
    assert_eq!(scene.settle().await, None);
    let waiting = scene.listening.client().outbox().unsent().len();
    assert!((1..=MOST_ON_ITS_WAY).contains(&waiting), "{waiting} bytes wait");
    assert_eq!(scene.listening.client().hold().frames(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_ours_gets_the_rest_of_the_frame_under_way_and_the_upstream_is_told_at_once() {
    let mut scene = fixture(b"", ROOMY);
    let whole = text(b"under way");
    scene.backend.write_all(&whole[..5]).await.unwrap();
    assert_eq!(scene.settle().await, None);
    scene.listening.client_mut().close(close::TRY_AGAIN, "");
    scene.listening.part(Some(close::GOING_AWAY), b"why");
    assert_eq!(scene.settle().await, None);
    let mut told = Vec::new();
    scene.backend.read_to_end(&mut told).await.unwrap();
    let (head, payload) = told.split_at(6);
    let clear: Vec<u8> = payload.iter().zip(head[2..].iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    assert_eq!(head[..2], [0x88, 0x80 | 5], "a masked Close");
    assert_eq!(clear, [&close::GOING_AWAY.to_be_bytes()[..], b"why"].concat());
    scene.backend.write_all(&[&whole[5..], &text(b"more")].concat()).await.unwrap();
    assert_eq!(scene.settle().await, None);
    let close = close::frame(close::TRY_AGAIN, "");
    assert_eq!(scene.received(whole.len() + close.len()).await, [whole, close].concat());
    drop(scene.client);
    assert_eq!(next(&mut scene.listening).await, Input::ClientEnded { left_frames: false });
}

#[tokio::test(start_paused = true)]
async fn a_close_of_ours_that_waits_for_a_frame_which_never_ends_is_given_up() {
    let mut scene = fixture(&text(b"under way")[..5], ROOMY);
    assert_eq!(scene.settle().await, None);
    scene.listening.client_mut().close(close::TRY_AGAIN, "");
    scene.listening.part(Some(close::GOING_AWAY), b"");
    drop(scene.backend);
    assert_eq!(next(&mut scene.listening).await, Input::ClientLost);
}

#[tokio::test(start_paused = true)]
async fn a_waiver_takes_effect_at_the_next_place_between_two_frames() {
    let mut scene = fixture(b"", ROOMY);
    let (whole, next) = (text(b"under way"), text(b"next"));
    scene.backend.write_all(&whole[..5]).await.unwrap();
    assert_eq!(scene.settle().await, None);
    scene.listening.waive();
    assert_eq!(scene.settle().await, None);
    scene.backend.write_all(&[&whole[5..], &next[..2]].concat()).await.unwrap();
    assert_eq!(scene.settle().await, Some(Input::Confirmed));
    let (client, joined) = scene.listening.hand_over();
    assert_eq!((client.outbox().unsent(), joined.early.as_ref()), (&whole[5..], &next[..2]));
}

#[tokio::test(start_paused = true)]
async fn a_waiver_between_the_fragments_of_a_message_is_inside_it_though_its_end_has_been_read() {
    let mut scene = fixture(b"", ROOMY);
    let (mut first, mut last) = (text(b"un"), text(b"der way"));
    first[0] &= 0x7f;
    last[0] &= 0xf0;
    scene.backend.write_all(&first[..3]).await.unwrap();
    assert_eq!(scene.settle().await, None);
    scene.listening.waive();
    scene.backend.write_all(&[&first[3..], &last].concat()).await.unwrap();
    assert_eq!(scene.settle().await, Some(Input::Confirmed));
    assert!(!scene.listening.is_between_messages(), "a notice would go inside the message");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_or_sends_no_frames_is_lost_where_it_stands() {
    for (bytes, between_frames) in [(text(b"whole"), true), (text(b"half")[..3].to_vec(), false)] {
        let mut scene = fixture(&bytes, ROOMY);
        drop(scene.backend);
        assert_eq!(next(&mut scene.listening).await, Input::UpstreamLost { between_frames });
    }
    let mut scene = fixture(&[0x81, 126, 0, 1], ROOMY);
    assert_eq!(scene.settle().await, Some(Input::UpstreamLost { between_frames: false }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_closed_and_gone_still_has_its_frames_waiting() {
    let mut scene = fixture(b"", ROOMY);
    scene.client.write_all(&[masked(b"held"), close::masked_frame(1000, "", [5; 4])].concat()).await.unwrap();
    assert_eq!(scene.settle().await, None);
    drop(scene.client);
    scene.backend.write_all(&text(b"not yet")).await.unwrap();
    let heard = timeout(Duration::from_millis(1), told_next(&mut scene.listening)).await;
    assert!(heard.is_err(), "{heard:?}");
    scene.backend.write_all(&text(b"ready")).await.unwrap();
    assert_eq!(next(&mut scene.listening).await, Input::Confirmed);
    assert_eq!(scene.listening.hand_over().0.hand_over().released.frames, 1);
}
