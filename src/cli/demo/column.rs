//! One column while it runs: the books, shared by its clients and its backend.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    ledger::{Books, Ledger, Phase, Stage},
    mark::{Mark, marks},
};

/// The shared books of a column.
#[derive(Debug)]
pub(super) struct Column(Mutex<Books>);

/// A column at one moment.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) phase: Phase,
    pub(super) ledger: Ledger,
    pub(super) marks: Vec<Mark>,
    pub(super) is_settled: bool,
}

impl Column {
    pub(super) fn new(clients: usize, frames: usize) -> Self {
        Self(Mutex::new(Books::new(clients, frames)))
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.books().enter(phase, Instant::now());
    }

    pub(super) fn is_ready(&self) -> bool {
        self.books().phase == Phase::Ready
    }

    pub(super) fn stage(&self, client: usize, stage: Stage) {
        self.books().stage(client, stage);
    }

    pub(super) fn connected(&self, client: usize, took: Duration) {
        self.books().connected(client, took);
    }

    pub(super) fn sent(&self, client: usize) {
        self.books().sent(client);
    }

    /// See [`Books::arrived`].
    pub(super) fn arrived(&self, text: &str) -> bool {
        self.books().arrived(text)
    }

    pub(super) fn answered(&self, client: usize, text: &str) {
        self.books().answered(client, text, Instant::now());
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.books().ledger()
    }

    pub(super) fn picture(&self) -> Picture {
        let books = self.books();
        let (phase, ledger, is_settled) = (books.phase, books.ledger(), books.is_settled());
        Picture { phase, ledger, marks: marks(&books), is_settled }
    }

    /// The books are valid after every statement, so a panic elsewhere need not spread.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
