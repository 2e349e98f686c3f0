//! What an upstream's bytes must not do to the wait for its confirmation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

pub(crate) use super::confirm::fuzz::messages;
use super::confirm::{Watch, agreed};
use crate::config::{Confirm, OnTimeout};

/// Messages up to this are looked at.
const MESSAGE_BYTES: usize = 64;

/// Where the confirmation ends does not depend on how the stream was cut.
pub(crate) fn confirmation(data: &[u8]) {
    let Some((&[flags, piece], stream)) = data.split_first_chunk() else { return };
    let rule = Arc::new(Confirm {
        json: if flags & 1 == 0 { Vec::new() } else { vec![("/ready".to_owned(), true.into())] },
        text: (flags & 2 == 0).then(|| "ready".to_owned()),
        timeout: Duration::from_secs(1),
        on_timeout: OnTimeout::Close,
        message_bytes: MESSAGE_BYTES,
    });
    let extensions = ["permessage-deflate", "permessage-deflate; server_no_context_takeover"];
    let extension = (flags & 4 != 0).then(|| extensions[usize::from(flags >> 3 & 1)]);
    let watch = || Watch::new(Arc::clone(&rule), agreed(extension.into_iter()));
    let whole = look(watch(), stream, stream.len().max(1));
    for length in [1, usize::from(piece).max(1)] {
        assert_eq!(whole, look(watch(), stream, length), "in pieces of {length}");
    }
}

/// Where it is confirmed, whether it ends between two messages, and the code of the Close.
fn look(mut watch: Watch, stream: &[u8], length: usize) -> (Option<usize>, bool, Option<u16>) {
    let mut before = 0;
    for piece in stream.chunks(length) {
        if let Some(end) = watch.look(piece) {
            return (Some(before + end), watch.is_between_messages(), watch.close_code());
        }
        before += piece.len();
    }
    (None, watch.is_between_messages(), watch.close_code())
}
