//! What a server's answer must not do to the check.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use super::Http;
use crate::{
    config::{HttpCheck, Target},
    fuzz::peer::Peer,
    gate::Failure,
    probe::fuzz::told_apart,
};

/// What follows the answer of a server that does not know when to stop: more than a head and a body may have together.
const FLOOD: usize = 1 << 20;

/// The flags of which one lets it flow; few of all inputs, for it takes its time.
const FLOODS: u8 = 0xf8;

/// It passes only where the answer has the status and the words that were asked for, however the stream was cut, and an
/// endless answer is not read to its end.
pub(crate) fn answers(data: &[u8]) {
    let Some((&[flags, piece], told)) = data.split_first_chunk() else { return };
    let asked = asked(flags);
    let probe = Http::new(&asked, Duration::from_secs(1)).unwrap();
    let flood = if flags & FLOODS == 8 { FLOOD } else { 0 };
    let stream = [told, &vec![b'x'; flood]].concat();
    let whole = ask(&probe, &stream, stream.len());
    let in_pieces = ask(&probe, &stream, usize::from(piece).max(flood >> 8));
    assert_eq!(told_apart(&whole), told_apart(&in_pieces), "in pieces of {piece}");
    assert!(whole.is_err() || is_asked_for(&asked, &String::from_utf8_lossy(told)), "it passes");
}

fn asked(flags: u8) -> HttpCheck {
    let (status, headers) = (if flags & 1 == 0 { Vec::new() } else { vec![200, 503] }, Vec::new());
    let json = if flags & 2 == 0 { Vec::new() } else { vec![("/ready".to_owned(), true.into())] };
    let text = (flags & 4 != 0).then(|| "warm".to_owned());
    let target = Target { host: "localhost".to_owned(), port: 1, tls: None };
    HttpCheck { target, path: "/".to_owned(), status, json, text, headers }
}

fn ask(probe: &Http, stream: &[u8], piece: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut peer = Peer::new(stream, piece);
    let outcome = runtime.block_on(probe.converse(&mut peer));
    assert!(peer.taken() < FLOOD);
    outcome
}

/// As far as that can be told without taking the answer apart: a chunk may end inside of a word.
fn is_asked_for(asked: &HttpCheck, told: &str) -> bool {
    let mut statuses = told.lines().filter_map(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
    let is_wanted = |status: &u16| match asked.status.as_slice() {
        [] => (200..300).contains(status),
        listed => listed.contains(status),
    };
    let is_chunked = told.to_ascii_lowercase().contains("chunked");
    let has = |word: &str| is_chunked || told.contains(word);
    statuses.any(|status| is_wanted(&status))
        && (asked.text.is_none() || has("warm"))
        && (asked.json.is_empty() || has("true"))
}

#[cfg(test)]
#[test]
fn a_good_answer_passes() {
    let told = include_bytes!("../../../tests/corpus/http/both");
    let asked = asked(told[0]);
    let probe = Http::new(&asked, Duration::from_secs(1)).unwrap();
    assert_eq!(ask(&probe, &told[2..], told.len()), Ok(()));
}
