//! What a server's frames must not do to the check, held to a second reading of HTTP/2 and of the answer in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use super::Grpc;
use crate::{
    config::{GrpcCheck, Target},
    fuzz::peer::Peer,
    gate::Failure,
};

const SERVICE: &str = "a.Service";

/// Bytes before a message (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const PREFIX: usize = 5;

/// It passes only where the answer's bytes say SERVING, however the stream was cut.
pub(crate) fn answers(data: &[u8]) {
    let Some((&piece, told)) = data.split_first() else { return };
    let probe = probe();
    let whole = ask(&probe, told, told.len());
    let in_pieces = ask(&probe, told, usize::from(piece));
    assert_eq!(whole.as_ref().map_err(|failure| failure.class), in_pieces.as_ref().map_err(|failure| failure.class));
    assert!(whole.is_err() || is_serving(&body(told)), "it passes");
}

fn probe() -> Grpc {
    let target = Target { host: "localhost".to_owned(), port: 1, tls: None };
    let asked = GrpcCheck { target, service: SERVICE.to_owned() };
    Grpc::new(&asked, Duration::from_secs(1)).unwrap()
}

fn ask(probe: &Grpc, told: &[u8], piece: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(probe.converse(Peer::new(told, piece).once(is_asked)))
}

/// An answer to nothing breaks HTTP/2.
fn is_asked(heard: &[u8]) -> bool {
    heard.windows(SERVICE.len()).any(|part| part == SERVICE.as_bytes())
}

/// What the DATA frames of the first stream hold (RFC 9113 §4.1 and §6.1).
fn body(mut told: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some((&[a, b, c, kind, flags, stream @ ..], rest)) = told.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some((mut payload, rest)) = rest.split_at_checked(length) else { break };
        told = rest;
        if kind != 0 || u32::from_be_bytes(stream) & 0x7fff_ffff != 1 {
            continue;
        }
        if flags & 8 != 0 {
            let Some((padding, padded)) = payload.split_first() else { continue };
            payload = &padded[..padded.len().saturating_sub(usize::from(*padding))];
        }
        body.extend(payload);
    }
    body
}

/// The first message's last `status` (field 1) is 1; fields of other types and numbers are passed over.
fn is_serving(body: &[u8]) -> bool {
    let Some((&[0, a, b, c, d], rest)) = body.split_first_chunk::<PREFIX>() else { return false };
    let Some(mut message) = rest.get(..u32::from_be_bytes([a, b, c, d]) as usize) else { return false };
    let mut status = 0;
    while !message.is_empty() {
        let Some(key) = varint(&mut message) else { return false };
        let length = match key & 7 {
            0 => {
                let Some(value) = varint(&mut message) else { return false };
                if key == 8 {
                    status = value & 0xffff_ffff;
                }
                0
            }
            1 => 8,
            2 => varint(&mut message).unwrap_or(u64::MAX),
            5 => 4,
            // Groups may hold anything; nobody has sent one for years.
            _ => return true,
        };
        let Some(rest) = message.get(usize::try_from(length).unwrap()..) else { return false };
        message = rest;
    }
    status == 1
}

/// <https://protobuf.dev/programming-guides/encoding/#varints>
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[test]
fn a_good_answer_passes() {
    let told = include_bytes!("../../../tests/corpus/grpc/serving");
    let probe = probe();
    assert_eq!(ask(&probe, &told[1..], told.len()), Ok(()));
}
