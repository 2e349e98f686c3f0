//! What an upstream's messages must not do to the wait for its confirmation, however they are framed. PURE.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use flate2::{Compress, Compression, FlushCompress};
use serde_json::Value;

use super::{Watch, agreed, inflate::TAIL};
use crate::{
    config::{Confirm, OnTimeout},
    wire::header::{Header, Opcode, apply_mask},
};

/// Longest message that is compared; a small one, so that inputs reach beyond it.
const MESSAGE_BYTES: usize = 200;

/// Longest message that is sent: many times what may be kept of it.
const BOMB_BYTES: usize = 64 << 10;

/// How one message is sent.
#[derive(Clone, Copy)]
struct Form {
    is_text: bool,
    is_compressed: bool,
    is_masked: bool,
    has_pings: bool,
    fragment: usize,
}

/// The message that confirms is the first that is text, short enough and as asked for, however they are compressed, cut
/// into fragments and put between pings; and what is kept of one is never longer than what may confirm.
pub(crate) fn messages(data: &[u8]) {
    let Some((&[flags, piece], mut rest)) = data.split_first_chunk() else { return };
    let rule = rule(flags);
    let is_deflating = flags & 4 != 0;
    let extension =
        ["permessage-deflate", "permessage-deflate; server_no_context_takeover"][usize::from(flags >> 3 & 1)];
    let mut compress = Compress::new(Compression::fast(), false);
    let (mut stream, mut confirmed) = (Vec::new(), None);
    while let Some((&[form, length, times], behind)) = rest.split_first_chunk() {
        let (payload, behind) = behind.split_at(usize::from(length).min(behind.len()));
        rest = behind;
        let payload = payload.repeat((1 << (times & 15)).min(BOMB_BYTES / payload.len().max(1)));
        let form = Form::from_bits(form, is_deflating);
        write(&mut stream, form, &payload, &mut compress);
        if flags & 8 != 0 {
            compress.reset();
        }
        let is_one = form.is_text && !form.is_masked && payload.len() <= MESSAGE_BYTES && by_hand(flags, &payload);
        confirmed = confirmed.or(is_one.then_some(stream.len()));
    }
    let extensions = is_deflating.then_some(extension).into_iter();
    assert_eq!(look(Watch::new(rule, agreed(extensions)), &stream, usize::from(piece)), confirmed);
}

fn rule(flags: u8) -> Arc<Confirm> {
    let pointer = if flags & 16 == 0 { "/ready" } else { "/a~1b/1" };
    Arc::new(Confirm {
        json: if flags & 1 == 0 { Vec::new() } else { vec![(pointer.to_owned(), true.into())] },
        text: (flags & 2 == 0).then(|| "ready".to_owned()),
        timeout: Duration::from_secs(1),
        on_timeout: OnTimeout::Close,
        message_bytes: MESSAGE_BYTES,
    })
}

fn by_hand(flags: u8, payload: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(payload) else { return false };
    if flags & 2 == 0 && !text.contains("ready") {
        return false;
    }
    let document: Option<Value> = serde_json::from_str(text).ok();
    let found = document.as_ref().and_then(|document| match flags & 16 {
        0 => document.get("ready"),
        _ => document.get("a/b")?.get(1),
    });
    flags & 1 == 0 || found == Some(&Value::Bool(true))
}

impl Form {
    fn from_bits(bits: u8, is_deflating: bool) -> Self {
        let fragment = [usize::MAX, 1, 7, 1000][usize::from(bits >> 4 & 3)];
        // A server must not mask: what it deflates besides is nothing that others may refer to.
        let is_masked = bits & 4 != 0;
        Self {
            is_text: bits & 1 == 0,
            is_compressed: is_deflating && !is_masked && bits & 2 != 0,
            is_masked,
            has_pings: bits & 8 != 0,
            fragment,
        }
    }
}

fn write(stream: &mut Vec<u8>, form: Form, payload: &[u8], compress: &mut Compress) {
    let payload = if form.is_compressed { deflate(payload, compress) } else { payload.to_vec() };
    let pieces = payload.len().div_ceil(form.fragment).max(1);
    for at in 0..pieces {
        let start = at * form.fragment.min(payload.len());
        let piece = &payload[start..payload.len().min(start.saturating_add(form.fragment))];
        let opcode = match at {
            0 if form.is_text => Opcode::Text,
            0 => Opcode::Binary,
            _ => Opcode::Continuation,
        };
        let rsv = if form.is_compressed && at == 0 { 4 } else { 0 };
        frame(stream, Header { fin: at + 1 == pieces, rsv, opcode, mask: None, payload: 0 }, form.is_masked, piece);
        if form.has_pings && at + 1 < pieces {
            let ping = Header { fin: true, rsv: 0, opcode: Opcode::Ping, mask: None, payload: 0 };
            frame(stream, ping, false, b"ready");
        }
    }
}

fn frame(stream: &mut Vec<u8>, header: Header, is_masked: bool, payload: &[u8]) {
    let mask = is_masked.then_some([1, 2, 3, 4]);
    Header { mask, payload: payload.len() as u64, ..header }.write(stream);
    let start = stream.len();
    stream.extend(payload);
    apply_mask(&mut stream[start..], mask.unwrap_or_default(), 0);
}

/// As RFC 7692 §7.2.1 has it; of nothing, an empty block (§7.2.3.6).
fn deflate(payload: &[u8], compress: &mut Compress) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() * 2 + 64);
    compress.compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    match out.strip_suffix(&TAIL) {
        Some(deflated) => deflated.to_vec(),
        None => vec![0],
    }
}

fn look(mut watch: Watch, stream: &[u8], length: usize) -> Option<usize> {
    let mut before = 0;
    for piece in stream.chunks(length.max(1)) {
        let found = watch.look(piece);
        let kept = watch.message.as_ref().map_or(0, |message| message.text.capacity());
        assert!(kept <= 2 * MESSAGE_BYTES, "{kept} bytes are kept");
        if let Some(end) = found {
            return Some(before + end);
        }
        before += piece.len();
    }
    None
}
