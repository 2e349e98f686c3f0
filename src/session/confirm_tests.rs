#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;
use crate::{
    config::OnTimeout,
    wire::close::{self, control},
};

const MOST: usize = 100;
const READY: &[u8] = br#"{"ready":true}"#;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

fn rule() -> Arc<Confirm> {
    Arc::new(Confirm {
        json: vec![("/ready".to_owned(), true.into())],
        text: None,
        timeout: Duration::from_secs(5),
        on_timeout: OnTimeout::Close,
        message_bytes: MOST,
    })
}

fn watch(extensions: &str) -> Watch {
    Watch::new(rule(), agreed(extensions.split(',').filter(|item| !item.is_empty())))
}

fn plain() -> Watch {
    watch("")
}

/// A frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let opcode = Opcode::from_bits(first);
    let fin = first & FIN != 0;
    Header { fin, rsv: first >> 4 & 7, opcode, mask: None, payload: payload.len() as u64 }.write(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(FIN | 1, payload)
}

/// A server's half of permessage-deflate.
struct Deflate(Compress);

impl Deflate {
    fn new() -> Self {
        Self(Compress::new(Compression::best(), false))
    }

    fn message(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 100);
        self.0.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().len());
        out
    }
}

/// The place behind the message that confirms, when it comes as a whole and when it comes byte by byte.
fn found(new: impl Fn() -> Watch, stream: &[u8]) -> Option<usize> {
    let whole = new().look(stream);
    let mut watch = new();
    let bytewise = (0..stream.len()).find(|at| watch.look(&stream[*at..=*at]) == Some(1)).map(|at| at + 1);
    assert_eq!(whole, bytewise, "whole and byte by byte differ");
    whole
}

