//! Open files enough for every client. The usual limit of 1024 is a soft one, made for programs that use `select`.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Client and backend of the one column; client, both sides of the gate and backend of the other.
const FOR_EACH_CLIENT: u64 = 6;

/// For everything else: listeners, checks, the runtime, standard streams.
const FOR_THE_REST: u64 = 64;

/// Raises this process's soft limit as far as so many clients need.
///
/// # Errors
/// The hard limit is lower.
pub(super) fn raise(clients: usize) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let needed = FOR_EACH_CLIENT * u64::try_from(clients).unwrap_or(u64::MAX / FOR_EACH_CLIENT) + FOR_THE_REST;
    if is_within(needed, limit.current) {
        return Ok(());
    }
    if !is_within(needed, limit.maximum) {
        return Err(io::Error::other(refusal(clients, needed, limit.maximum)));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit }).map_err(io::Error::from)
}

/// None is no limit.
fn is_within(needed: u64, limit: Option<u64>) -> bool {
    limit.is_none_or(|limit| needed <= limit)
}

fn refusal(clients: usize, needed: u64, limit: Option<u64>) -> String {
    let limit = limit.unwrap_or(u64::MAX);
    let fit = limit.saturating_sub(FOR_THE_REST) / FOR_EACH_CLIENT;
    format!("{clients} clients need {needed} open files, and this process may have {limit}: try --clients {fit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_refused_with_a_number_of_clients_that_fits() {
        assert!(is_within(1024, Some(1024)) && is_within(u64::MAX, None) && !is_within(1025, Some(1024)));
        let expected = "200 clients need 1264 open files, and this process may have 1024: try --clients 160";
        assert_eq!(refusal(200, 1264, Some(1024)), expected);
    }
}
