//! `readygate schema`: the JSON schema of proxy.toml, for editors.

use std::io::{self, Write};

use crate::config;

/// Prints the schema, indented, with a line end. A reader that has seen enough, as `head`, is no error.
///
/// # Errors
///
/// The others of writing to `out`.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    match write(out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn write(out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &config::schema())?;
    writeln!(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::{self, Write};

    use serde_json::{Value, json};

    /// Fails, as whoever reads it has gone or its disk is full.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error_and_a_full_disk_is() {
        assert!(super::print(&mut Failing(io::ErrorKind::BrokenPipe)).is_ok());
        let error = super::print(&mut Failing(io::ErrorKind::StorageFull)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

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
