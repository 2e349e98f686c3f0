//! A connection's first words. Most often they are one whole handshake, and to answer that takes no HTTP server: a short
//! connection is spared some 7 % of its CPU time (`cargo bench --bench peers -- connections`). Whatever else they are is put
//! back for hyper, which reads them as if nobody had.

use std::{io, pin::Pin, time::Instant};

use bytes::{Bytes, BytesMut};
use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::oneshot,
};

use super::{
    Peer, Session, Sites, enter,
    head::{Phase, Timed},
    interim::Aside,
    socket::{self, Answer},
    upgrade,
};
use crate::{dial::Stream, session::outcome::Outcome, upstream::Body};

/// Room for first words. A browser's handshake with cookies is 0.5 to 2 KiB.
const FIRST_READ: usize = 4 << 10;

/// What became of a connection's first words.
pub(super) enum Knock {
    /// They are answered with a 101. The session has the stream, or will see that the client has gone; it may have ended
    /// already.
    Switched(Option<Session>),
    /// They are put back, for hyper to read.
    Unread,
    /// They are put back, and this is what hyper is to answer to them.
    Refused(Ready),
}

/// The answer to a request that has yet to be read.
pub(super) struct Ready {
    pub(super) response: Response<Body>,
    /// When the request came.
    pub(super) began: Instant,
}

/// Reads the first words and answers them, if they are a handshake.
pub(super) async fn knock(sites: &Sites, timed: &mut Timed<Aside<Stream>>, phase: &Phase, peer: &Peer) -> Knock {
    let drain = sites.borrow().house.drain.clone();
    let mut words = BytesMut::with_capacity(FIRST_READ);
    tokio::select! {
        biased;
        read = timed.read_buf(&mut words) => if !matches!(read, Ok(1..)) { return Knock::Unread },
        () = drain.begun() => return Knock::Unread,
    }
    let (began, words) = (Instant::now(), words.freeze());
    let (site, _visit) = enter(sites);
    let Some((opening, length)) = upgrade::read(&words, site.house.config.server.header_bytes) else {
        timed.put_back(&words);
        return Knock::Unread;
    };
    phase.begin();
    let (sender, client) = oneshot::channel();
    let (session, reply) = socket::begin(&site, opening, peer, async move { client.await.ok() });
    let (mut session, mut answer) = (Box::pin(session), std::pin::pin!(socket::answer(reply, peer)));
    let (answer, mut session) = tokio::select! {
        biased;
        _ = session.as_mut() => (answer.await, None),
        answer = answer.as_mut() => (answer, Some(session)),
    };
    let head = match answer {
        Answer::Switch(head) => head,
        Answer::Refuse(response) => {
            session.map(|session| site.tasks.spawn(session));
            timed.put_back(&words);
            return Knock::Refused(Ready { response, began });
        }
    };
    // While a client takes its time, its session goes on, and its end is seen.
    let is_told = tokio::select! {
        biased;
        written = write(timed, &head) => written.is_ok(),
        () = peer.line.ended() => false,
        () = over(&mut session) => false,
    };
    if is_told && let Some((aside, ahead)) = timed.hand_over() {
        let behind = words.slice(length..);
        let early = if ahead.is_empty() { behind } else { Bytes::from([&behind, ahead.as_slice()].concat()) };
        // A session that has ended meanwhile needs no stream.
        let _ = sender.send((aside.into_inner(), early));
    }
    Knock::Switched(session.map(|session| session as Session))
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, head: &[u8]) -> io::Result<()> {
    stream.write_all(head).await?;
    stream.flush().await
}

/// Returns when `session` has ended, which is none by then.
async fn over<F: Future<Output = Outcome>>(session: &mut Option<Pin<Box<F>>>) {
    match session {
        Some(going) => {
            going.await;
            *session = None;
        }
        None => std::future::pending().await,
    }
}
