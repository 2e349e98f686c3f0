//! What is wrong with a configuration, where, and what would be right.

use std::{error::Error, fmt};

/// What a secret is replaced by.
const HIDDEN: &str = "***";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole: it cannot be read, or a key is missing.
    File(String),
    /// A place in the file; both numbers count from 1, columns in characters.
    Text {
        /// As it was named on the command line.
        file: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) | Self::Variable(name) => f.write_str(name),
            Self::Text { file, line, column } => write!(f, "{file}:{line}:{column}"),
        }
    }
}

/// One thing that is wrong. Never holds the user information of a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong; a fragment in lower case.
    pub what: String,
    /// What would be right; empty where `what` says it all.
    pub help: String,
}

impl Problem {
    /// Whatever looks like the user information of a URL is masked in both texts.
    pub(super) fn new(place: Place, what: impl AsRef<str>, help: impl AsRef<str>) -> Self {
        Self { place, what: masked(what.as_ref()), help: masked(help.as_ref()) }
    }

    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, what: &str) -> Self {
        Self::new(Place::File(file.to_owned()), what, "")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// Everything that is wrong, in the order of the file, environment variables last. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorted, without repetition.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }

    /// A single one.
    #[must_use]
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// One after another.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Error for Problems {}

/// The text with everything between `://` and the last `@` hidden: a password may itself hold `/`, `@` or a space,
/// so masking too much is the safe side.
fn masked(text: &str) -> String {
    let Some((before, after)) = text.split_once("://") else { return text.to_owned() };
    match after.rsplit_once('@') {
        Some((_, rest)) => format!("{before}://{HIDDEN}@{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::{Place, Problem, Problems};

    fn text(line: usize, column: usize) -> Place {
        Place::Text { file: "proxy.toml".into(), line, column }
    }

    #[test]
    fn a_problem_reads_like_a_line_of_a_compiler() {
        let problem =
            Problem::new(text(12, 3), r#"unknown key "hold_timeot" in [gate]"#, r#"did you mean "hold_timeout"?"#);
        let line = r#"proxy.toml:12:3: unknown key "hold_timeot" in [gate]; did you mean "hold_timeout"?"#;
        assert_eq!(problem.to_string(), line);
    }

    #[test]
    fn problems_stand_in_the_order_of_the_file_and_variables_come_last() {
        let variable = Problem::new(Place::Variable("PORT".into()), "d", "");
        let places = [text(10, 1), text(9, 5), text(9, 5), Place::File("proxy.toml".into())];
        let mut all = vec![variable];
        all.extend(places.into_iter().map(|place| Problem::new(place, "x", "")));
        let lines = Problems::new(all).to_string();
        assert_eq!(lines, "proxy.toml: x\nproxy.toml:9:5: x\nproxy.toml:10:1: x\nPORT: d");
    }

    #[test]
    fn user_information_is_masked_even_where_the_password_breaks_the_url() {
        for url in ["redis://:hunter2@h:1", "http://u:hunter2/x@h", "http://hunter2@hunter2@h", "a://hunter2 b@h"] {
            let problem = Problem::new(text(1, 1), format!("bad {url:?}"), format!("not {url}"));
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    }
}
