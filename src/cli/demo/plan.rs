//! Who comes when, and by when all must be over: the same for both columns.

use std::time::Duration;

/// The part of the start in which nothing listens: long enough to be seen, and long enough for clients to meet it.
const SILENT_PART: f64 = 1.0 / 3.0;

/// Clients arrive during this part of the start, so that all of them come too early, and the last by a clear margin.
const ARRIVING_PART: f64 = 0.9;

/// A client sends for so long, as a part of the start: the last clients begin too early and end in time, which shows
/// that the backend does answer once it is ready.
const SENDING_PART: f64 = 0.5;

/// Beyond the last planned message, until the whole demo is stopped whatever its state: the gate opens within 100 ms of
/// the backend, the rest is for a machine that has other things to do.
const SPARE: Duration = Duration::from_secs(20);

/// And so much for each message: several times what a debug build takes.
const SPARE_EACH: Duration = Duration::from_micros(100);

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) frames: usize,
    pub(super) delay: Duration,
}

impl Plan {
    /// From the start until the backend listens.
    pub(super) fn listening(&self) -> Duration {
        self.delay.mul_f64(SILENT_PART)
    }

    /// From the start until client `number` (from 0) connects.
    pub(super) fn arrival(&self, number: usize) -> Duration {
        self.delay.mul_f64(ARRIVING_PART * part(number, self.clients))
    }

    /// From a client's connection until it sends message `number` (from 0).
    pub(super) fn sending(&self, number: usize) -> Duration {
        self.delay.mul_f64(SENDING_PART * part(number, self.frames))
    }

    /// From the start until everything is stopped.
    pub(super) fn limit(&self) -> Duration {
        let each = u32::try_from(2 * self.messages()).unwrap_or(u32::MAX);
        self.delay.mul_f64(ARRIVING_PART + SENDING_PART) + SPARE + SPARE_EACH.saturating_mul(each)
    }

    /// Messages of all clients of a column.
    pub(super) fn messages(&self) -> usize {
        self.clients * self.frames
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
fn part(number: usize, of: usize) -> f64 {
    number as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { clients: 10, frames: 5, delay: Duration::from_secs(3) };

    #[test]
    fn the_first_client_meets_no_listener_and_the_last_an_unready_backend() {
        assert!(PLAN.arrival(0) < PLAN.listening());
        assert!(PLAN.arrival(9) > PLAN.listening() && PLAN.arrival(9) < PLAN.delay);
    }

    #[test]
    fn the_last_client_sends_its_first_message_too_early_and_its_last_in_time() {
        assert!(PLAN.arrival(9) + PLAN.sending(0) < PLAN.delay);
        assert!(PLAN.arrival(9) + PLAN.sending(4) > PLAN.delay);
    }

    #[test]
    fn without_a_delay_all_come_at_once() {
        let plan = Plan { delay: Duration::ZERO, ..PLAN };
        assert_eq!((plan.arrival(9), plan.sending(4), plan.listening()), Default::default());
    }
}
