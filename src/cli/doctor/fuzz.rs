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

/// Most values that are looked at, for the same reason.
const MOST_NODES: usize = 1_000;

/// No text brings it down; what it says stands inside of the file; and a tree that is written down again reads the same.
pub(crate) fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let in_lines = text.replace("\r\n", "\n");
    let lines: Vec<Vec<char>> = in_lines.split(['\n', '\r']).map(|line| line.chars().collect()).collect();
    let inside = |Spot { line, column }| {
        let of_line = lines.get(line - 1).expect("a line of the file");
        assert!((1..=of_line.len() + 1).contains(&column), "{line}:{column} of {of_line:?}");
    };
    match documents(text) {
        Err(fault) => inside(fault.spot),
        Ok(all) => {
            let mut left = MOST_NODES;
            all.iter().for_each(|document| check_keys(document, &lines, &mut left));
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

/// Where a key is said to stand, it begins: with its first letter, a quote, or what may stand before. One without a letter
/// may stand behind the end.
fn check_keys(node: &Node, lines: &[Vec<char>], left: &mut usize) {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return;
    }
    for entry in node.entries() {
        let found = lines.get(entry.spot.line - 1).and_then(|line| line.get(entry.spot.column - 1));
        let may_begin = |letter: &char| "\"'|>&!\u{feff}".contains(*letter) || entry.key.starts_with(*letter);
        assert!(entry.key.is_empty() || found.is_some_and(may_begin), "{:?} at {:?}: {found:?}", entry.key, entry.spot);
        check_keys(&entry.node, lines, left);
    }
    node.items().for_each(|item| check_keys(item, lines, left));
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
