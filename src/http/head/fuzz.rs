//! What a client that sends ahead must not do to the watch on its stream.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{MOST_AHEAD, Timed};
use crate::fuzz::peer::Peer;

/// How often an input is said: ahead of time there may be more than what is watched.
const TIMES: usize = 32;

/// Whoever watches and whoever reads by turns, every byte is read once and in order, and not many wait in between.
pub(crate) fn ahead(data: &[u8]) {
    let Some((&[piece, turns], rest)) = data.split_first_chunk() else { return };
    let (turns, said) = rest.split_at(usize::from(turns).min(rest.len()));
    let said = said.repeat(TIMES);
    let (mut timed, phase) = Timed::new(Peer::new(&said, usize::from(piece)).once(|_| true), Duration::ZERO);
    phase.begin();
    let mut cx = Context::from_waker(Waker::noop());
    let (mut read, mut has_ended) = (Vec::new(), false);
    for turn in turns {
        if *turn == 0 {
            has_ended |= timed.line().poll_ended(&mut cx).is_ready();
            continue;
        }
        let mut buffer = [0; u8::MAX as usize];
        let mut buf = ReadBuf::new(&mut buffer[..usize::from(*turn)]);
        assert!(Pin::new(&mut timed).poll_read(&mut cx, &mut buf).is_ready());
        read.extend(buf.filled());
    }
    let (peer, ahead) = timed.hand_over().unwrap();
    assert!(ahead.len() < MOST_AHEAD + 512);
    assert!(!has_ended || peer.rest().is_empty());
    assert_eq!([&read, &ahead, peer.rest()].concat(), said);
}
