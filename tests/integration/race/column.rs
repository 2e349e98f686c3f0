//! What became of everybody, as one column of the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{EVENTS, client::Trace};

/// Width of the label and of each column.
const WIDTH: usize = 34;

/// One way through the lab.
#[derive(Debug, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) clients: usize,
    pub(crate) connected: usize,
    /// Clients that got no 101, by what they were told.
    pub(crate) failures: BTreeMap<String, usize>,
    pub(crate) sent: u64,
    /// Sent, and never seen by the application.
    pub(crate) lost: u64,
    /// Seen twice by the application, or answered twice.
    pub(crate) doubled: u64,
    /// Seen or answered out of order.
    pub(crate) out_of_order: u64,
    pub(crate) events: u64,
    /// Of the five events for each message that a client had to send, whether or not it could.
    pub(crate) events_missing: u64,
    pub(crate) strange: u64,
    /// Connections that the other end finished, by close code.
    pub(crate) ended: BTreeMap<u16, usize>,
    /// What the application's handlers failed with.
    pub(crate) errors: Vec<String>,
    pub(crate) timed_out: usize,
    pub(crate) connect_times: Vec<Duration>,
    pub(crate) first_answer: Option<Duration>,
    pub(crate) last_answer: Option<Duration>,
    /// readygate's own books: received, delivered, refused, imbalances.
    pub(crate) books: Option<[u64; 4]>,
}

impl Column {
    /// Counts what `traces` tell of clients that had `messages` to send each, beside the application's `ledger`.
    pub(crate) fn new(name: &str, traces: &[Trace], messages: u64, ledger: &Value, ready: Instant) -> Self {
        let mut column = Self { name: name.to_owned(), clients: traces.len(), ..Self::default() };
        for trace in traces {
            column.count(trace, messages, &ledger["per_client"][&trace.id]);
        }
        let since = |answer: tokio::time::Instant| answer.into_std().saturating_duration_since(ready);
        column.connect_times.sort();
        column.first_answer = traces.iter().filter_map(|trace| trace.first_answer).min().map(since);
        column.last_answer = traces.iter().filter_map(|trace| trace.last_answer).max().map(since);
        let errors = ledger["error_texts"].as_array().into_iter().flatten();
        column.errors = errors.filter_map(Value::as_str).map(str::to_owned).collect();
        column
    }

    /// Clients that got no 101.
    pub(crate) fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// The promise: everybody connected, everything once, in order and answered in full.
    pub(crate) fn assert_whole(&self, messages: u64) {
        let sent = self.clients as u64 * messages;
        assert_eq!((self.connected, self.failed(), self.timed_out), (self.clients, 0, 0), "{self:#?}");
        assert_eq!((self.sent, self.lost, self.doubled, self.out_of_order), (sent, 0, 0, 0), "{self:#?}");
        assert_eq!((self.events, self.events_missing), (sent * EVENTS.len() as u64, 0), "{self:#?}");
        assert_eq!((self.strange, self.ended.len(), self.errors.len()), (0, 0, 0), "{self:#?}");
    }

    fn count(&mut self, trace: &Trace, messages: u64, seen: &Value) {
        match &trace.connected {
            Some(Ok(time)) => {
                self.connected += 1;
                self.connect_times.push(*time);
            }
            Some(Err(why)) => *self.failures.entry(why.clone()).or_default() += 1,
            None => {}
        }
        self.timed_out += usize::from(trace.timed_out);
        if let Some(code) = trace.ended {
            *self.ended.entry(code).or_default() += 1;
        }
        self.count_messages(trace, seen);
        self.count_events(trace, messages);
    }

    fn count_messages(&mut self, trace: &Trace, seen: &Value) {
        let seqs: BTreeSet<u64> = seen["seqs"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        self.sent += trace.sent;
        self.lost += trace.sent.saturating_sub(seqs.len() as u64);
        self.doubled += seen["duplicates"].as_u64().unwrap_or_default();
        self.out_of_order += seen["out_of_order"].as_u64().unwrap_or_default();
        self.strange += trace.strange;
    }

    fn count_events(&mut self, trace: &Trace, messages: u64) {
        let distinct: BTreeSet<_> = trace.events.iter().collect();
        self.events += distinct.len() as u64;
        self.events_missing += (messages * EVENTS.len() as u64).saturating_sub(distinct.len() as u64);
        self.doubled += (trace.events.len() - distinct.len()) as u64;
        self.out_of_order += trace.events.windows(2).filter(|pair| pair[1] < pair[0]).count() as u64;
    }

    fn connect_time(&self, percent: usize) -> String {
        let last = self.connect_times.len().checked_sub(1);
        last.map_or("-".to_owned(), |last| millis(self.connect_times[last * percent / 100]))
    }

    fn cells(&self) -> Vec<(&'static str, String)> {
        let books = |at: usize| self.books.map_or("-".to_owned(), |books| books[at].to_string());
        vec![
            ("", self.name.clone()),
            ("clients", self.clients.to_string()),
            ("connected", self.connected.to_string()),
            ("refused or failed", self.failed().to_string()),
            ("messages sent", self.sent.to_string()),
            ("messages lost", self.lost.to_string()),
            ("doubled", self.doubled.to_string()),
            ("out of order", self.out_of_order.to_string()),
            ("events received", self.events.to_string()),
            ("events missing", self.events_missing.to_string()),
            ("ended by the other side", codes(&self.ended)),
            ("connect p50", self.connect_time(50)),
            ("connect p95", self.connect_time(95)),
            ("connect p99", self.connect_time(99)),
            ("ready to first answer", self.first_answer.map_or("-".to_owned(), millis)),
            ("ready to last answer", self.last_answer.map_or("-".to_owned(), millis)),
            ("readygate's books: received", books(0)),
            ("  delivered", books(1)),
            ("  refused", books(2)),
            ("  out of balance", books(3)),
        ]
    }
}

/// The columns side by side.
pub(crate) fn table(title: &str, columns: &[Column]) -> String {
    let mut text = format!("\n{title}\n");
    let cells: Vec<_> = columns.iter().map(Column::cells).collect();
    for row in 0..cells[0].len() {
        let _ = write!(text, "{:<WIDTH$}", cells[0][row].0);
        for column in &cells {
            let _ = write!(text, "{:>WIDTH$}", column[row].1);
        }
        text.push('\n');
    }
    for column in columns {
        for (why, count) in &column.failures {
            let _ = writeln!(text, "{}: {count} clients were told: {why}", column.name);
        }
        for error in &column.errors {
            let _ = writeln!(text, "{}: the application failed with: {error}", column.name);
        }
    }
    text
}

fn codes(ended: &BTreeMap<u16, usize>) -> String {
    let codes: Vec<_> = ended.iter().map(|(code, count)| format!("{count} with {code}")).collect();
    if codes.is_empty() { "0".to_owned() } else { codes.join(", ") }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
