use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::*;
use crate::wire::header::Opcode;

/// Room in each direction of a connection, unless a test is about a reader that is slow.
const ROOMY: usize = 1 << 20;

/// A connection: the test's end and the splice's.
fn connection(room: usize) -> (DuplexStream, DuplexStream) {
    duplex(room)
}

type Streams = Splice<DuplexStream, DuplexStream>;

fn spliced(held: &[u8], unsent: &[u8], early: &[u8]) -> (DuplexStream, DuplexStream, Streams) {
    let ((client, client_end), (upstream, upstream_end)) = (connection(ROOMY), connection(ROOMY));
    (client, upstream, Splice::new(client_end, upstream_end, held.to_vec(), unsent.to_vec(), early))
}

fn text(payload: &[u8]) -> Vec<u8> {
    close::control(Opcode::Text, payload, None)
}

async fn to_end(mut splice: Streams) -> (End, Placed) {
    loop {
        if let Event::Ended(end) = splice.next().await {
            return (end, splice.placed());
        }
    }
}

async fn all(mut stream: DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Polls until the splice has nothing left to do.
async fn settle(splice: &mut Streams) -> Vec<Event> {
    let mut events = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(1), splice.next()).await {
        events.push(event);
    }
    events
}

#[tokio::test(start_paused = true)]
async fn what_was_held_and_what_came_early_go_first() {
    let (mut client, mut upstream, splice) = spliced(&text(b"held"), &text(b"pong"), &text(b"early"));
    client.write_all(&text(b"later")).await.unwrap();
    upstream.write_all(&text(b"then")).await.unwrap();
    client.shutdown().await.unwrap();
    upstream.shutdown().await.unwrap();
    to_end(splice).await;
    assert_eq!(all(upstream).await, [text(b"held"), text(b"later")].concat());
    assert!(all(client).await.starts_with(&[text(b"pong"), text(b"early"), text(b"then")].concat()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_side_still_hears_the_answer() {
    let (mut client, mut upstream, mut splice) = spliced(b"", b"", b"");
    client.write_all(&text(b"question")).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(settle(&mut splice).await, [Event::Replayed, Event::Parting(End::ClientGone)]);
    upstream.write_all(&text(b"answer")).await.unwrap();
    upstream.shutdown().await.unwrap();
    assert_eq!(to_end(splice).await, (End::ClientGone, Placed::default()));
    assert_eq!((all(upstream).await, all(client).await), (text(b"question"), text(b"answer")));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_closes_first_still_hears_the_client() {
    let (mut client, mut upstream, mut splice) = spliced(b"", b"", b"");
    let goodbye = close::frame(close::NORMAL, "");
    upstream.write_all(&goodbye).await.unwrap();
    upstream.shutdown().await.unwrap();
    assert_eq!(settle(&mut splice).await, [Event::Replayed, Event::Parting(End::Completed)]);
    client.write_all(&text(b"last words")).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(to_end(splice).await, (End::Completed, Placed::default()));
    assert_eq!((all(upstream).await, all(client).await), (text(b"last words"), goodbye));
}

#[tokio::test(start_paused = true)]
async fn a_silent_other_half_ends_when_the_linger_is_over() {
    let (mut client, upstream, splice) = spliced(b"", b"", b"");
    client.shutdown().await.unwrap();
    let start = Instant::now();
    assert_eq!(to_end(splice).await.0, End::ClientGone);
    assert_eq!(start.elapsed().as_secs(), LINGER.as_secs());
    drop(upstream);
}

#[tokio::test(start_paused = true)]
async fn a_lost_upstream_is_told_between_frames_and_cuts_inside_one() {
    let whole = text(b"whole");
    for cut in 0..=whole.len() {
        let (client, mut upstream, splice) = spliced(b"", b"", b"");
        upstream.write_all(&whole[..cut]).await.unwrap();
        drop(upstream);
        let ended = tokio::spawn(to_end(splice));
        let is_between = cut == 0 || cut == whole.len();
        let told = if is_between { close::frame(close::RESTART, LOST_REASON) } else { vec![] };
        let mut expected = whole[..cut].to_vec();
        expected.extend(told);
        assert_eq!(all(client).await, expected, "cut at {cut}");
        assert_eq!(ended.await.unwrap(), (End::UpstreamLost, Placed { client: is_between, upstream: false }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_taken_pong_does_not_hide_where_the_frames_end() {
    // What is left of a pong whose payload looks like the beginning of a long frame.
    let (client, upstream, splice) = spliced(b"", &[0x82, 0x7e], &text(b"early"));
    drop(upstream);
    let ended = tokio::spawn(to_end(splice));
    let told = close::frame(close::RESTART, LOST_REASON);
    assert_eq!(all(client).await, [vec![0x82, 0x7e], text(b"early"), told].concat());
    assert!(ended.await.unwrap().1.client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_said_goodbye_is_told_when_its_frames_were_not_taken() {
    let ((mut client, client_end), (upstream, upstream_end)) = (connection(ROOMY), connection(8));
    let held = [text(b"never taken"), close::frame(close::NORMAL, "")].concat();
    let splice = Splice::new(client_end, upstream_end, held, vec![], b"");
    client.shutdown().await.unwrap();
    let ended = tokio::spawn(async move {
        let mut splice = splice;
        settle(&mut splice).await;
        drop(upstream);
        to_end(splice).await
    });
    assert_eq!(all(client).await, close::frame(close::RESTART, LOST_REASON));
    assert_eq!(ended.await.unwrap().0, End::UpstreamLost);
}

#[tokio::test(start_paused = true)]
async fn a_cut_tells_both_ends_where_they_stand_between_frames() {
    let (mut client, mut upstream, mut splice) = spliced(b"", b"", b"");
    client.write_all(&text(b"inside")[..3]).await.unwrap();
    upstream.write_all(&text(b"whole")).await.unwrap();
    settle(&mut splice).await;
    splice.cut();
    let start = Instant::now();
    assert_eq!(to_end(splice).await, (End::Drained, Placed { client: true, upstream: false }));
    assert!(start.elapsed() <= CUT_GRACE + Duration::from_millis(2));
    assert_eq!(all(upstream).await, text(b"inside")[..3]);
    assert_eq!(all(client).await, [text(b"whole"), close::frame(close::RESTART, CUT_REASON)].concat());
}

#[tokio::test(start_paused = true)]
async fn a_cut_puts_a_masked_close_to_the_upstream_behind_all_that_was_held() {
    let (_client, upstream, mut splice) = spliced(&text(b"held"), b"", b"");
    splice.cut();
    assert!(to_end(splice).await.1.upstream);
    let took = all(upstream).await;
    let own = took.strip_prefix(text(b"held").as_slice()).unwrap();
    assert_eq!((own[0], own[1] & 0x80), (0x88, 0x80));
}

#[tokio::test(start_paused = true)]
async fn a_cut_adds_nothing_to_a_close_of_the_upstream() {
    let (client, mut upstream, mut splice) = spliced(b"", b"", b"");
    let goodbye = close::frame(1001, "going");
    upstream.write_all(&goodbye).await.unwrap();
    settle(&mut splice).await;
    splice.cut();
    assert_eq!(to_end(splice).await, (End::Drained, Placed { client: false, upstream: true }));
    assert_eq!(all(client).await, goodbye);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_finds_its_stream_ended_is_not_counted() {
    let (mut client, upstream, mut splice) = spliced(b"", b"", b"");
    client.shutdown().await.unwrap();
    settle(&mut splice).await;
    splice.cut();
    assert_eq!(to_end(splice).await, (End::Drained, Placed { client: true, upstream: false }));
    drop(upstream);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_one_piece_and_an_idle_pipe_none() {
    let ((mut client, client_end), (mut upstream, upstream_end)) = (connection(ROOMY), connection(64));
    let mut splice = Splice::new(client_end, upstream_end, vec![], vec![], b"");
    client.write_all(&vec![b'x'; ROOMY]).await.unwrap();
    settle(&mut splice).await;
    assert!((1..=pipe::SCRATCH).contains(&splice.to_upstream.pending_bytes()));
    let mut taken = vec![0; ROOMY];
    tokio::select! {
        read = upstream.read_exact(&mut taken) => drop(read.unwrap()),
        event = splice.next() => panic!("{event:?}"),
    }
    settle(&mut splice).await;
    assert_eq!((splice.to_upstream.memory(), splice.to_client.memory()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_goes_first_leaves_its_frames_in_the_ledger_and_no_memory() {
    let (_client, _upstream, mut splice) = spliced(&text(b"held"), &text(b"pong"), &text(b"early"));
    assert_eq!(settle(&mut splice).await, [Event::Replayed]);
    assert_eq!((splice.to_upstream.memory(), splice.to_client.memory()), (0, 0));
    assert_eq!(splice.delivered(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_ledger_counts_held_frames_that_were_taken_and_those_that_were_not() {
    let ((_client, client_end), (upstream, upstream_end)) = (connection(ROOMY), connection(8));
    let held = [text(b"12345"), text(b"678"), text(b"90")].concat();
    let mut splice = Splice::new(client_end, upstream_end, held, vec![], b"");
    settle(&mut splice).await;
    assert_eq!(splice.delivered(), (1, 2));
    drop(upstream);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_talks_on_to_a_client_that_is_gone_is_let_go_at_once() {
    let (client, mut upstream, splice) = spliced(&[], &[], &[]);
    let start = tokio::time::Instant::now();
    let talking = tokio::spawn(async move { while upstream.write_all(&[0x82, 0]).await.is_ok() {} });
    drop(client);
    assert_eq!(to_end(splice).await.0, End::ClientGone);
    talking.await.unwrap();
    assert!(start.elapsed() < LINGER);
}

#[tokio::test(start_paused = true)]
async fn after_both_have_said_goodbye_the_end_of_the_upstream_is_that_of_the_client() {
    let (mut client, mut upstream, splice) = spliced(&[], &[], &[]);
    let (to_upstream, to_client) = (close::masked_frame(1000, "", [1; 4]), close::frame(1000, ""));
    client.write_all(&to_upstream).await.unwrap();
    upstream.write_all(&to_client).await.unwrap();
    upstream.shutdown().await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(to_end(splice).await.0, End::Completed);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((all(upstream).await, all(client).await), (to_upstream, to_client));
}

#[tokio::test(start_paused = true)]
async fn two_ends_that_have_said_goodbye_and_stay_are_let_go_after_the_linger() {
    let (mut client, mut upstream, splice) = spliced(&[], &[], &[]);
    client.write_all(&close::masked_frame(1000, "", [1; 4])).await.unwrap();
    upstream.write_all(&close::frame(1000, "")).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(to_end(splice).await.0, End::Completed);
    assert!(start.elapsed() >= LINGER);
}

/// An upstream that has hung up, whatever there is to read.
struct Gone(DuplexStream);

impl Hangup for Gone {
    fn has_hung_up(&self) -> bool {
        true
    }
}

impl AsyncRead for Gone {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gone {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// More than a pipe reads at a time, so that the end behind it is not read.
fn much() -> Vec<u8> {
    text(&[b'm'; 100]).repeat(4 * pipe::SCRATCH / 100)
}

/// A client that takes nothing, and an upstream that has said much.
async fn stalled() -> (DuplexStream, DuplexStream, Streams) {
    let ((client, client_end), (mut upstream, upstream_end)) = (connection(64), connection(ROOMY));
    let mut splice = Splice::new(client_end, upstream_end, vec![], vec![], b"");
    upstream.write_all(&much()).await.unwrap();
    settle(&mut splice).await;
    (client, upstream, splice)
}

/// A client, and the session that it has with an upstream that said much and hung up.
fn left_alone() -> (DuplexStream, impl Future<Output = ()>) {
    let ((client, client_end), (mut upstream, upstream_end)) = (connection(64), connection(ROOMY));
    let session = async move {
        upstream.write_all(&much()).await.unwrap();
        drop(upstream);
        let mut splice = Splice::new(client_end, Gone(upstream_end), vec![], vec![], b"");
        while !matches!(splice.next().await, Event::Ended(_)) {}
    };
    (client, session)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_let_go_once_its_upstream_has_hung_up() {
    let (_client, session) = left_alone();
    assert!(tokio::time::timeout(LINGER * 2, session).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_gets_all_that_its_upstream_said_before_it_hung_up() {
    let (mut client, session) = left_alone();
    let session = tokio::spawn(session);
    let mut piece = vec![0; much().len() / 8];
    for part in much().chunks(piece.len()) {
        tokio::time::sleep(LINGER / 2).await;
        client.read_exact(&mut piece[..part.len()]).await.unwrap();
        assert_eq!(&piece[..part.len()], part);
    }
    drop(client);
    session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_waited_for_while_its_upstream_is_there() {
    let (_client, _upstream, mut splice) = stalled().await;
    let ended = async { while !matches!(splice.next().await, Event::Ended(_)) {} };
    assert!(tokio::time::timeout(LINGER * 10, ended).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_caught_up_costs_no_timer() {
    let (mut client, _upstream, mut splice) = stalled().await;
    assert!(splice.linger.is_some());
    let reader = tokio::spawn(async move { client.read_exact(&mut vec![0; much().len()]).await.map(|_| client) });
    assert!(tokio::time::timeout(LINGER * 2, splice.next()).await.is_err());
    reader.await.unwrap().unwrap();
    assert!(splice.linger.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_ends_its_side_has_the_whole_linger_however_long_it_took_nothing_before() {
    let (mut client, _upstream, mut splice) = stalled().await;
    tokio::time::sleep(LINGER / 2).await;
    client.shutdown().await.unwrap();
    assert_eq!(splice.next().await, Event::Parting(End::ClientGone));
    assert!(tokio::time::timeout(LINGER - Duration::from_secs(1), splice.next()).await.is_err());
    assert_eq!(splice.next().await, Event::Ended(End::ClientGone));
}

#[tokio::test(start_paused = true)]
async fn a_cut_gives_no_more_time_where_an_end_comes_after_it() {
    let (mut client, upstream, mut splice) = stalled().await;
    drop(upstream);
    // Nobody takes it, so the client is read to its end.
    client.write_all(&text(b"too late")).await.unwrap();
    settle(&mut splice).await;
    splice.cut();
    let cut = Instant::now();
    settle(&mut splice).await;
    tokio::time::sleep(CUT_GRACE / 2).await;
    client.shutdown().await.unwrap();
    assert_eq!(splice.next().await, Event::Parting(End::Drained));
    assert_eq!(splice.next().await, Event::Ended(End::Drained));
    assert!(cut.elapsed() <= CUT_GRACE + Duration::from_millis(1), "{:?}", cut.elapsed());
}
