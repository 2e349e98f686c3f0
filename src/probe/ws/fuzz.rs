//! What a backend's frames must not do to the check.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use tungstenite::handshake::derive_accept_key;

use super::{PING, Ws};
use crate::{
    config::{HttpCheck, Target},
    fuzz::peer::Peer,
    gate::Failure,
    probe::fuzz::told_apart,
    wire::header::{Header, Opcode},
};

/// More than 64 reads of less make a handshake an attack to the library.
const LEAST_PIECE: usize = 10;

/// It passes only where a pong brings back what the ping held, however the stream was cut.
pub(crate) fn answers(data: &[u8]) {
    let Some((&piece, told)) = data.split_first() else { return };
    let probe = probe();
    let whole = ask(&probe, told, told.len());
    let in_pieces = ask(&probe, told, usize::from(piece).max(LEAST_PIECE));
    assert_eq!(told_apart(&whole), told_apart(&in_pieces), "in pieces of {piece}");
    assert!(whole.is_err() || brings_a_pong(told), "it passes");
}

fn probe() -> Ws {
    let target = Target { host: "localhost".to_owned(), port: 1, tls: None };
    let (path, status, json, headers) = ("/".to_owned(), Vec::new(), Vec::new(), Vec::new());
    Ws::new(&HttpCheck { target, path, status, json, text: None, headers }, Duration::from_secs(1)).unwrap()
}

fn ask(probe: &Ws, told: &[u8], piece: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(probe.converse(Peer::new(told, piece).replying(accept)))
}

/// The key is another each time: what it asks for is put behind the header's name.
fn accept(heard: &[u8], rest: &mut [u8]) {
    let behind = |bytes: &[u8], name: &str| {
        let is_name = |part: &[u8]| part.eq_ignore_ascii_case(name.as_bytes());
        Some(bytes.windows(name.len()).position(is_name)? + name.len())
    };
    let (Some(key), Some(to)) = (behind(heard, "sec-websocket-key: "), behind(rest, "sec-websocket-accept: ")) else {
        return;
    };
    let answer = derive_accept_key(&heard[key..key + 24]);
    if let Some(place) = rest.get_mut(to..to + answer.len()) {
        place.copy_from_slice(answer.as_bytes());
    }
}

/// Behind one of the places where a head may end.
fn brings_a_pong(told: &[u8]) -> bool {
    (0..told.len()).filter(|at| told[..*at].ends_with(b"\n\r\n") || told[..*at].ends_with(b"\n\n")).any(|start| {
        let mut frames = &told[start..];
        while let Ok(Some((header, length))) = Header::parse(frames) {
            let end = usize::try_from(header.payload).unwrap().saturating_add(length);
            let Some(payload) = frames.get(length..end) else { return false };
            if header.opcode == Opcode::Pong && payload == PING {
                return true;
            }
            frames = &frames[end..];
        }
        false
    })
}

#[cfg(test)]
#[test]
fn a_good_answer_passes() {
    let told = include_bytes!("../../../tests/corpus/ws/pong");
    let probe = probe();
    assert_eq!(ask(&probe, &told[1..], told.len()), Ok(()));
}
