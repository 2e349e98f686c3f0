//! `readygate schema`: the JSON schema of proxy.toml, for editors.

use std::io::{self, Write};

use crate::config;

/// Prints the schema, indented, with a line end.
///
/// # Errors
///
/// Those of writing to `out`.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &config::schema())?;
    writeln!(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn what_is_printed_is_json_that_names_keys_defaults_and_meanings() {
        let mut out = Vec::new();
        super::print(&mut out).unwrap();
        let schema: Value = serde_json::from_slice(&out).unwrap();
        let timeout = &schema["properties"]["gate"]["properties"]["hold_timeout"];
        assert_eq!((&timeout["default"], &timeout["type"]), (&json!("30s"), &json!("string")));
        assert!(timeout["description"].as_str().unwrap().starts_with("Longest hold"));
        assert_eq!(schema["properties"]["gate"]["additionalProperties"], json!(false));
        assert!(out.ends_with(b"}\n"));
    }
}
