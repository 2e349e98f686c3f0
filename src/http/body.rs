//! Bodies on their way through.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::head::Phase;

/// A request body that can be taken back as long as nobody has read from it: a dial that failed has sent nothing.
#[derive(Debug)]
pub(super) struct Reclaimable {
    shared: Shelf,
    body: Option<Incoming>,
}

/// Where an unread body can be found again.
#[derive(Clone, Debug)]
pub(super) struct Shelf(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    body: Mutex<Option<Incoming>>,
    broken: AtomicBool,
}

/// An answer's body that says when it is through.
#[derive(Debug)]
pub(super) struct Noted<B> {
    body: B,
    _end: End,
}

#[derive(Debug)]
struct End(Phase);

impl Shelf {
    /// Puts `body` where it can be found again.
    pub(super) fn new(body: Incoming) -> Self {
        Self(Arc::new(Shared { body: Mutex::new(Some(body)), broken: AtomicBool::new(false) }))
    }

    /// The body, to be sent.
    pub(super) fn lend(&self) -> Reclaimable {
        Reclaimable { shared: self.clone(), body: None }
    }

    /// Nobody has read from it.
    pub(super) fn is_untouched(&self) -> bool {
        self.lock().is_some()
    }

    /// The client sent something that is no body.
    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Incoming>> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Reclaimable {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if this.body.is_none() {
            this.body = this.shared.lock().take();
        }
        match &mut this.body {
            Some(body) => {
                let frame = Pin::new(body).poll_frame(cx);
                if matches!(frame, Poll::Ready(Some(Err(_)))) {
                    this.shared.0.broken.store(true, Ordering::Relaxed);
                }
                frame
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Some(body) => body.is_end_stream(),
            None => self.shared.lock().as_ref().is_none_or(Incoming::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => self.shared.lock().as_ref().map(Body::size_hint).unwrap_or_default(),
        }
    }
}

impl<B> Noted<B> {
    /// Tells `phase` when `body` is dropped, read to its end or not.
    pub(super) fn new(body: B, phase: Phase) -> Self {
        Self { body, _end: End(phase) }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<B: Body + Unpin> Body for Noted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
