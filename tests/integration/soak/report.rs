//! What whoever runs a soak by hand sees: a line now and then, and a table at the end.

use std::time::{Duration, Instant};

use super::{cycle::Tally, growth::Figures, service::Books};

/// Between two lines. A cycle takes some seconds.
const EVERY: Duration = Duration::from_secs(5);

/// Rows of the table, of which each stands for as many cycles.
const ROWS: usize = 12;

/// A report under way.
pub(crate) struct Report {
    began: Instant,
    said: Instant,
}

impl Report {
    pub(crate) fn begin(base: &Figures, sessions: usize) -> Self {
        println!("{sessions} sessions a cycle; at rest after the warm-up: {}", told(base));
        let now = Instant::now();
        Self { began: now, said: now }
    }

    /// Says so, unless it has said something a moment ago.
    pub(crate) fn cycle(&mut self, number: usize, figures: &Figures, tally: &Tally) {
        if self.said.elapsed() < EVERY {
            return;
        }
        self.said = Instant::now();
        let [served, refused] = tally.amid;
        println!(
            "{:>6} s  cycle {number:>5}  {:>8} sessions, amid a kill {served} served and {refused} told  at rest: {}",
            self.began.elapsed().as_secs(),
            tally.sessions,
            told(figures)
        );
    }

    pub(crate) fn end(&self, books: &Books, samples: &[Figures]) {
        println!(
            "\n{:>15} {:>18} {:>12} {:>6} {:>8}",
            "cycles", "memory KiB (median)", "descriptors", "tasks", "threads"
        );
        let rows = samples.chunks(samples.len().div_ceil(ROWS).max(1));
        let mut first = 1;
        for row in rows {
            let most = |count: fn(&Figures) -> u64| row.iter().map(count).max().unwrap_or_default();
            println!(
                "{:>15} {:>19} {:>12} {:>6} {:>8}",
                format!("{first} to {}", first + row.len() - 1),
                super::growth::median(row) >> 10,
                most(|one| one.descriptors),
                most(|one| one.tasks),
                most(|one| one.threads)
            );
            first += row.len();
        }
        let Books { received, delivered, refused, sessions } = books;
        println!(
            "\n{sessions} sessions in {} s; {received} frames received while not open = {delivered} delivered + {refused} refused",
            self.began.elapsed().as_secs()
        );
    }
}

fn told(figures: &Figures) -> String {
    let Figures { memory, descriptors, tasks, threads } = figures;
    format!("{} KiB, {descriptors} descriptors, {tasks} tasks, {threads} threads", memory >> 10)
}
