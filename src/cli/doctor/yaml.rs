//! YAML as a tree in which every value and every key knows its place. PURE.
//!
//! Only what manifests need: keys are plain text, a key twice in one mapping is a fault (which of the two the platform
//! takes is a guess), and tags are left out.

use std::{collections::BTreeMap, rc::Rc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

/// Levels of nesting. A pod's specification has some fifteen; more serves nobody but whoever wants a stack to overflow.
const MOST_LEVELS: usize = 100;

/// Where something was written; both numbers count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// A text that is no YAML, or none that a manifest may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub spot: Spot,
    /// What is wrong; a fragment in lower case.
    pub what: String,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value begins.
    pub spot: Spot,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    /// Text; `plain` stands without quotes, and may mean a number or nothing at all.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub spot: Spot,
    /// Its value.
    pub node: Rc<Node>,
}

impl Node {
    /// The value behind a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &*entry.node)
    }

    /// The value behind keys, one below the other.
    #[must_use]
    pub fn find(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// A key with its value.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Every key of a mapping, in the order of the text; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => &[],
        }
    }

    /// Every item of a list; none of anything else.
    pub fn items(&self) -> impl Iterator<Item = &Self> {
        let items = match &self.value {
            Value::List(items) => items.as_slice(),
            Value::Scalar { .. } | Value::Map(_) => &[],
        };
        items.iter().map(|item| &**item)
    }

    /// The text of a scalar that is not null.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain } if !(*plain && is_null(text)) => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A whole number, in quotes or not.
    #[must_use]
    pub fn whole(&self) -> Option<u64> {
        self.text()?.parse().ok()
    }
}

/// <https://yaml.org/spec/1.2.2/#1032-tag-resolution>
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Every document of the text, those left empty aside.
///
/// # Errors
///
/// The first thing that is no YAML, or none that a manifest may be.
pub fn documents(text: &str) -> Result<Vec<Rc<Node>>, Fault> {
    read(text).map_err(|fault| fault.inside(text))
}

fn read(text: &str) -> Result<Vec<Rc<Node>>, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new() };
    let mut documents = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd => documents.push(reader.node(event, span, 0)?),
        }
        documents.retain(|document| document.text().is_some() || !matches!(document.value, Value::Scalar { .. }));
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Rc<Node>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        let Some(next) = self.parser.next_event() else { return Ok((Event::StreamEnd, Span::default())) };
        Ok(next?)
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: Span, level: usize) -> Result<Rc<Node>, Fault> {
        let spot = Spot::from(span.start);
        if level > MOST_LEVELS {
            return Err(Fault { spot, what: format!("nested deeper than {MOST_LEVELS} levels") });
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.anchors.get(&anchor).cloned().ok_or_else(|| endless(spot)),
            Event::Scalar(text, style, anchor, _) => {
                (anchor, Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(anchor, _) => (anchor, Value::List(self.items(level + 1)?)),
            Event::MappingStart(anchor, _) => (anchor, Value::Map(self.entries(level + 1)?)),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(Fault { spot, what: "a value is missing".to_owned() }),
        };
        let node = Rc::new(Node { spot, value });
        // The parser counts anchors from 1; 0 is none.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn items(&mut self, level: usize) -> Result<Vec<Rc<Node>>, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            items.push(self.node(event, span, level)?);
        }
    }

    fn entries(&mut self, level: usize) -> Result<Vec<Entry>, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let spot = Spot::from(span.start);
            let Event::Scalar(key, ..) = event else {
                return Err(Fault { spot, what: "a key is not plain text".to_owned() });
            };
            if let Some(other) = entries.iter().find(|entry| entry.key == key) {
                return Err(Fault {
                    spot,
                    what: format!("the key {key:?} stands on line {} already", other.spot.line),
                });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, level)?;
            entries.push(Entry { key: key.into_owned(), spot, node });
        }
    }
}

fn endless(spot: Spot) -> Fault {
    Fault { spot, what: "an alias stands inside of what it names".to_owned() }
}

impl Fault {
    /// The parser places some faults behind the end of the text.
    fn inside(mut self, text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let lines: Vec<&str> = text.split(['\n', '\r']).collect();
        let Spot { line, column } = &mut self.spot;
        *line = (*line).clamp(1, lines.len());
        *column = (*column).min(lines[*line - 1].chars().count() + 1);
        self
    }
}

impl From<Marker> for Spot {
    /// The parser counts columns from 0.
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        Self { spot: Spot::from(*error.marker()), what: error.info().to_owned() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn spot(line: usize, column: usize) -> Spot {
        Spot { line, column }
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let all =
            documents("# comment\nspec:\n  ports:\n    - name: h2c\n      port: \"8080\"\n---\n---\nb: [1, ä, x]\n")
                .unwrap();
        assert_eq!(all.len(), 2);
        let ports = all[0].find(&["spec", "ports"]).unwrap();
        let port = ports.items().next().unwrap();
        let name = port.entry("name").unwrap();
        assert_eq!((name.spot, name.node.spot, name.node.text()), (spot(4, 7), spot(4, 13), Some("h2c")));
        assert_eq!((port.spot, port.get("port").unwrap().whole()), (spot(4, 7), Some(8080)));
        let last = all[1].get("b").unwrap().items().last().unwrap();
        assert_eq!((last.spot, last.text()), (spot(8, 11), Some("x")));
    }

    #[test]
    fn nothing_is_no_text_unless_it_stands_in_quotes() {
        let all = documents("a:\nb: ~\nc: null\nd: \"\"\ne: 'null'\nf: |\n  two\n  lines\n").unwrap();
        let texts: Vec<Option<&str>> = all[0].entries().iter().map(|entry| entry.node.text()).collect();
        assert_eq!(texts, [None, None, None, Some(""), Some("null"), Some("two\nlines\n")]);
    }

    #[test]
    fn an_alias_is_what_it_names() {
        let all = documents("a: &x {k: v}\nb: *x\n").unwrap();
        assert_eq!(all[0].find(&["b", "k"]).unwrap().text(), Some("v"));
    }

    #[test]
    fn what_no_manifest_may_be_is_named_with_its_place() {
        let deep = "[".repeat(MOST_LEVELS + 2);
        for (text, at, what) in [
            ("a: 1\nb: 2\na: 3\n", spot(3, 1), "the key \"a\" stands on line 1 already"),
            ("? [x]\n: y\n", spot(1, 3), "a key is not plain text"),
            ("a: &x [*x]\n", spot(1, 8), "an alias stands inside of what it names"),
            (&deep, spot(1, MOST_LEVELS + 2), "nested deeper than 100 levels"),
        ] {
            assert_eq!(documents(text).unwrap_err(), Fault { spot: at, what: what.to_owned() }, "{text}");
        }
        assert_eq!(documents("a: 1\nb: }\n").unwrap_err().spot, spot(2, 4));
    }
}
