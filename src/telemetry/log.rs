//! Where log lines go: to standard output, over a queue and a thread of its own, so that a slow reader of the log
//! never stops a worker.
//!
//! The queue is bounded. When it is full, lines are lost rather than sessions delayed, and the next line that finds
//! room is preceded by one that tells how many were lost. The level comes from the configuration alone.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
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
    let lines = Lines { style: style(format, is_terminal), clock: SystemTime::now };
    let (subscriber, guard) = build(io::stdout(), lines, level, QUEUED_LINES);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(guard)
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
            // Standard error is all that is left, and nobody to tell if that fails too.
            let _ = writeln!(io::stderr(), "{lost} log lines were lost: standard output is not read fast enough");
        }
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
mod tests {
    use std::{
        sync::{Mutex, mpsc},
        time::{Duration, UNIX_EPOCH},
    };

    use serde_json::{Value, json};

    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.678Z";

    fn clock() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_767_323_045_678)
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(style: Style, level: Level, events: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let output = buffer.clone();
        let (subscriber, _) = subscriber(move || output.clone(), Lines { style, clock }, level);
        tracing::subscriber::with_default(subscriber, events);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let text = written(Style::Json, Level::INFO, || {
            let error = io::Error::other("no \"way\"\n");
            tracing::warn!(target: "readygate::x", session = 7, up = true, ms = 0.5, %error, "gate {}", "shut");
        });
        assert_eq!(text.matches('\n').count(), 1);
        let expected = json!({
            "severity": "WARNING", "message": "gate shut", "time": TIME, "target": "readygate::x",
            "session": 7, "up": true, "ms": 0.5, "error": "no \"way\"\n",
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn json_severities_are_those_of_cloud_logging() {
        let text = written(Style::Json, Level::TRACE, || {
            tracing::trace!("a");
            tracing::debug!("a");
            tracing::info!("a");
            tracing::warn!("a");
            tracing::error!("a");
        });
        let line = |line| serde_json::from_str::<Value>(line).unwrap()["severity"].as_str().unwrap().to_owned();
        assert_eq!(text.lines().map(line).collect::<Vec<_>>(), ["DEBUG", "DEBUG", "INFO", "WARNING", "ERROR"]);
    }

    #[test]
    fn fields_of_spans_come_along_and_no_field_hides_a_fixed_key() {
        let text = written(Style::Json, Level::INFO, || {
            let span = tracing::info_span!("session", id = 3, code = tracing::field::Empty);
            span.record("code", 1013);
            span.in_scope(|| tracing::info!(target = "mine", ratio = f64::NAN, "done"));
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["id"], &line["code"], &line["ratio"]), (&json!(3), &json!(1013), &json!("NaN")));
        assert_eq!((&line["target_"], &line["message"]), (&json!("mine"), &json!("done")));
        assert_eq!(line["target"], module_path!());
    }

    #[test]
    fn text_aligns_levels_and_fields() {
        let text = written(Style::Text { colour: false }, Level::INFO, || {
            tracing::info!("listening");
            tracing::error!(port = 80, reason = "address in use", "cannot bind");
        });
        let padded = format!("{:<44}", "cannot bind");
        let expected = format!("{TIME} INFO  listening\n{TIME} ERROR {padded} port=80 reason=\"address in use\"\n");
        assert_eq!(text, expected);
    }

    #[test]
    fn text_from_outside_cannot_forge_a_line_or_steer_a_terminal() {
        let text = written(Style::Text { colour: false }, Level::INFO, || {
            let evil = "a\n\x1b[2Jb";
            tracing::info!(path = evil, "got {evil}");
        });
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn colours_go_to_terminals_only() {
        let coloured = |style| written(style, Level::INFO, || tracing::info!(port = 80, "hello")).contains('\x1b');
        assert!(coloured(style(LogFormat::Auto, true)));
        assert!(coloured(style(LogFormat::Text, true)));
        assert!(!coloured(style(LogFormat::Text, false)));
        assert_eq!(style(LogFormat::Auto, false), Style::Json);
        assert_eq!(style(LogFormat::Json, true), Style::Json);
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        let text = written(Style::Json, Level::WARN, || tracing::info!("quiet"));
        assert_eq!(text, "");
    }

    #[test]
    fn the_level_may_change_while_the_process_runs() {
        let buffer = Buffer::default();
        let (output, lines) = (buffer.clone(), Lines { style: Style::Text { colour: false }, clock });
        let (subscriber, threshold) = subscriber(move || output.clone(), lines, Level::WARN);
        tracing::subscriber::with_default(subscriber, || {
            for (level, word) in [(None, "one"), (Some(Level::DEBUG), "two"), (Some(Level::ERROR), "three")] {
                level.into_iter().for_each(|level| threshold.set(level));
                tracing::debug!("{word}");
            }
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("two") && !text.contains("one") && !text.contains("three"), "{text}");
    }

    /// Says when a line is there, then waits until it may go on.
    struct Slow {
        lines: mpsc::Sender<String>,
        go: mpsc::Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.lines.send(String::from_utf8_lossy(bytes).into_owned());
            let _ = self.go.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_costs_lines_and_the_log_says_how_many() {
        let (lines, seen) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let format = Lines { style: Style::Text { colour: false }, clock };
        let (subscriber, guard) = build(Slow { lines, go: wait }, format, Level::INFO, 2);
        let next = || seen.recv_timeout(Duration::from_secs(5)).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("one");
            assert!(next().contains("one"));
            for queued_or_lost in ["two", "three", "four", "five"] {
                tracing::info!("{queued_or_lost}");
            }
            // While the thread is stuck in "one", two lines wait and two are lost. The report for "four" is lost
            // itself when "five" comes.
            assert_eq!(guard.lost_lines(), 3);
            drop(go);
            assert!(next().contains("two"));
            assert!(next().contains("three"));
            tracing::info!("six");
            assert!(next().contains("3 log lines were lost so far"));
            assert!(next().contains("six"));
        });
    }
}
