//! `[notices]`: templates with placeholders that exist.

use super::Checker;
use crate::config::{
    key_path::KeyPath,
    known_keys::nearest,
    notices::{Notices, Placeholder, Template},
    raw,
};

/// Longest template in bytes. A notice is a word in passing; clients that do not read keep it in memory.
const LONGEST: usize = 1 << 10;

impl Checker<'_, '_> {
    /// The templates; `are_sent` says whether they are used at all.
    pub(super) fn notices(&mut self, raw: &raw::Notices, are_sent: bool) -> Notices {
        let given = [&raw.held, &raw.degraded, &raw.ready, &raw.closing].iter().any(|text| text.is_some());
        if given && !are_sent {
            self.warn("notices", "[notices] has no effect", "set features.client_notices = true");
        }
        Notices {
            held: self.template("held", raw.held.as_deref()),
            degraded: self.template("degraded", raw.degraded.as_deref()),
            ready: self.template("ready", raw.ready.as_deref()),
            closing: self.template("closing", raw.closing.as_deref()),
        }
    }

    fn template(&mut self, kind: &str, text: Option<&str>) -> Template {
        let path = KeyPath::from("notices").key(kind);
        let Some(text) = text else { return Template::Json };
        if text.len() > LONGEST {
            let what = format!("{path} is {} bytes long", text.len());
            self.push(path.clone(), what, format!("at most {LONGEST}"));
        }
        Template::parse(text).unwrap_or_else(|unknown| {
            let known = Placeholder::ALL.iter().map(|placeholder| placeholder.name()).collect();
            let help = match nearest(unknown, &known) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => format!("known: {}", Placeholder::ALL.map(|each| format!("{{{}}}", each.name())).join(", ")),
            };
            self.push(path, format!("unknown placeholder {{{unknown}}}"), help);
            Template::Json
        })
    }
}
