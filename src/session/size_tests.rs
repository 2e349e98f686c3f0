//! What a session keeps while it does nothing, as far as the compiler decides it; `cargo bench --bench peers -- memory` measures
//! the rest: sockets, the allocator's own, and what handshakes leave behind.

use std::{fmt::Debug, future::Ready};

use bytes::Bytes;

use super::{
    client::Client,
    drive::{lead, run},
    passage::Passage,
    registry::KEPT,
    steps::turn,
};
use crate::{dial::Stream, upstream::Backend};

/// Ten thousand sessions that wait are to take less than 60 MiB, and two fifths of that would be better. Of the 4 KiB that each
/// has then, half are for the socket, the task, the timer, the place in the line, frames and headers of 350 bytes each, and what
/// the allocator adds.
const MOST_HELD: usize = 2048;

/// Five thousand open ones are to take less than 12.5 MiB. Of 2.5 KiB each, sockets, task, timeline and what the allocator
/// adds take the rest, and a fifth is left for what handshakes leave behind.
const MOST_OPEN: usize = 800;

/// tokio aligns a task to 128 bytes, and has 112 of its own in it. One byte more, and every session takes 128 more.
const MOST_TASK: usize = 256 - 112;

type Upgrade = Ready<Option<(Stream, Bytes)>>;

fn made<A, B, F>(_: fn(A, B) -> F) -> usize {
    size_of::<F>()
}

fn run_makes<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

fn assert_within(parts: impl IntoIterator<Item = usize> + Debug, most: usize) {
    let said = format!("{parts:?}");
    let sum: usize = parts.into_iter().sum();
    assert!(sum <= most, "{said} are {sum} bytes, {most} allowed");
}

#[test]
fn a_session_that_waits_keeps_little() {
    let parts = [made(lead::<Stream, Backend>), made(turn), size_of::<Client<Stream>>(), KEPT];
    assert_within(parts, MOST_HELD);
}

#[test]
fn an_open_session_keeps_little() {
    assert_within([size_of::<Passage<Stream, Backend>>(), KEPT], MOST_OPEN);
}

#[test]
fn the_task_of_a_session_fits_where_tokio_would_else_take_a_half_more() {
    assert_within([run_makes(run::<Stream, Backend, Upgrade>)], MOST_TASK);
}
