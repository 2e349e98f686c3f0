//! Open files. The usual soft limit of 1024 was made for programs that use `select`; every session needs two.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of this process to its hard one, and returns that; none means no limit.
///
/// # Errors
/// The kernel does not let it.
pub fn raise() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn afterwards_the_soft_limit_is_the_hard_one() {
        let most = raise().unwrap();
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: most, maximum: most });
    }
}
