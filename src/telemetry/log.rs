//! Where log lines go: to standard output, over a queue and a thread of its own, so that a slow reader of the log
//! never stops a worker.
//!
//! The queue is bounded. When it is full, lines are lost rather than sessions delayed, and the next line that finds
//! room is preceded by one that tells how many were lost. The level comes from the configuration alone.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use tracing::{Level, Subscriber, subscriber::SetGlobalDefaultError};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Registry,
    filter::LevelFilter,
    fmt::MakeWriter,
    layer::SubscriberExt,
    reload::{self, Handle},
};

use super::format::{Lines, Style};
use crate::config::LogFormat;

/// Lines that may wait: a few for each of the 10,000 sessions that can be released at once, about 8 MiB at most
/// likely length, and half a megabyte while empty.
const QUEUED_LINES: usize = 32_768;

/// The Google Cloud project of this process, once it is known.
static PROJECT: OnceLock<String> = OnceLock::new();

/// For the last line on standard error, at the end of the process.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Keeps the log's thread alive; dropped last of all in `main`, it writes out what waits (for 1.1 s at most).
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Guard {
    threshold: Threshold,
    loss: Loss,
    _worker: WorkerGuard,
}

/// The least severe level that is written, which may change while the process runs. The default one is no log's.
#[derive(Clone, Debug, Default)]
pub struct Threshold {
    handle: Option<Handle<LevelFilter, Registry>>,
}

impl Threshold {
    /// Events of `level` or above are written from here on.
    pub fn set(&self, level: Level) {
        if let Some(handle) = &self.handle {
            // It fails only where the log is gone.
            let _ = handle.reload(LevelFilter::from_level(level));
        }
    }
}

/// Sends all tracing events of `level` or above to standard output.
///
/// `is_terminal` says what standard output is: [`LogFormat::Auto`] then means text, else JSON, and only there is
/// text coloured.
///
/// # Errors
///
/// When the process has a global subscriber already.
pub fn init(format: LogFormat, level: Level, is_terminal: bool) -> Result<Guard, SetGlobalDefaultError> {
    let lines = Lines { style: style(format, is_terminal), clock: SystemTime::now, project };
    let (subscriber, guard) = build(io::stdout(), lines, level, QUEUED_LINES);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(guard)
}

/// From here on traces are named by this project, as Cloud Logging wants them.
pub fn name_project(project: String) {
    // There is one, and it is named once.
    let _ = PROJECT.set(project);
}

fn project() -> Option<&'static str> {
    PROJECT.get().map(String::as_str)
}

impl Guard {
    /// What is written and what is not.
    #[must_use]
    pub fn threshold(&self) -> Threshold {
        self.threshold.clone()
    }

    /// Lines lost since the start because the queue was full.
    #[must_use]
    pub fn lost_lines(&self) -> usize {
        self.loss.counter.dropped_lines()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lost) = self.loss.untold() {
            // Standard error is all that is left.
            let text = format!("{lost} log lines were lost: standard output is not read fast enough\n");
            say(io::stderr(), text, LAST_WORD);
        }
    }
}

/// Writes `text`, or gives it up after `time`: a pipe that nobody reads takes nothing, and is often both outputs' own.
fn say(mut output: impl Write + Send + 'static, text: String, time: Duration) {
    let (done, said) = mpsc::channel();
    let writing = thread::Builder::new().spawn(move || {
        // Nobody is left to tell if this fails too.
        let _ = output.write_all(text.as_bytes());
        let _ = done.send(());
    });
    if writing.is_ok() {
        let _ = said.recv_timeout(time);
    }
}

/// How many lines were lost, and of how many the log has told.
#[derive(Clone, Debug)]
struct Loss {
    counter: ErrorCounter,
    told: Arc<AtomicUsize>,
}

impl Loss {
    /// All losses so far, once after each change.
    fn untold(&self) -> Option<usize> {
        let lost = self.counter.dropped_lines();
        (self.told.fetch_max(lost, Ordering::AcqRel) < lost).then_some(lost)
    }
}

/// A queue that tells of its losses as soon as it has room again.
struct Output {
    queue: NonBlocking,
    loss: Loss,
    lines: Lines,
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> Self::Writer {
        let mut queue = self.queue.clone();
        if let Some(lost) = self.loss.untold() {
            let message = format!("{lost} log lines were lost so far: standard output is not read fast enough");
            // A full queue reports no error: it counts this line among the lost ones, and the next call tells.
            let _ = queue.write_all(self.lines.line(Level::WARN, module_path!(), &message, "").as_bytes());
        }
        queue
    }
}

fn style(format: LogFormat, is_terminal: bool) -> Style {
    match format {
        LogFormat::Auto if is_terminal => Style::Text { colour: true },
        LogFormat::Text => Style::Text { colour: is_terminal },
        LogFormat::Auto | LogFormat::Json => Style::Json,
    }
}

fn build<W>(output: W, lines: Lines, level: Level, queued: usize) -> (impl Subscriber + Send + Sync, Guard)
where
    W: Write + Send + 'static,
{
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(queued).thread_name("log");
    let (queue, worker) = builder.finish(output);
    let loss = Loss { counter: queue.error_counter(), told: Arc::default() };
    let output = Output { queue, loss: loss.clone(), lines };
    let (subscriber, threshold) = subscriber(output, lines, level);
    (subscriber, Guard { threshold, loss, _worker: worker })
}

fn subscriber<W>(output: W, lines: Lines, level: Level) -> (impl Subscriber + Send + Sync, Threshold)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let lines = tracing_subscriber::fmt::layer().fmt_fields(lines).event_format(lines).with_writer(output);
    (Registry::default().with(filter).with(lines), Threshold { handle: Some(handle) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "log_tests.rs"]
mod tests;
