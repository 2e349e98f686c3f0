//! What a check's table says of the answer: status, body, headers, role.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::Checker;
use crate::config::{
    CheckKind, HttpCheck,
    key_path::KeyPath,
    raw_check::{CheckTable, Role},
};

/// HTTP statuses (RFC 9110 §15).
pub(super) const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

impl Checker<'_, '_> {
    /// Puts what `table` expects into `kind`; everything is judged, even where there is no kind to put it into.
    pub(super) fn expect(&mut self, path: &KeyPath, table: CheckTable, kind: Option<CheckKind>) -> Option<CheckKind> {
        if let Some(kind) = &kind {
            self.push_useless_expectations(path, kind, &table);
        }
        let status = self.statuses(&path.key("status"), table.status);
        let json = self.pointers(&path.key("json"), table.json.unwrap_or_default());
        let text = self.text(&path.key("text"), table.text);
        let headers = self.headers(&path.key("headers"), table.headers.unwrap_or_default());
        match kind? {
            CheckKind::Http(http) => Some(CheckKind::Http(HttpCheck { status, json, text, headers, ..http })),
            CheckKind::Ws(ws) => Some(CheckKind::Ws(HttpCheck { headers, ..ws })),
            CheckKind::Redis(mut redis) => {
                redis.primary = table.role == Some(Role::Primary);
                Some(CheckKind::Redis(redis))
            }
            other @ (CheckKind::Tcp(_) | CheckKind::Postgres(_) | CheckKind::Grpc(_)) => Some(other),
        }
    }

    /// An expectation that nothing looks at would make a check weaker than it reads.
    fn push_useless_expectations(&mut self, path: &KeyPath, kind: &CheckKind, table: &CheckTable) {
        let (is_http, is_ws) = (matches!(kind, CheckKind::Http(_)), matches!(kind, CheckKind::Ws(_)));
        let is_redis = matches!(kind, CheckKind::Redis(_));
        let useless = [
            ("status", table.status.is_some() && !is_http, "http and https"),
            ("json", table.json.is_some() && !is_http, "http and https"),
            ("text", table.text.is_some() && !is_http, "http and https"),
            ("headers", table.headers.is_some() && !is_http && !is_ws, "http, https, ws and wss"),
            ("role", table.role.is_some() && !is_redis, "redis and rediss"),
        ];
        for (key, _, kinds) in useless.into_iter().filter(|(_, is_useless, _)| *is_useless) {
            let what = format!("{key} has no effect on this kind of check");
            self.push(path.key(key), what, format!("it belongs to {kinds}"));
        }
    }

    fn statuses(&mut self, path: &KeyPath, statuses: Option<Vec<u16>>) -> Vec<u16> {
        if statuses.as_ref().is_some_and(Vec::is_empty) {
            self.push(path.clone(), "status is an empty list: no answer could pass", "leave it out for any 2xx");
        }
        let statuses = statuses.unwrap_or_default();
        for (index, status) in statuses.iter().enumerate().filter(|(_, status)| !STATUSES.contains(status)) {
            self.push(path.item(index), format!("{status} is no HTTP status"), "expected 100 to 599");
        }
        statuses
    }

    pub(super) fn pointers(
        &mut self,
        path: &KeyPath,
        expected: BTreeMap<String, serde_json::Value>,
    ) -> Vec<(String, serde_json::Value)> {
        for pointer in expected.keys().filter(|pointer| !is_pointer(pointer)) {
            let what = format!("{pointer:?} is no JSON pointer");
            self.push(path.key(pointer), what, r#"write "/status" or "/checks/0/ok" (RFC 6901; ~0 is ~, ~1 is /)"#);
        }
        expected.into_iter().collect()
    }

    pub(super) fn text(&mut self, path: &KeyPath, text: Option<String>) -> Option<String> {
        if text.as_ref().is_some_and(String::is_empty) {
            self.push(path.clone(), "text is empty, and every body contains that", "name a part of the body");
        }
        text
    }

    fn headers(&mut self, path: &KeyPath, headers: BTreeMap<String, String>) -> Vec<(HeaderName, SecretString)> {
        let mut good = Vec::new();
        for (name, value) in headers {
            let path = path.key(&name);
            if HeaderValue::from_str(&value).is_err() {
                self.push(path.clone(), format!("the value of header {name:?} holds a control character"), "");
            }
            match name.parse::<HeaderName>() {
                Ok(name) => good.push((name, SecretString::from(value))),
                Err(_) => self.push(path, format!("{name:?} is no name of a header"), "letters, digits and hyphens"),
            }
        }
        good
    }
}

/// RFC 6901 §3, without the pointer to the whole document.
fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1);
    text.starts_with('/') && escapes.into_iter().all(|after| after.starts_with(['0', '1']))
}