#[test]
fn r11_the_message_that_confirms_is_found_behind_others_and_before_others() {
    let (others, ready) = ([text(b"hello"), text(br#"{"ready":false}"#)].concat(), text(READY));
    let stream = [others.clone(), ready.clone(), text(READY)].concat();
    assert_eq!(found(plain, &stream), Some(others.len() + ready.len()));
    assert_eq!(found(plain, &others), None);
}

#[test]
fn fragments_are_put_together_over_control_frames_between_them() {
    let ping = control(Opcode::Ping, READY, None);
    let stream =
        [frame(1, &READY[..3]), ping.clone(), frame(0, b""), frame(0, &READY[3..9]), ping, frame(FIN, &READY[9..])];
    assert_eq!(found(plain, &stream.concat()), Some(stream.concat().len()));
    assert_eq!(found(plain, &stream[..5].concat()), None, "the message is not whole");
}

#[test]
fn binary_messages_and_control_frames_never_confirm() {
    let stream = [frame(FIN | 2, READY), control(Opcode::Pong, READY, None), close::frame(1000, "x")].concat();
    assert_eq!(found(plain, &stream), None);
    assert_eq!(found(plain, &[frame(2, b""), frame(FIN, READY)].concat()), None);
}

#[test]
fn a_message_over_the_limit_never_confirms_and_the_next_one_does() {
    let long = [READY, &vec![b' '; MOST - READY.len() + 1]].concat();
    let just = [READY, &vec![b' '; MOST - READY.len()]].concat();
    let fragments = [frame(1, &just), frame(FIN, b" ")].concat();
    for too_long in [text(&long), fragments] {
        assert_eq!(found(plain, &too_long), None);
        assert!(found(plain, &[too_long, text(READY)].concat()).is_some());
    }
    assert!(found(plain, &text(&just)).is_some());
}

#[test]
fn what_breaks_rfc_6455_never_confirms() {
    let masked = control(Opcode::Text, READY, Some([0; 4]));
    let nested = [frame(1, b"a"), text(READY)].concat();
    for stream in [masked, nested, frame(FIN, READY), frame(FIN | RSV1 | 1, READY), frame(FIN | 0x20 | 1, READY)] {
        assert_eq!(found(plain, &stream), None, "{stream:?}");
    }
    let no_stream = [vec![0x81, 126, 0, 5], text(READY)].concat();
    assert_eq!(found(plain, &no_stream), None);
}

#[test]
fn compressed_messages_are_inflated_with_the_text_of_those_before_them() {
    let mut deflate = Deflate::new();
    let before = br#"{"type":"hello","ready":false}"#;
    let (first, binary) = (deflate.message(before), deflate.message(&vec![b'b'; 10 * MOST]));
    let second = deflate.message(READY);
    let alone = Deflate::new().message(READY);
    assert!(second.len() < alone.len(), "the second message refers to nothing");
    let stream =
        [frame(FIN | RSV1 | 1, &first), frame(FIN | RSV1 | 2, &binary), frame(FIN | RSV1 | 1, &second)].concat();
    assert_eq!(found(|| watch("permessage-deflate; client_max_window_bits=12"), &stream), Some(stream.len()));
}

#[test]
fn without_context_takeover_each_message_stands_alone() {
    let one = |text: &[u8]| frame(FIN | RSV1 | 1, &Deflate::new().message(text));
    let stream = [one(br#"{"ready":false}"#), one(READY)].concat();
    let new = || watch("permessage-deflate; server_no_context_takeover");
    assert_eq!(found(new, &stream), Some(stream.len()));
}

#[test]
fn compressed_fragments_and_uncompressed_messages_between_compressed_ones_are_understood() {
    let mut deflate = Deflate::new();
    let (first, second) = (deflate.message(b"hello hello hello"), deflate.message(READY));
    let (head, tail) = second.split_at(4);
    let stream = [
        frame(FIN | RSV1 | 1, &first),
        text(b"not compressed"),
        frame(RSV1 | 1, head),
        control(Opcode::Ping, b"", None),
        frame(FIN, tail),
    ]
    .concat();
    assert_eq!(found(|| watch("permessage-deflate"), &stream), Some(stream.len()));
    assert!(found(|| watch("permessage-deflate"), &text(READY)).is_some());
}

#[test]
fn after_a_message_that_cannot_be_inflated_compressed_ones_never_confirm() {
    let stream = [frame(FIN | RSV1 | 1, &[0xff; 20]), frame(FIN | RSV1 | 1, &Deflate::new().message(READY))].concat();
    assert_eq!(found(|| watch("permessage-deflate"), &stream), None);
    assert!(found(|| watch("permessage-deflate"), &[stream, text(READY)].concat()).is_some());
}

#[test]
fn a_small_message_that_inflates_to_a_large_one_is_kept_to_the_limit() {
    let huge = Deflate::new().message(&vec![b' '; 8 << 20]);
    assert!(huge.len() < 16 << 10);
    let mut watch = watch("permessage-deflate");
    let bytes = frame(RSV1 | 1, &huge);
    assert_eq!(watch.look(&bytes), None);
    assert_eq!(watch.message.unwrap().text.capacity(), 0);
}

#[test]
fn other_extensions_and_deflate_beside_them_are_not_understood() {
    let compressed = frame(FIN | RSV1 | 1, &Deflate::new().message(READY));
    for extensions in ["", "x-own", "permessage-deflate,x-own"] {
        assert_eq!(found(|| watch(extensions), &compressed), None, "{extensions}");
        assert!(found(|| watch(extensions), &text(READY)).is_some(), "{extensions}");
    }
}

#[test]
fn the_code_of_the_close_is_remembered_if_it_is_one() {
    for (bytes, code) in
        [(close::frame(4401, "who"), Some(4401)), (close::frame(1005, ""), None), (vec![0x88, 0], None)]
    {
        let (mut whole, mut bytewise) = (plain(), plain());
        assert_eq!(whole.look(&bytes), None);
        bytes.iter().for_each(|byte| assert_eq!(bytewise.look(&[*byte]), None));
        assert_eq!((whole.close_code(), bytewise.close_code()), (code, code), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), deflate in any::<bool>()) {
        let mut watch = watch(if deflate { "permessage-deflate" } else { "" });
        let end = watch.look(&bytes);
        prop_assert!(end.is_none_or(|end| end <= bytes.len()));
    }
}
