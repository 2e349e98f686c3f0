//! What a backend's answer must not do to the handshake, held to a second reading of its last head.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Answer, Fault, shake_hands};
use crate::fuzz::peer::Peer;

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What came of it; of a tunnel all that the backend said after its head.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Tunnel(Vec<u8>),
    Declined(u16),
    /// In our words; a library's are left out, for it may see another fault first where the answer comes in pieces.
    Fault(Option<Fault>),
}

/// A tunnel opens only behind a 101 that is whole and ours, and not a byte behind it is lost, however the answer was cut.
pub(crate) fn answer(data: &[u8]) {
    let Some((&piece, told)) = data.split_first() else { return };
    let whole = ask(told, told.len());
    assert_eq!(whole, ask(told, usize::from(piece)), "in pieces of {piece}");
    match whole {
        Outcome::Tunnel(rest) => {
            let head = told.strip_suffix(rest.as_slice()).expect("what is read is the end of what was said");
            assert!(is_good(head), "{:?} opens a tunnel", String::from_utf8_lossy(head));
        }
        Outcome::Declined(status) => assert_ne!(status, 101),
        Outcome::Fault(_) => {}
    }
}

fn ask(told: &[u8], piece: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(shake_hands(Peer::new(told, piece), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", ACCEPT)) {
        Ok(Answer::Joined(joined)) => Outcome::Tunnel([&joined.early, joined.stream.rest()].concat()),
        Ok(Answer::Declined(response)) => Outcome::Declined(response.status().as_u16()),
        Err(Fault::Handshake(words)) if !words.starts_with("101 ") => Outcome::Fault(None),
        Err(fault) => Outcome::Fault(Some(fault)),
    }
}

/// RFC 6455 §4.1, of the last of the heads.
fn is_good(heads: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heads).replace('\r', "");
    let Some(all) = text.strip_suffix("\n\n") else { return false };
    let mut lines = all.rsplit("\n\n").next().unwrap_or(all).trim_start_matches('\n').lines();
    let status = lines.next().unwrap_or_default();
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect()
    };
    let names = |name: &str, token: &str| {
        values(name).iter().any(|line| line.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
    };
    status.starts_with("HTTP/1.1 101")
        && names("upgrade", "websocket")
        && names("connection", "upgrade")
        && values("sec-websocket-accept") == [ACCEPT]
}

#[cfg(test)]
#[test]
fn a_good_answer_opens_a_tunnel() {
    let told = include_bytes!("../../tests/corpus/answer/early-frame");
    assert_eq!(ask(&told[1..], told.len()), Outcome::Tunnel(b"\x81\x05hello".to_vec()));
}
