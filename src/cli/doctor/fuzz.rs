//! What a manifest must not do to its diagnosis.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fmt::Write, rc::Rc};

use super::{
    Options, diagnose,
    yaml::{Node, Spot, documents},
};
use crate::config::Place;

/// Longest text that is written back: aliases of aliases are small to read and endless to write.
const MOST_WRITTEN: usize = 32 << 10;

/// No text brings it down; what it says stands inside of the file; and a tree that is written down again reads the same.
pub(crate) fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let inside = |Spot { line, column }| {
        let of_line = text.split('\n').nth(line - 1).expect("a line of the file");
        assert!((1..=of_line.chars().count() + 1).contains(&column), "{line}:{column} of {of_line:?}");
    };
    match documents(text) {
        Err(fault) => inside(fault.spot),
        Ok(all) => {
            if let Some(written) = write(&all) {
                let again = documents(&written).expect("what was written down is YAML");
                assert_eq!(write(&again).as_deref(), Some(written.as_str()));
            }
        }
    }
    let options = Options { file: "no/such/file".into(), config: None, container: None, allow: Vec::new() };
    let Ok(findings) = diagnose(&options, "manifest", text) else { return };
    for finding in findings {
        if let Place::Text { file, line, column } = finding.problem.place
            && file == "manifest"
        {
            inside(Spot { line, column });
        }
    }
}

/// Each document on a line, in brackets and quotes.
fn write(documents: &[Rc<Node>]) -> Option<String> {
    let mut out = String::new();
    for document in documents {
        out.push_str("--- ");
        let before = out.len();
        write_node(document, &mut out)?;
        // Nothing at all would be no document.
        if &out[before..] == "~" {
            out.replace_range(before.., "[]");
        }
        out.push('\n');
    }
    Some(out)
}

/// None where it would be too long.
fn write_node(node: &Node, out: &mut String) -> Option<()> {
    if out.len() > MOST_WRITTEN {
        return None;
    }
    if let Some(text) = node.text() {
        write_text(text, out);
    } else if !node.entries().is_empty() {
        for (at, entry) in node.entries().iter().enumerate() {
            out.push_str(if at == 0 { "{? " } else { ", ? " });
            write_text(&entry.key, out);
            out.push_str(" : ");
            write_node(&entry.node, out)?;
        }
        out.push('}');
    } else if node.items().next().is_some() {
        for (at, item) in node.items().enumerate() {
            out.push_str(if at == 0 { "[" } else { ", " });
            write_node(item, out)?;
        }
        out.push(']');
    } else {
        out.push('~');
    }
    Some(())
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(letter),
            _ => write!(out, "\\U{:08x}", u32::from(letter)).unwrap(),
        }
    }
    out.push('"');
}
