//! When two checks ask the same: field by field, secrets included, which are compared here and shown nowhere.

use secrecy::{ExposeSecret, SecretString};

use super::{HttpCheck, PostgresCheck, RedisCheck};

impl PartialEq for HttpCheck {
    fn eq(&self, other: &Self) -> bool {
        // Taken apart, so that a new field cannot be forgotten.
        let Self { target, path, status, json, text, headers } = self;
        let same_headers = headers.len() == other.headers.len()
            && headers.iter().zip(&other.headers).all(|((name, value), (other_name, other_value))| {
                name == other_name && value.expose_secret() == other_value.expose_secret()
            });
        same_headers
            && (target, path, status) == (&other.target, &other.path, &other.status)
            && (json, text) == (&other.json, &other.text)
    }
}

impl PartialEq for RedisCheck {
    fn eq(&self, other: &Self) -> bool {
        let Self { target, user, password, db, primary } = self;
        same(password.as_ref(), other.password.as_ref())
            && (target, user) == (&other.target, &other.user)
            && (db, primary) == (&other.db, &other.primary)
    }
}

impl PartialEq for PostgresCheck {
    fn eq(&self, other: &Self) -> bool {
        let Self { target, prefer_tls, user, password, database } = self;
        same(password.as_ref(), other.password.as_ref())
            && (target, prefer_tls) == (&other.target, &other.prefer_tls)
            && (user, database) == (&other.user, &other.database)
    }
}

fn same(secret: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    secret.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use crate::config::{Config, Environment};

    /// Whether checks of this kind and of the other are the same.
    fn are_same(check: &str, other: &str) -> bool {
        let checks = [check, other].map(|check| {
            let text = format!("[upstream]\nurl = \"http://h\"\n[dependencies.a]\ncheck = {check}");
            Config::parse(&text, "proxy.toml", &Environment::with_variables([])).unwrap().dependencies.remove(0).check
        });
        checks[0] == checks[1]
    }

    #[test]
    fn a_check_is_itself_and_none_that_differs_in_a_secret() {
        let pairs = [
            (r#""redis://:one@h""#, r#""redis://:two@h""#),
            (r#""postgres://u:one@h/d""#, r#""postgres://u:two@h/d""#),
            (r#"{ url = "http://h/", headers = { a = "one" } }"#, r#"{ url = "http://h/", headers = { a = "two" } }"#),
            (r#"{ url = "http://h/", headers = { a = "one" } }"#, r#""http://h/""#),
        ];
        for (check, other) in pairs {
            assert!(are_same(check, check) && !are_same(check, other), "{check} {other}");
        }
    }

    #[test]
    fn whom_what_and_how_often_all_count() {
        for (check, other) in [
            (r#""redis://h""#, r#""redis://i""#),
            (r#""redis://h/0""#, r#""redis://h/1""#),
            (r#""postgres://u@h/d""#, r#""postgres://u@h/e""#),
            (r#""http://h/a""#, r#""http://h/b""#),
            (r#""http://h/a""#, r#"{ url = "http://h/a", text = "ok" }"#),
            (r#""http://h/a""#, r#"{ url = "http://h/a", interval = "1s" }"#),
            (r#""grpc://h/a""#, r#""grpc://h/b""#),
        ] {
            assert!(!are_same(check, other), "{check} {other}");
        }
    }
}
