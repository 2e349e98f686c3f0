//! Connections of the admin port: few, short, and none for ever.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    View,
    crowd::{Crowd, Place},
    events::{self, Events, Line},
    routes,
};

/// For a request head, and for idling between two requests (hyper has one limit for both).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request head. Nothing asked here needs more, and hyper takes no smaller buffer.
const HEADER_BYTES: usize = 8 * 1024;

/// Of an answer, kept for a client that does not read: a listener that has stopped is noticed after a few events.
const BUFFER_BYTES: usize = 16 * 1024;

/// After this a connection takes no further request: a client that never reads its answer, or asks one byte at a
/// time, must not keep its place. Scrapers just connect again.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// For the answer under way when a connection must end.
const GRACE: Duration = Duration::from_secs(1);

/// Before the next accept when one failed: the machine is out of file descriptors, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on `listener`, on `most` connections at a time, until `shutdown`, then ends the answers under way and returns, 1 s
/// later at most. Probes and scrapers need a handful; when there are more, whoever has waited longest for a request makes
/// room, and while none does the rest waits in the listener's backlog.
pub async fn serve(listener: TcpListener, view: Arc<View>, most: usize, shutdown: CancellationToken) {
    let (crowd, connections) = (Crowd::new(most), TaskTracker::new());
    let accepting = async {
        loop {
            let Some((stream, peer)) = accept(&listener).await else { continue };
            let place = crowd.enter().await;
            connections.spawn(connection(stream, peer, Arc::clone(&view), shutdown.clone(), place));
        }
    };
    shutdown.run_until_cancelled(accepting).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip())),
        Err(error) => {
            tracing::warn!(%error, "failed to accept a connection on the admin port");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn answer(
    view: &Arc<View>,
    request: Request<Incoming>,
    line: &Line,
    peer: IpAddr,
) -> Response<Either<Full<Bytes>, Events>> {
    match request.uri().path() {
        events::PATH => events::answer(view, &request, line),
        _ => routes::answer(view, request, peer).await.map(Either::Left),
    }
}

/// Returns when the connection must end: one with a stream of events only with the port.
async fn over(line: &Line, shutdown: &CancellationToken) {
    let _ = timeout(CONNECTION_LIFE, shutdown.cancelled()).await;
    if line.is_listening() {
        shutdown.cancelled().await;
    }
}

/// Answers what comes on `stream`, until the client or the connection's time is through.
pub(super) async fn connection<S>(stream: S, peer: IpAddr, view: Arc<View>, shutdown: CancellationToken, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = Line::new(shutdown.clone());
    let [begun, answered] = [0, 0].map(AtomicUsize::new);
    let service = service_fn(|request| {
        let (view, line, answered) = (&view, &line, &answered);
        begun.fetch_add(1, Ordering::Relaxed);
        async move {
            let answer = answer(view, request, line, peer).await;
            answered.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let idle = || {
        let answered = answered.load(Ordering::Relaxed);
        (begun.load(Ordering::Relaxed) == answered && !line.is_listening()).then_some(answered)
    };
    let end = async {
        tokio::select! {
            () = over(&line, &shutdown) => {}
            () = place.wanted(idle) => {}
        }
    };
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.max_header_size(HEADER_BYTES).max_buf_size(BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        biased;
        result = connection.as_mut() => result,
        () = line.stuck() => Ok(()),
        () = end => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an admin connection failed");
    }
    drop(place);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;
    use crate::admin::tests::{PLACES, view};

    /// A connection without a socket, so that the clock may be paused.
    fn connected(buffer: usize) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = duplex(buffer);
        let serving = async {
            let place = Crowd::new(1).enter().await;
            connection(server, [127, 0, 0, 1].into(), view(), CancellationToken::new(), place).await;
        };
        (client, tokio::spawn(serving))
    }

    /// Fails, rather than hangs, where a limit is missing.
    async fn ended(served: JoinHandle<()>) {
        timeout(2 * CONNECTION_LIFE, served).await.expect("some limit ends it").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_not_waited_for_longer_than_the_header_timeout() {
        let (mut client, served) = connected(1024);
        let begun = Instant::now();
        client.write_all(b"GET /livez HTTP/1.1\r\nhost").await.unwrap();
        ended(served).await;
        assert_eq!(begun.elapsed().as_secs(), HEADER_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_loses_its_place() {
        let (mut client, served) = connected(64);
        let begun = Instant::now();
        client.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        ended(served).await;
        assert_eq!(begun.elapsed().as_secs(), (CONNECTION_LIFE + GRACE).as_secs());
    }

    /// One request on a connection that stays open.
    async fn ask(stream: &mut TcpStream) {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn whoever_has_waited_longest_for_a_request_makes_room_for_one_who_asks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, view(), PLACES, CancellationToken::new()));
        let mut streams = Vec::new();
        for _ in 0..PLACES {
            let mut stream = TcpStream::connect(address).await.unwrap();
            ask(&mut stream).await;
            streams.push(stream);
        }
        ask(&mut streams[0]).await;
        let mut probe = TcpStream::connect(address).await.unwrap();
        timeout(HEADER_TIMEOUT / 2, ask(&mut probe)).await.expect("an idle connection kept a probe out");
        assert_eq!(streams[1].read(&mut [0; 1]).await.unwrap(), 0, "the one that has waited longest");
        ask(&mut streams[0]).await;
        for stream in &mut streams[2..] {
            ask(stream).await;
        }
    }
}
