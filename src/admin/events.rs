//! `GET /events`: the status as it changes, for the page, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! A task per listener looks at the status once a second, and at once when a verdict changes; what has not changed is not
//! sent again. Without listeners there is no task. Who does not read is cut off, connection and all.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{View, routes, status::Status};

/// Where it stands.
pub(super) const PATH: &str = "/events";

/// Listeners at a time: pages of some engineers on call. They are apart from the port's other connections, so that pages
/// left open can never keep a probe out.
pub(super) const MAX_LISTENERS: usize = 16;

/// Between two looks. People read no faster, and a status with thousands of sessions changes all the time.
const PERIOD: Duration = Duration::from_secs(1);

/// After so long without an event a comment goes out: well below the minute after which tunnels and proxies give up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A listener that takes nothing for so long is gone or stuck.
const SLOW: Duration = Duration::from_secs(10);

/// Events on their way to one listener; the connection's own buffer comes on top.
const UNDER_WAY: usize = 1;

/// For a listener that there is no place for.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The body of an answer, sent as it comes.
#[derive(Debug)]
pub(super) struct Events(mpsc::Receiver<Bytes>);

/// A connection, as a stream of events on it is concerned.
#[derive(Clone, Debug)]
pub(super) struct Line {
    listening: Arc<AtomicBool>,
    stuck: CancellationToken,
    shutdown: CancellationToken,
}

/// One listener's task.
struct Listener {
    view: Arc<View>,
    frames: mpsc::Sender<Bytes>,
    line: Line,
    _place: OwnedSemaphorePermit,
}

/// Ends a stream.
struct Over;

/// Begins a stream, or says why not.
pub(super) fn answer<B>(view: &Arc<View>, request: &Request<B>, line: &Line) -> Response<Either<Full<Bytes>, Events>> {
    if request.method() != Method::GET {
        return routes::not_allowed("only GET", "GET").map(Either::Left);
    }
    let Ok(place) = Arc::clone(&view.listeners).try_acquire_owned() else { return too_many().map(Either::Left) };
    let (frames, events) = mpsc::channel(UNDER_WAY);
    line.listening.store(true, Ordering::Relaxed);
    tokio::spawn(Listener { view: Arc::clone(view), frames, line: line.clone(), _place: place }.run());
    let mut response = Response::new(Either::Right(Events(events)));
    response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn too_many() -> Response<Full<Bytes>> {
    let error = format!("{MAX_LISTENERS} pages listen already: close one, or ask for /status");
    let mut answer = routes::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error }));
    answer.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    answer
}

impl Line {
    /// A connection without a stream, that ends at the latest after `shutdown`.
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { listening: Arc::default(), stuck: CancellationToken::new(), shutdown }
    }

    /// There is a stream of events on the connection.
    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// Returns when the stream's reader has been waited for long enough.
    pub(super) async fn stuck(&self) {
        self.stuck.cancelled().await;
    }
}

impl Listener {
    /// Sends until the listener goes, is stuck, or the port closes; the last status goes out before that.
    async fn run(self) {
        let mut changes = self.view.gate().chronicle().subscribe();
        let (mut known, mut sent_at) = (None, Instant::now());
        while self.tell(&mut known, &mut sent_at).await.is_ok() && self.wait(&mut changes).await.is_ok() {}
        if self.line.shutdown.is_cancelled() {
            let _ = self.tell(&mut known, &mut sent_at).await;
        }
    }

    /// Sends the status if it is not `known`, and a sign of life if nothing was sent for long.
    async fn tell(&self, known: &mut Option<Status>, sent_at: &mut Instant) -> Result<(), Over> {
        let status = Status::new(&self.view);
        let frame = if known.as_ref() != Some(&status) {
            event(&self.view, &status)
        } else if sent_at.elapsed() >= HEARTBEAT {
            Bytes::from_static(b":\n\n")
        } else {
            return Ok(());
        };
        (*known, *sent_at) = (Some(status), Instant::now());
        match timeout(SLOW, self.frames.send(frame)).await {
            Ok(sent) => sent.map_err(|_| Over),
            Err(_) => {
                self.line.stuck.cancel();
                Err(Over)
            }
        }
    }

    /// Until the next look.
    async fn wait(&self, changes: &mut watch::Receiver<()>) -> Result<(), Over> {
        tokio::select! {
            () = self.line.shutdown.cancelled() => Err(Over),
            () = self.frames.closed() => Err(Over),
            changed = changes.changed() => changed.map_err(|_| Over),
            () = sleep_until(Instant::now() + PERIOD) => Ok(()),
        }
    }
}

/// JSON has no line breaks of its own, so one `data` line holds it.
fn event(view: &View, status: &Status) -> Bytes {
    let data = serde_json::to_string(&status.dated(view.started)).unwrap_or_else(|error| {
        tracing::error!(%error, "failed to serialise a status");
        "null".to_owned()
    });
    format!("event: status\ndata: {data}\n\n").into()
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
