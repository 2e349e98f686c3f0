//! The waiting sessions behind [`Release`]: each gets its permit through a channel of its own.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::oneshot, time::Instant};

use super::release::Release;

/// The right to dial; gives the place to the next in line when dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the turn"]
pub struct Permit {
    turns: Turns,
    granted: Instant,
}

/// The line of those who wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    line: Arc<Mutex<Line>>,
}

#[derive(Debug)]
struct Line {
    release: Release,
    /// Exactly the waiting of `release`.
    waiters: HashMap<u64, oneshot::Sender<Permit>>,
}

/// Leaves the line when the one who waits gives up.
struct Place<'a> {
    turns: &'a Turns,
    seq: u64,
}

impl Turns {
    pub(super) fn new(concurrency: NonZeroUsize) -> Self {
        let line = Line { release: Release::new(concurrency), waiters: HashMap::new() };
        Self { line: Arc::new(Mutex::new(line)) }
    }

    pub(super) fn open(&self, open: bool) {
        self.step(|line| line.release.open(open));
    }

    /// Permits that somebody has.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).release.in_flight()
    }

    /// Resolves when it is the turn of `seq`. Cancel-safe: a turn that came too late goes to the next.
    pub(super) async fn wait(&self, seq: u64) -> Permit {
        let (sender, receiver) = oneshot::channel();
        let _place = Place { turns: self, seq };
        self.step(|line| {
            line.waiters.insert(seq, sender);
            line.release.join(seq)
        });
        match receiver.await {
            Ok(permit) => permit,
            // Only a second wait under the same number takes the channel away; that one has the place.
            Err(_) => std::future::pending().await,
        }
    }

    /// Acts on the line, and hands out what was granted after the lock is free: a permit that nobody takes is
    /// dropped on the spot, and that comes back here.
    fn step(&self, act: impl FnOnce(&mut Line) -> Vec<u64>) {
        let granted = {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let grants = act(&mut line);
            grants.iter().filter_map(|seq| line.waiters.remove(seq)).collect::<Vec<_>>()
        };
        for waiter in granted {
            drop(waiter.send(Permit { turns: self.clone(), granted: Instant::now() }));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let took = self.granted.elapsed();
        self.turns.step(|line| line.release.finish(took));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.step(|line| {
            line.release.leave(self.seq);
            line.waiters.remove(&self.seq);
            Vec::new()
        });
    }
}
