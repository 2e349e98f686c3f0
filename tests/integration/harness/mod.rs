//! What the tests are written in: a readygate (in this process or as one of its own), raw clients, scripted upstreams,
//! and the programs of `tests/race` and `tests/clients`. Every wait has an end, and says what it waited for.

pub(crate) mod frame;
pub(crate) mod gate;
pub(crate) mod head;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod raw;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::{future::Future, time::Duration};

use tokio::time::{Instant, interval, timeout};

/// No step of a test takes this long on a machine that is merely busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at a condition that nothing announces.
const LOOK: Duration = Duration::from_millis(2);

/// What `future` gives, or a failure that names `what` was waited for.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks until `look` finds what it looks for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let (mut ticks, end) = (interval(LOOK), Instant::now() + PATIENCE);
    while Instant::now() < end {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
    }
    panic!("{what}: not within {PATIENCE:?}")
}
