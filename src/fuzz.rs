//! Targets for fuzzing: each takes any bytes at all, and panics where a promise is broken. `tests/fuzz` runs one of them for
//! as long as wanted; what it found worth keeping is in `tests/corpus`, and every test run goes through it.

pub(crate) mod peer;

/// Takes any bytes at all.
pub type Target = fn(&[u8]);

/// What is fuzzed, by name.
pub const TARGETS: [(&str, Target); 18] = [
    ("ahead", crate::http::fuzz::ahead),
    ("answer", crate::upstream::fuzz::answer),
    ("boundary", crate::wire::fuzz::boundaries),
    ("close", crate::wire::fuzz::closes),
    ("config", crate::config::fuzz::configuration),
    ("confirm", crate::session::fuzz::confirmation),
    ("forward", crate::http::fuzz::forwarding),
    ("grpc", crate::probe::fuzz::grpc),
    ("http", crate::probe::fuzz::http),
    ("manifest", crate::cli::doctor::fuzz::manifest),
    ("messages", crate::session::fuzz::messages),
    ("pipe", crate::splice::fuzz::pipe),
    ("postgres", crate::probe::fuzz::postgres),
    ("redis", crate::probe::fuzz::redis),
    ("scan", crate::wire::fuzz::scanner),
    ("trace", crate::telemetry::trace::fuzz::headers),
    ("upgrade", crate::http::fuzz::handshake),
    ("ws", crate::probe::fuzz::ws),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Fewer files mean that a corpus was lost.
    const FILES_AT_LEAST: usize = 10;

    /// All of them together.
    const MOST_BYTES: u64 = 200 << 10;

    #[test]
    fn what_fuzzing_has_found_breaks_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let mut bytes = 0;
        for (name, target) in TARGETS {
            let files: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).map(|file| file.unwrap().path()).collect();
            assert!(files.len() >= FILES_AT_LEAST, "{name} has {} files", files.len());
            for file in &files {
                println!("{}", file.display());
                let data = fs::read(file).unwrap();
                bytes += data.len() as u64;
                target(&data);
            }
        }
        assert!(bytes <= MOST_BYTES, "the corpus has {bytes} bytes");
        let directories = fs::read_dir(corpus).unwrap().count();
        assert_eq!(directories, TARGETS.len(), "a corpus of no target");
    }
}
