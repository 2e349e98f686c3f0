//! `[notices]`: what a waiting client is told, by kind. PURE.

/// One template for each kind of notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// Right after an early accept.
    pub held: Template,
    /// On passing while something is missing.
    pub degraded: Template,
    /// On passing.
    pub ready: Template,
    /// Before a Close of readygate's own.
    pub closing: Template,
}

/// How one kind is put into words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Template {
    /// A JSON object with all there is to say.
    #[default]
    Json,
    /// Not at all.
    Silent,
    /// The operator's words.
    Text(Vec<Piece>),
}

/// A stretch of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Stands as it is.
    Words(String),
    /// Is filled in.
    Fill(Placeholder),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The kind of notice.
    State,
    /// Why, in public words.
    Reason,
    /// Milliseconds since arrival.
    WaitedMs,
    /// Milliseconds the wait is likely to take from here.
    EstimateMs,
    /// Milliseconds after which to come back.
    RetryAfterMs,
}

impl Placeholder {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::State, Self::Reason, Self::WaitedMs, Self::EstimateMs, Self::RetryAfterMs];

    /// As it stands between the braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Reason => "reason",
            Self::WaitedMs => "waited_ms",
            Self::EstimateMs => "estimate_ms",
            Self::RetryAfterMs => "retry_after_ms",
        }
    }
}

impl Template {
    /// Reads a template. A name in braces is a placeholder; any other brace stands for itself, so that a template may be
    /// JSON.
    ///
    /// # Errors
    /// The first name in braces that is no placeholder.
    pub fn parse(text: &str) -> Result<Self, &str> {
        if text.is_empty() {
            return Ok(Self::Silent);
        }
        let (mut pieces, mut words, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, braced) = rest.split_at(at);
            words.push_str(before);
            let Some(name) = name_in_braces(braced) else {
                words.push('{');
                rest = &braced[1..];
                continue;
            };
            let placeholder = Placeholder::ALL.into_iter().find(|known| known.name() == name).ok_or(name)?;
            pieces.extend([Piece::Words(std::mem::take(&mut words)), Piece::Fill(placeholder)]);
            rest = &braced[name.len() + 2..];
        }
        pieces.push(Piece::Words(words + rest));
        pieces.retain(|piece| *piece != Piece::Words(String::new()));
        Ok(Self::Text(pieces))
    }
}

/// `name` of `{name}…`: letters, digits and `_`, at least one.
fn name_in_braces(braced: &str) -> Option<&str> {
    let (name, _) = braced.strip_prefix('{')?.split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn words(text: &str) -> Piece {
        Piece::Words(text.to_owned())
    }

    #[test]
    fn a_template_is_words_and_placeholders() {
        let expected = vec![
            words("wait "),
            Piece::Fill(Placeholder::EstimateMs),
            words(" ms: "),
            Piece::Fill(Placeholder::Reason),
        ];
        assert_eq!(Template::parse("wait {estimate_ms} ms: {reason}"), Ok(Template::Text(expected)));
        assert_eq!(Template::parse(""), Ok(Template::Silent));
    }

    #[test]
    fn every_placeholder_has_a_name_that_is_understood() {
        for placeholder in Placeholder::ALL {
            let text = format!("{{{}}}", placeholder.name());
            assert_eq!(Template::parse(&text), Ok(Template::Text(vec![Piece::Fill(placeholder)])));
        }
    }

    #[test]
    fn a_template_may_be_json_with_braces_of_its_own() {
        let text = r#"{"a":{"b":"{state}","c":{}}} {"#;
        let expected = vec![words(r#"{"a":{"b":""#), Piece::Fill(Placeholder::State), words(r#"","c":{}}} {"#)];
        assert_eq!(Template::parse(text), Ok(Template::Text(expected)));
    }

    #[test]
    fn an_unknown_name_in_braces_is_named() {
        assert_eq!(Template::parse("{state} {reson} {x}"), Err("reson"));
    }
}
