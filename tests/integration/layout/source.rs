//! One file of `src` as tokens: enough of Rust's grammar to see paths, functions and test code.

use std::{collections::BTreeSet, fs, path::Path};

/// The crate's own name, as `main.rs` says it.
const CRATE: &str = "readygate";

/// What stands before code that is in no program, as tokens.
const TEST_ATTRIBUTES: [&[&str]; 2] = [
    &["#", "[", "cfg", "(", "test", ")", "]"],
    &["#", "[", "cfg", "(", "any", "(", "test", ",", "fuzzing", ")", ")", "]"],
];

/// A file of `src`.
pub(super) struct Source {
    /// Relative to `src`, with slashes.
    pub(super) path: String,
    /// Lines of the whole file.
    pub(super) lines: usize,
    /// Its leading `//!` lines.
    pub(super) doc: String,
    /// Whether another file declares it for tests or fuzzing alone.
    pub(super) is_test: bool,
    tokens: Vec<Token>,
    /// As many flags as tokens: whether each lies under `#[cfg(test)]`.
    under_test: Vec<bool>,
}

/// A function with a body.
pub(super) struct Function {
    pub(super) name: String,
    /// Where `fn` stands.
    pub(super) line: usize,
    /// From `fn` to the closing brace.
    pub(super) lines: usize,
}

struct Token {
    text: String,
    line: usize,
}

/// Every file of `src`, in order of path.
pub(super) fn read_all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read_directory(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let belongs =
            |module: &String| source.path.strip_prefix(module).is_some_and(|rest| rest.starts_with(['.', '/']));
        // A `#[path]` goes by this name; the attribute's own string is not among the tokens.
        source.is_test = source.path.ends_with("_tests.rs") || tests.iter().any(belongs);
    }
    sources
}

fn read_directory(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a directory of src") {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            read_directory(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("a file below src").to_string_lossy().replace('\\', "/");
            sources.push(Source::parse(&name, &fs::read_to_string(&path).expect("UTF-8")));
        }
    }
}

impl Source {
    pub(super) fn parse(path: &str, text: &str) -> Self {
        let tokens = tokens_of(text);
        let under_test = under_test(&tokens);
        let doc: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        Self { path: path.into(), lines: text.lines().count(), doc: doc.join("\n"), is_test: false, tokens, under_test }
    }

    /// The top-level module: the first part of the path.
    pub(super) fn module(&self) -> String {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs").into()
    }

    /// Modules in files of their own that exist for tests only, as paths below `src` without an ending.
    fn test_modules(&self) -> Vec<String> {
        let directory = match self.path.rsplit_once('/') {
            Some((directory, "mod.rs")) => format!("{directory}/"),
            None if matches!(self.path.as_str(), "lib.rs" | "main.rs") => String::new(),
            Some(_) | None => format!("{}/", self.path.trim_end_matches(".rs")),
        };
        let declared = (0..self.tokens.len()).filter(|at| self.under_test[*at] && self.is(*at, "mod"));
        let in_files = declared.filter(|at| self.is(at + 2, ";"));
        in_files.map(|at| format!("{directory}{}", self.tokens[at + 1].text)).collect()
    }

    pub(super) fn is_marked_pure(&self) -> bool {
        self.doc.split(|c: char| !c.is_alphanumeric()).any(|word| word == "PURE")
    }

    /// Names behind `mod` outside of tests, for lib.rs.
    pub(super) fn declared_modules(&self) -> BTreeSet<String> {
        let programs = (0..self.tokens.len()).filter(|at| !self.under_test[*at]);
        programs
            .filter(|at| self.is(*at, "mod") && self.is(at + 2, ";"))
            .map(|at| self.tokens[at + 1].text.clone())
            .collect()
    }

