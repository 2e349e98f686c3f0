//! What is written, and what becomes of it when nobody reads.

use std::{sync::Mutex, time::UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::telemetry::{bystander::stand_by, trace::Trace};

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
    written_by(Lines { style, clock, project: || None }, level, events)
}

fn written_by(lines: Lines, level: Level, events: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let output = buffer.clone();
    let (subscriber, _) = subscriber(move || output.clone(), lines, level);
    stand_by();
    tracing::subscriber::with_default(subscriber, events);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_json_line_is_one_object_with_what_cloud_logging_reads() {
    let text = written(Style::Json, Level::INFO, || {
        let error = io::Error::other("no \"way\"\n");
        tracing::info!(target: "readygate::x", session = 7_u64, up = true, ms = 0.5, %error, "gate {}", "shut");
    });
    assert_eq!(text.matches('\n').count(), 1);
    let expected = json!({
        "severity": "INFO", "message": "gate shut", "time": TIME, "target": "readygate::x",
        "session": 7, "logging.googleapis.com/labels": { "session": "7" },
        "up": true, "ms": 0.5, "error": "no \"way\"\n",
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[test]
fn trouble_says_where_in_the_source_it_comes_from() {
    let text = written(Style::Json, Level::INFO, || {
        tracing::warn!("a");
        tracing::error!("b");
        tracing::info!("c");
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |line: &Value| line["logging.googleapis.com/sourceLocation"].clone();
    assert_eq!(place(&lines[0])["file"], file!());
    let numbers = [&lines[0], &lines[1]].map(|line| place(line)["line"].as_str().unwrap().parse::<u32>().unwrap());
    assert_eq!(numbers[1], numbers[0] + 1);
    assert_eq!(place(&lines[2]), Value::Null);
}

fn headers(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-cloud-trace-context"), HeaderValue::from_static(value))])
}

/// The line on a request with this trace, where the project is known or not.
fn traced(style: Style, project: fn() -> Option<&'static str>) -> String {
    let trace = Trace::of(&headers("4bf92f3577b34da6a3ce929d0e0e4736/255;o=1"));
    let http_request = json!({ "status": 101, "requestUrl": "/ws?\"" }).to_string();
    written_by(Lines { style, clock, project }, Level::ERROR, || {
        Trace::span(trace, Some(&http_request)).in_scope(|| tracing::error!("done"));
    })
}

#[test]
fn a_trace_goes_by_the_names_of_cloud_logging_and_its_span_is_hexadecimal() {
    let line: Value = serde_json::from_str(&traced(Style::Json, || Some("my-project"))).unwrap();
    let name = "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(line["logging.googleapis.com/trace"], name);
    assert_eq!(line["logging.googleapis.com/spanId"], "00000000000000ff");
    assert_eq!(line["logging.googleapis.com/trace_sampled"], true);
    assert_eq!(line["httpRequest"], json!({ "status": 101, "requestUrl": "/ws?\"" }));
    assert_eq!(line.get("trace"), None);
}

#[test]
fn without_a_project_a_trace_is_its_id_and_people_get_no_json() {
    let line: Value = serde_json::from_str(&traced(Style::Json, || None)).unwrap();
    assert_eq!(line["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line.get("logging.googleapis.com/trace"), None);
    let text = traced(Style::Text { colour: false }, || Some("my-project"));
    assert!(text.ends_with(" trace=4bf92f3577b34da6a3ce929d0e0e4736 span=00000000000000ff sampled=true\n"), "{text}");
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
    let (output, lines) = (buffer.clone(), Lines { style: Style::Text { colour: false }, clock, project: || None });
    let (subscriber, threshold) = subscriber(move || output.clone(), lines, Level::WARN);
    stand_by();
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
fn the_last_word_is_not_waited_for_where_nobody_reads() {
    let (lines, seen) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    say(Slow { lines, go: wait }, "lost\n".to_owned(), Duration::from_millis(1));
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), "lost\n");
    drop(go);
}

#[test]
fn a_slow_reader_costs_lines_and_the_log_says_how_many() {
    let (lines, seen) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let format = Lines { style: Style::Text { colour: false }, clock, project: || None };
    let (subscriber, guard) = build(Slow { lines, go: wait }, format, Level::INFO, 2);
    let next = || seen.recv_timeout(Duration::from_secs(5)).unwrap();
    stand_by();
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
