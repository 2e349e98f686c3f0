//! How one log line looks: text for people, JSON for machines.
//!
//! A field of an enclosing span stands before the event's own. In JSON all stand side by side, so one that bears the name of
//! a fixed key gets an underscore behind it. What Cloud Logging reads gets the names under which it does
//! (<https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields>).

use std::{
    fmt::{self, Display, Write as _},
    time::SystemTime,
};

use serde_json::{Value, json};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// Columns of a message before its fields: most messages fit, and fields align under one another.
const MESSAGE_COLUMNS: usize = 44;

/// The number of a session, which is a label of its lines too: Cloud Logging finds and groups lines by labels.
const SESSION: &str = "session";
/// The object on a whole request, as JSON already. People have its parts in the line.
const HTTP_REQUEST: &str = "httpRequest";
/// The id of a trace. Where the project is known, the trace's whole name goes by [`TRACE_NAME`].
const TRACE: &str = "trace";
const TRACE_NAME: &str = "logging.googleapis.com/trace";
/// Fields that Cloud Logging knows by other names.
const RENAMED: [(&str, &str); 2] =
    [("span", "logging.googleapis.com/spanId"), ("sampled", "logging.googleapis.com/trace_sampled")];

/// The fixed keys of a JSON line.
const KEYS: [&str; 4] = ["severity", "message", "time", "target"];

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// One line an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// Text or JSON.
    pub(super) style: Style,
    /// Where the time of a line comes from.
    pub(super) clock: fn() -> SystemTime,
    /// The Google Cloud project, where it is known.
    pub(super) project: fn() -> Option<&'static str>,
}

/// For whom a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For people: time, level, message, fields.
    Text {
        /// ANSI colours, for a terminal only.
        colour: bool,
    },
    /// For machines: one object a line, with the keys that Cloud Logging reads
    /// (<https://cloud.google.com/logging/docs/structured-logging>).
    Json,
}

impl Lines {
    /// A whole line with its end; `fields` in the form that [`FormatFields`] gave them.
    pub(super) fn line(&self, level: Level, target: &str, message: &str, fields: &str) -> String {
        let time = humantime::format_rfc3339_millis((self.clock)());
        match self.style {
            Style::Text { colour: false } => {
                format!("{time} {level:<5} {}", columns(&printable(message), fields))
            }
            Style::Text { colour: true } => {
                let fields = if fields.is_empty() { String::new() } else { format!("{DIM}{fields}{PLAIN}") };
                let (paint, text) = (paint(level), columns(&printable(message), &fields));
                format!("{DIM}{time}{PLAIN} {paint}{level:<5}{PLAIN} {text}")
            }
            Style::Json => {
                let (severity, message, target) = (severity(level), Value::from(message), Value::from(target));
                format!(
                    "{{\"severity\":\"{severity}\",\"message\":{message},\"time\":\"{time}\",\"target\":{target}{fields}}}\n"
                )
            }
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::new(*self, Some(String::new()));
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<FormattedFields<N>>() {
                fields.pairs.push_str(&of_span.fields);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        fields.locate(metadata);
        let message = fields.message.unwrap_or_default();
        writer.write_str(&self.line(*metadata.level(), metadata.target(), &message, &fields.pairs))
    }
}

impl<'w> FormatFields<'w> for Lines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut pairs = Fields::new(*self, None);
        fields.record(&mut pairs);
        writer.write_str(&pairs.pairs)
    }
}

/// Collects an event's message and all other fields as `,"key":value` or ` key=value`.
struct Fields {
    lines: Lines,
    /// None for a span, which has no message of its own.
    message: Option<String>,
    pairs: String,
}

impl Fields {
    fn new(lines: Lines, message: Option<String>) -> Self {
        Self { lines, message, pairs: String::new() }
    }

    fn text(&mut self, field: &Field, text: &str) {
        match (&mut self.message, self.lines.style, field.name()) {
            (Some(message), _, "message") => message.push_str(text),
            (_, Style::Text { .. }, HTTP_REQUEST) => {}
            (_, Style::Json, HTTP_REQUEST) => self.pair(HTTP_REQUEST, &text),
            (_, Style::Json, TRACE) => self.trace(text),
            (_, style, name) => self.pair(name, &quoted(style, text)),
        }
    }

    fn trace(&mut self, id: &str) {
        match (self.lines.project)() {
            Some(project) => self.pair(TRACE_NAME, &Value::from(format!("projects/{project}/traces/{id}"))),
            None => self.pair(TRACE, &Value::from(id)),
        }
    }

    fn pair(&mut self, name: &str, value: &dyn Display) {
        // Writing to a String cannot fail.
        let _ = match self.lines.style {
            Style::Text { .. } => write!(self.pairs, " {name}={value}"),
            Style::Json if KEYS.contains(&name) => write!(self.pairs, ",\"{name}_\":{value}"),
            Style::Json => write!(self.pairs, ",{}:{value}", Value::from(known_to_cloud(name))),
        };
    }

    /// Where in the source a line comes from that somebody will look for.
    fn locate(&mut self, metadata: &Metadata<'_>) {
        let is_trouble = *metadata.level() <= Level::WARN;
        if let (Style::Json, true, Some(file), Some(line)) =
            (self.lines.style, is_trouble, metadata.file(), metadata.line())
        {
            let place = json!({ "file": file, "line": line.to_string() });
            self.pair("logging.googleapis.com/sourceLocation", &place);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pair(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pair(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.pair(field.name(), &value);
        if self.lines.style == Style::Json && field.name() == SESSION {
            self.pair("logging.googleapis.com/labels", &json!({ SESSION: value.to_string() }));
        }
    }

    /// JSON has no word for infinity or NaN, so these are strings there.
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            return self.pair(field.name(), &value);
        }
        self.text(field, &value.to_string());
    }
}

fn known_to_cloud(name: &str) -> &str {
    RENAMED.into_iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs)
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARNING",
        Level::ERROR => "ERROR",
    }
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "\x1b[34m",
        Level::INFO => "\x1b[32m",
        Level::WARN => "\x1b[33m",
        Level::ERROR => "\x1b[31m",
    }
}

/// The message, padded where fields follow (which begin with a space of their own).
fn columns(message: &str, fields: &str) -> String {
    if fields.is_empty() {
        return format!("{message}\n");
    }
    format!("{message:<MESSAGE_COLUMNS$}{fields}\n")
}

/// Text of clients and backends may stand in a message: it must neither end the line nor steer the terminal.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Always quoted in JSON; in text only where a reader could not see the value's end.
fn quoted(style: Style, text: &str) -> String {
    let opaque = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=';
    match style {
        Style::Json => Value::from(text).to_string(),
        Style::Text { .. } if text.is_empty() || text.contains(opaque) => format!("{text:?}"),
        Style::Text { .. } => text.to_owned(),
    }
}
