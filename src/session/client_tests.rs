use super::*;
use crate::{
    hold::budget::Budget,
    session::simulation::scene::usual_configuration,
    splice::{Event, Splice},
    wire::header::MAX_HEADER,
};
use proptest::prelude::*;
use std::{future::poll_fn, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

/// Room of the simulated socket.
const ROOM: usize = 1 << 20;

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

struct Fixture {
    budget: Arc<Budget>,
    /// The client's own end.
    wire: DuplexStream,
    client: Client<DuplexStream>,
}

fn fixture(change: impl FnOnce(&mut config::Hold)) -> Fixture {
    let mut limits = usual_configuration().hold;
    change(&mut limits);
    let budget = Budget::new(limits.total_bytes, limits.sessions);
    let (wire, stream) = duplex(ROOM);
    let client = Client::new(stream, Hold::new(&limits), budget.enter().unwrap(), &limits);
    Fixture { budget, wire, client }
}

fn text(payload: &[u8]) -> Vec<u8> {
    close::control(Opcode::Text, payload, KEY)
}

/// What the session is told.
async fn next(client: &mut Client<DuplexStream>) -> Input {
    poll_fn(|cx| client.poll_next(cx, &|_, _| ())).await
}

impl Fixture {
    async fn send(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).await.unwrap();
    }

    /// What the session is told within `time`.
    async fn next_within(&mut self, time: Duration) -> Option<Input> {
        timeout(time, next(&mut self.client)).await.ok()
    }

    /// Lets the client take all that was sent.
    async fn settle(&mut self) -> Option<Input> {
        self.next_within(Duration::from_millis(1)).await
    }

    async fn received(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.wire.read_exact(&mut bytes).await.unwrap();
        bytes
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_and_not_held() {
    let mut held = fixture(|_| ());
    held.send(&close::control(Opcode::Ping, b"hey", KEY)).await;
    assert_eq!((held.settle().await, held.client.hold().bytes()), (None, 0));
    assert_eq!(held.received(5).await, close::control(Opcode::Pong, b"hey", None));
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_with_its_own_code_and_reason() {
    for payload in [&b"\x0f\xa1bye"[..], &[0x03, 0xe8], &[]] {
        let mut held = fixture(|_| ());
        held.send(&close::control(Opcode::Close, payload, KEY)).await;
        assert!(matches!(held.settle().await, Some(Input::ClientClosed(_))));
        held.client.echo();
        held.settle().await;
        let echo = close::control(Opcode::Close, payload, None);
        assert_eq!(held.received(echo.len()).await, echo);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_twice_and_then_lost() {
    let mut held = fixture(|_| ());
    let (start, interval) = (Instant::now(), held.client.ping_interval);
    assert_eq!(held.next_within(100 * interval).await, Some(Input::ClientSilent));
    assert_eq!(start.elapsed().as_secs(), 3 * interval.as_secs());
    assert_eq!(held.received(4).await, close::control(Opcode::Ping, b"", None).repeat(2));
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_a_sign_of_life() {
    let mut held = fixture(|_| ());
    let interval = held.client.ping_interval;
    for _ in 0..10 {
        assert_eq!(held.next_within(2 * interval).await, None);
        held.send(&close::control(Opcode::Pong, b"", KEY)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_does_not_end_in_time_is_reported_however_it_dribbles() {
    let mut held = fixture(|_| ());
    let start = Instant::now();
    for byte in &text(b"dribble")[..8] {
        held.send(&[*byte]).await;
        if let Some(input) = held.next_within(Duration::from_secs(1)).await {
            assert_eq!((input, start.elapsed().as_secs()), (Input::Stalled, 5));
            return;
        }
    }
    panic!("a frame may take as long as it likes");
}

#[tokio::test(start_paused = true)]
async fn what_came_while_the_process_was_stopped_is_read_before_the_client_is_judged() {
    let (half, rest) = (text(b"late")[..5].to_vec(), text(b"late")[5..].to_vec());
    for (begun, silence, came) in [(half, 0, rest), (Vec::new(), 2, close::control(Opcode::Pong, b"", KEY))] {
        let mut held = fixture(|_| ());
        held.send(&begun).await;
        let asked = held.client.ping_interval * silence;
        assert_eq!(held.next_within(asked + Duration::from_millis(1)).await, None);
        let Fixture { mut wire, mut client, .. } = held;
        let mut next = std::pin::pin!(next(&mut client));
        assert!(futures_util::poll!(&mut next).is_pending());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(futures_util::poll!(&mut next).is_pending(), "the stop was taken for silence");
        wire.write_all(&came).await.unwrap();
        assert!(timeout(MOMENT * 2, next).await.is_err(), "what came was not read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_hold_pauses_the_client_by_bytes_and_by_frames() {
    let long = text(b"0123456789");
    let mut by_bytes = fixture(|limits| limits.connection_bytes = 20);
    by_bytes.send(&long.repeat(3)).await;
    assert_eq!(by_bytes.settle().await, None);
    // A header that came in pieces is counted once it is whole.
    assert!((20..20 + MAX_HEADER).contains(&by_bytes.client.hold().bytes()));
    let mut by_frames = fixture(|limits| limits.connection_frames = 2);
    by_frames.send(&long.repeat(2)).await;
    by_frames.settle().await;
    by_frames.send(&long).await;
    assert_eq!((by_frames.settle().await, by_frames.client.hold().frames()), (None, 2));
}

#[tokio::test(start_paused = true)]
async fn a_client_paused_by_the_common_budget_goes_on_when_there_is_room() {
    let mut held = fixture(|limits| limits.total_bytes = 40);
    let mut neighbour = held.budget.enter().unwrap();
    assert_eq!(neighbour.grow(30), 30);
    held.send(&text(b"0123456789")).await;
    assert_eq!((held.settle().await, held.client.hold().bytes()), (None, 10));
    drop(neighbour);
    assert_eq!((held.next_within(2 * BUDGET_RETRY).await, held.client.hold().frames()), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_hold_is_reported_only_to_a_client_that_sends_more() {
    let frame = text(b"0123456789");
    let mut held = fixture(|limits| (limits.connection_bytes, limits.when_full) = (frame.len(), WhenFull::Close));
    held.send(&frame).await;
    assert_eq!(held.settle().await, None);
    held.send(b"x").await;
    assert_eq!(held.settle().await, Some(Input::Full));
    held.client.close(close::TRY_AGAIN, "hold full");
    held.settle().await;
    assert_eq!(held.received(4).await[2..], close::TRY_AGAIN.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ended_its_side_still_gets_the_close() {
    let mut held = fixture(|_| ());
    let (wire, stream) = duplex(3);
    (held.wire, held.client.stream) = (wire, stream);
    held.wire.shutdown().await.unwrap();
    assert_eq!(held.settle().await, Some(Input::ClientEnded { left_frames: false }));
    held.client.close(close::TRY_AGAIN, "not ready in time");
    assert_eq!(held.settle().await, None);
    let (mut wire, mut client) = (held.wire, held.client);
    let ended = tokio::spawn(async move { next(&mut client).await });
    let mut told = Vec::new();
    wire.read_to_end(&mut told).await.unwrap();
    assert_eq!(told, close::frame(close::TRY_AGAIN, "not ready in time"));
    assert_eq!(ended.await.unwrap(), Input::ClientEnded { left_frames: false });
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closed_and_went_is_delivered_without_its_pongs() {
    let mut held = fixture(|_| ());
    let bytes = [text(b"x"), close::control(Opcode::Ping, b"", KEY), close::masked_frame(1000, "", [7; 4])].concat();
    held.send(&bytes).await;
    held.wire = duplex(1).0;
    assert_eq!(held.settle().await, None);
    assert_eq!(held.client.hold().frames(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_budget_keeps_a_handed_over_hold_until_its_lease_goes() {
    let mut held = fixture(|_| ());
    held.send(&text(b"0123456789")).await;
    held.settle().await;
    let Handover { lease, released, .. } = held.client.hand_over();
    assert_eq!((held.budget.bytes(), held.budget.sessions()), (released.bytes.len(), 1));
    drop(lease);
    assert_eq!((held.budget.bytes(), held.budget.sessions()), (0, 0));
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = proptest::collection::vec(proptest::collection::vec(0_u8..128, 0..40), 1..4);
    let ping = proptest::collection::vec(any::<u8>(), 0..20);
    proptest::collection::vec((message, proptest::option::of(ping)), 0..5).prop_map(|all| {
        let mut frames = Vec::new();
        for (parts, ping) in all {
            for (at, part) in parts.iter().enumerate() {
                let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
                let mut frame = close::control(opcode, part, KEY);
                frame[0] = if at + 1 == parts.len() { frame[0] | 0x80 } else { frame[0] & 0x7f };
                frames.push(frame);
                frames.extend(ping.iter().map(|ping| close::control(Opcode::Ping, ping, KEY)));
            }
        }
        frames
    })
}

/// Sends `stream` in two pieces before the release at `release` and two after; what the upstream got.
async fn through(stream: &[u8], first: usize, release: usize, later: usize) -> Vec<u8> {
    let mut held = fixture(|_| ());
    for piece in [&stream[..first], &stream[first..release]] {
        held.send(piece).await;
        assert_eq!(held.settle().await, None);
    }
    let Handover { stream: client, released, unsent, .. } = held.client.hand_over();
    let (mut upstream, end) = duplex(ROOM);
    let mut splice = Splice::new(client, end, released.bytes, unsent, b"");
    for piece in [&stream[release..later], &stream[later..]] {
        held.wire.write_all(piece).await.unwrap();
        let _ = timeout(Duration::from_millis(1), splice.next()).await;
    }
    held.wire.shutdown().await.unwrap();
    upstream.shutdown().await.unwrap();
    while !matches!(splice.next().await, Event::Ended(_)) {}
    assert_eq!(splice.delivered(), (released.frames as u64, 0));
    drop(splice);
    let mut got = Vec::new();
    upstream.read_to_end(&mut got).await.unwrap();
    got
}

proptest! {
    #[test]
    fn wherever_bytes_are_split_and_the_hold_is_released_the_upstream_gets_them_but_for_answered_pings(
        frames in frames(),
        cuts in proptest::array::uniform3(0.0_f64..1.0),
    ) {
        let stream = frames.concat();
        let mut cuts = cuts.map(|cut| (cut * (stream.len() + 1) as f64) as usize);
        cuts.sort_unstable();
        let [first, release, later] = cuts;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let got = runtime.block_on(through(&stream, first, release, later));
        let mut expected = Vec::<u8>::new();
        let mut end = 0;
        for frame in &frames {
            end += frame.len();
            if frame[0] & 0x0f != 9 || end > release {
                expected.extend(frame);
            }
        }
        prop_assert_eq!(got, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_with_the_request_and_find_no_room_take_none() {
    let mut held = fixture(|limits| limits.total_bytes = 10);
    assert_eq!(held.client.take(&text(b"0123456789")), Some(Input::Full));
    assert_eq!(held.budget.bytes(), 0);
}