    /// Top-level modules that paths outside of tests begin with, each with its line.
    pub(super) fn imports(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            if self.under_test[at] || (at > 0 && self.is(at - 1, "::")) {
                continue;
            }
            if let Some(behind_root) = self.root_ends(at) {
                self.collect_heads(behind_root, &mut found);
            }
        }
        found
    }

    /// Behind `crate::`, or behind as many `super::` as lead to the root: the index of the next token.
    fn root_ends(&self, at: usize) -> Option<usize> {
        let is_root = self.is(at, "crate") || (self.path == "main.rs" && self.is(at, CRATE));
        if is_root {
            return self.is(at + 1, "::").then_some(at + 2);
        }
        let supers = (0..).take_while(|n| self.is(at + 2 * n, "super") && self.is(at + 2 * n + 1, "::")).count();
        (supers > 0 && supers == self.depth()).then_some(at + 2 * supers)
    }

    /// Modules between this file and the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("mod.rs") { parts - 1 } else { parts }
    }

    /// The name at `at`, or the first name of each branch of the group that begins there.
    fn collect_heads(&self, at: usize, found: &mut Vec<(String, usize)>) {
        if !self.is(at, "{") {
            found.extend(self.tokens.get(at).map(|token| (token.text.clone(), token.line)));
            return;
        }
        let mut depth = 0_usize;
        for index in at..self.closing(at) {
            let text = self.tokens[index].text.as_str();
            let begins_branch = depth == 1 && (index == at + 1 || self.is(index - 1, ","));
            if begins_branch && text != "self" {
                found.push((text.into(), self.tokens[index].line));
            }
            match text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
        }
    }

    /// What a pure file must not name, outside of tests.
    pub(super) fn runtime_and_clock_names(&self) -> Vec<(String, usize)> {
        let named = |at: usize| {
            let text = self.tokens[at].text.as_str();
            match text {
                "async" | "await" => Some(text.to_owned()),
                "Instant" | "SystemTime" if self.is(at + 1, "::") && self.is(at + 2, "now") => {
                    Some(format!("{text}::now"))
                }
                _ if text == "tokio" || text.starts_with("tokio_") => Some(text.to_owned()),
                _ => None,
            }
        };
        let outside_tests = (0..self.tokens.len()).filter(|at| !self.under_test[*at]);
        outside_tests.filter_map(|at| Some((named(at)?, self.tokens[at].line))).collect()
    }

    /// Every function with a body, those of tests too.
    pub(super) fn functions(&self) -> Vec<Function> {
        let starts = (0..self.tokens.len()).filter(|at| self.is(*at, "fn"));
        starts.filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let name = self.tokens.get(at + 1)?.text.clone();
        if !name.starts_with(is_name) {
            return None;
        }
        let opening = body(&self.tokens, at)?;
        let line = self.tokens[at].line;
        let lines = self.tokens[self.closing(opening)].line - line + 1;
        Some(Function { name, line, lines })
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text == text)
    }

    fn closing(&self, opening: usize) -> usize {
        closing(&self.tokens, opening)
    }
}

/// The brace that opens the item at `from`; none where the item ends with a semicolon.
fn body(tokens: &[Token], from: usize) -> Option<usize> {
    let mut nested = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "(" | "[" => nested += 1,
            ")" | "]" => nested = nested.saturating_sub(1),
            "{" if nested == 0 => return Some(at),
            ";" if nested == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `opening`.
fn closing(tokens: &[Token], opening: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(opening) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return at,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len() - 1
}

/// Flags the items that follow a `#[cfg(test)]`.
fn under_test(tokens: &[Token]) -> Vec<bool> {
    let mut flags = vec![false; tokens.len()];
    for at in 0..tokens.len() {
        let begins_with = |attribute: &&&[&str]| {
            let rest = tokens[at..].iter().map(|token| &token.text);
            rest.take(attribute.len()).eq(attribute.iter())
        };
        let Some(attribute) = TEST_ATTRIBUTES.iter().find(begins_with) else { continue };
        let item = at + attribute.len();
        let semicolon = || (item..tokens.len()).find(|at| tokens[*at].text == ";").unwrap_or(item);
        // A grouped `use` has a brace of its own; its end is the semicolon all the same.
        let is_use = tokens.get(item).is_some_and(|token| token.text == "use");
        let end = body(tokens, item).filter(|_| !is_use).map_or_else(semicolon, |opening| closing(tokens, opening));
        flags[at..=end.min(tokens.len() - 1)].fill(true);
    }
    flags
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Names, `::`, and single signs. Comments are left out; a literal leaves at most a bare quote.
fn tokens_of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let skip = skipped(rest);
        let (part, behind) = rest.split_at(skip.unwrap_or_else(|| token_length(rest)));
        if skip.is_none() {
            tokens.push(Token { text: part.trim_start_matches("r#").into(), line });
        }
        line += part.matches('\n').count();
        rest = behind;
    }
    tokens
}

fn token_length(rest: &str) -> usize {
    if rest.starts_with("::") {
        return 2;
    }
    let raw = if rest.starts_with("r#") { 2 } else { 0 };
    let name = rest[raw..].find(|c| !is_name(c)).unwrap_or(rest.len() - raw);
    if name > 0 { raw + name } else { rest.chars().next().map_or(1, char::len_utf8) }
}

/// The length of the blank, comment or literal that `rest` begins with.
fn skipped(rest: &str) -> Option<usize> {
    let blank = rest.len() - rest.trim_start().len();
    if blank > 0 {
        return Some(blank);
    }
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = rest.find(|c| !"brc".contains(c)).unwrap_or(0);
    match rest[prefix..].chars().next()? {
        '"' if rest[..prefix].contains('r') => raw_string(rest, prefix),
        '#' if rest[..prefix].contains('r') => raw_string(rest, prefix),
        '"' => Some(prefix + quoted(&rest[prefix..], '"')),
        '\'' if prefix <= 1 => character(&rest[prefix..]).map(|length| prefix + length),
        _ => None,
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and so on; none for a raw name such as `r#type`.
fn raw_string(rest: &str, prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].find(|c| c != '#')?;
    let inside = rest[prefix + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end)?;
    Some(prefix + hashes + 1 + length + end.len())
}

/// The length of a literal between `quote`s, with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.chars().skip(1);
    let (first, second) = (chars.next()?, chars.next()?);
    (first == '\\' || second == '\'').then(|| quoted(rest, '\''))
}
