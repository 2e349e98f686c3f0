//! One value of a file, or its place, without a judgement on the rest.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::Value;

use super::{
    Config, Environment, Place, Problem, Problems,
    document::Document,
    key_path::{KeyPath, Step},
    load::unreadable,
    raw,
};

const ADMIN: &str = "admin.listen";

impl Config {
    /// Where the value at `key` was written, or the nearest thing around it; a number in `key` is a place in a list.
    #[must_use]
    pub fn place_of(text: &str, file: &str, environment: &Environment, key: &[&str]) -> Place {
        let step = |step: &&str| step.parse().map_or_else(|_| Step::Key((*step).to_owned()), Step::Item);
        Document::read(text, file, environment).place_of(&key.iter().map(step).collect())
    }

    /// `admin.listen` of the file at `path`, whatever else is wrong with it: a process that runs goes on as it began
    /// while its file is edited, and its health check must find it meanwhile.
    ///
    /// # Errors
    ///
    /// The file cannot be read as TOML, or that one value is no address.
    pub fn admin_listen(path: &Path, environment: &Environment) -> Result<SocketAddr, Problems> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| unreadable(file.clone(), &error))?;
        let document = Document::read(&text, &file, environment);
        if document.is_no_toml() {
            return Err(Problems::new(document.into_findings().0));
        }
        let key = KeyPath::from(ADMIN);
        let default = raw::Admin::default().listen;
        let listen = document.value(&key).map_or(Some(default.as_str()), Value::as_str);
        listen.and_then(|listen| listen.parse().ok()).ok_or_else(|| {
            let what = format!("{ADMIN} is no IP address with a port");
            Problems::new(vec![Problem::new(document.place_of(&key), what, r#"write "127.0.0.1:9090""#)])
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn admin(text: &str) -> Result<SocketAddr, String> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("proxy.toml");
        fs::write(&path, text).unwrap();
        let environment = Environment::with_variables([("ADMIN_PORT", "7")]);
        let said = |problems: Problems| problems.to_string().replace(&format!("{}/", directory.path().display()), "");
        Config::admin_listen(&path, &environment).map_err(said)
    }

    #[test]
    fn one_address_is_read_whatever_else_is_wrong() {
        let default: SocketAddr = "127.0.0.1:9090".parse().unwrap();
        assert_eq!(admin(""), Ok(default));
        let rest = "hold.sessions = 0\nnonsense = 1\nupstream.url = \"${UNSET}\"\n";
        assert_eq!(admin(&format!("admin.listen = \"[::]:${{ADMIN_PORT}}\"\n{rest}")), Ok("[::]:7".parse().unwrap()));
    }

    #[test]
    fn an_address_that_is_none_is_named_with_its_place() {
        let help = "admin.listen is no IP address with a port; write \"127.0.0.1:9090\"";
        for value in ["9090", "\"localhost:1\""] {
            assert_eq!(admin(&format!("[admin]\nlisten = {value}\n")), Err(format!("proxy.toml:2:10: {help}")));
        }
        assert!(admin("[admin").unwrap_err().starts_with("proxy.toml:1:"));
    }

    #[test]
    fn a_place_is_found_for_keys_items_and_what_was_left_out() {
        let text = "[hold]\nsessions = 1\n[[routes]]\npath = \"/a\"\n[[routes]]\npath = \"/b\"\n";
        let place =
            |key: &[&str]| Config::place_of(text, "proxy.toml", &Environment::with_variables([]), key).to_string();
        assert_eq!(place(&["hold", "sessions"]), "proxy.toml:2:12");
        assert_eq!(place(&["routes", "1", "path"]), "proxy.toml:6:8");
        assert_eq!(place(&["hold", "total_bytes"]), "proxy.toml:1:2");
        assert_eq!(place(&["drain", "timeout"]), "proxy.toml");
    }
}
