//! What the process was started in, gathered once and passed in: the rest of the configuration reads nothing global.

use std::{collections::BTreeMap, env, fmt, num::NonZeroUsize, path::Path, thread, time::SystemTime};

use super::platform;

/// Variables, memory, processors and the time at which the configuration is judged.
#[derive(Clone)]
pub struct Environment {
    /// Environment variables by name.
    pub variables: BTreeMap<String, String>,
    /// Bytes of memory the process may use, where that is known.
    pub memory: Option<u64>,
    /// CPUs the process may use.
    pub cpus: NonZeroUsize,
    /// The time against which certificates are judged.
    pub now: SystemTime,
}

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: env::vars_os().filter_map(utf8).collect(),
            memory: platform::memory_limit(Path::new("/")),
            cpus: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            now: SystemTime::now(),
        }
    }

    /// An environment of these variables alone, without a memory limit and with one CPU: for tests, and for
    /// judging a file apart from the machine.
    #[must_use]
    pub fn with_variables<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let variables = variables.into_iter().map(owned).collect();
        Self { variables, memory: None, cpus: NonZeroUsize::MIN, now: SystemTime::now() }
    }

    /// The value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    /// Names of variables alone: their values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        let mut fields = f.debug_struct("Environment");
        fields.field("variables", &names).field("memory", &self.memory);
        fields.field("cpus", &self.cpus).field("now", &self.now).finish()
    }
}
