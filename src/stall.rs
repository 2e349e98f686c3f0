//! Timers of a process that can be stopped, as Cloud Run stops it between requests.
//!
//! A process that goes on after SIGSTOP, or after a while without CPU, may turn to its timers before it has looked at
//! what came meanwhile: a stopped `epoll_wait` ends without events. So a timer that is late says nothing about the other
//! side, which is given a moment more, in which its bytes are read.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// A timer that is later than this was not late by load: five periods of a CPU quota (100 ms, `cpu.max` of control
/// groups).
pub const STALL: Duration = Duration::from_millis(500);

/// The moment more: to read what waits in a socket, and for a backend that was stopped too to answer.
pub const MOMENT: Duration = Duration::from_secs(1);

/// Whether the process was stopped when something was due: `now`, it is too late for anything else.
#[must_use]
pub fn was_stopped(due: Instant, now: Instant) -> bool {
    now.saturating_duration_since(due) > STALL
}

/// Ready once `timer` has expired and was not late. One that was late is set anew.
pub fn poll_expired(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        if !was_stopped(timer.deadline(), now) {
            return Poll::Ready(());
        }
        timer.as_mut().reset(now + MOMENT);
    }
}

/// What `future` gives, if it does within `time`.
pub async fn timeout<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut timer) = (pin!(future), pin!(sleep(time)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => poll_expired(timer.as_mut(), cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::poll;
    use tokio::{sync::oneshot, time::advance};

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn whoever_is_silent_in_a_running_process_has_the_time_and_no_more() {
        let start = Instant::now();
        assert_eq!(timeout(TIME, pending::<()>()).await, None);
        assert_eq!(start.elapsed().as_secs(), TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_right_after_a_stop_is_in_time() {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = pin!(timeout(TIME, receiver));
        assert!(poll!(&mut waiting).is_pending());
        advance(TIME * 6).await;
        assert!(poll!(&mut waiting).is_pending(), "the stop was taken for silence");
        assert_eq!(sender.send("here"), Ok(()));
        assert_eq!(waiting.await, Some(Ok("here")));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_silent_after_a_stop_too_has_a_moment_and_no_more() {
        let start = Instant::now();
        let mut waiting = pin!(timeout(TIME, pending::<()>()));
        assert!(poll!(&mut waiting).is_pending());
        advance(TIME * 6).await;
        assert_eq!(waiting.await, None);
        assert_eq!(start.elapsed().as_secs(), (TIME * 6 + MOMENT).as_secs());
    }
}
