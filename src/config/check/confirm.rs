//! `gate.confirm`: what the message must be.

use std::sync::Arc;

use super::Checker;
use crate::config::{Confirm, key_path::KeyPath, raw_confirm::ConfirmSpec, units::Size};

/// What a confirmation must at least say.
const FORM: &str = r#"give json = { "/connection_ready" = true }, or text = "…""#;

/// More would be no message that says "ready", and each session that waits may keep as much beside its hold.
const MOST_MESSAGE: Size = Size::mib(16);

impl Checker<'_, '_> {
    /// `confirm` of the table at `at`.
    pub(super) fn confirm(&mut self, at: &KeyPath, raw: ConfirmSpec) -> Option<Arc<Confirm>> {
        let raw = match raw {
            ConfirmSpec::Off(_) => return None,
            ConfirmSpec::Message(raw) => raw,
        };
        let path = at.key("confirm");
        if raw.text.is_none() && raw.json.as_ref().is_none_or(|json| json.is_empty()) {
            self.push(path.clone(), format!("{path} does not say which message confirms"), FORM);
        }
        Some(Arc::new(Confirm {
            json: self.pointers(&path.key("json"), raw.json.unwrap_or_default()),
            text: self.text(&path.key("text"), raw.text),
            timeout: self.time(path.key("timeout"), raw.timeout),
            on_timeout: raw.on_timeout,
            message_bytes: self.message_bytes(path.key("message_bytes"), raw.message_bytes),
        }))
    }

    fn message_bytes(&mut self, path: KeyPath, size: Size) -> usize {
        if size.0 == 0 || size > MOST_MESSAGE {
            let what = format!("{path} = \"{size}\" is out of range");
            self.push(path, what, format!("expected 1B to {MOST_MESSAGE}; a message that says \"ready\" is short"));
        }
        usize::try_from(size.0).unwrap_or(usize::MAX)
    }
}
