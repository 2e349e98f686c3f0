//! The places of the admin port, and who makes room when all are taken: the connection that has waited longest for a
//! request. Connections that say nothing can so not keep a probe out.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All places.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    wanted: Notify,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Crowd {
    /// So many places.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(places)), wanted: Notify::new() })
    }

    /// A place; where there is none, the one that somebody gives up for it.
    pub(super) async fn enter(self: &Arc<Self>) -> Place {
        let places = Arc::clone(&self.places);
        let permit = match Arc::clone(&places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.wanted.notify_one();
                // It is never closed.
                places.acquire_owned().await.ok()
            }
        };
        Place { crowd: Arc::clone(self), _permit: permit }
    }
}

impl Place {
    /// Returns when somebody wants the place of a connection that is idle. `idle` is asked whenever something has happened on
    /// it, and says after how many requests it is so. Those who have been idle longest are asked first.
    pub(super) fn wanted(&self, idle: impl Fn() -> Option<usize>) -> impl Future<Output = ()> {
        let (mut waiting, mut since) = (None, None);
        poll_fn(move |cx| {
            let requests = idle();
            if requests != since {
                (waiting, since) = (None, requests);
            }
            if since.is_none() {
                return Poll::Pending;
            }
            waiting.get_or_insert_with(|| Box::pin(self.crowd.wanted.notified())).as_mut().poll(cx)
        })
    }
}
