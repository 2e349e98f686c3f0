//! What a server's messages must not do to the check, held to a second reading of the protocol's order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures_util::FutureExt;

use super::session::Session;
use crate::{
    config::{PostgresCheck, Target},
    fuzz::peer::Peer,
    gate::{Class, Failure},
};

/// Too long for a random nonce to hold it by chance.
const PASSWORD: &str = "hush, nobody knows";

/// What the client's nonce has in postgres-protocol.
const NONCE_BYTES: usize = 24;

/// It passes only where the server said so in the right order, however the stream was cut; the password is given only to
/// who asked for it, and the query only to who was ready.
pub(crate) fn answers(data: &[u8]) {
    let Some((&[flags, piece], told)) = data.split_first_chunk() else { return };
    let asked = asked(flags);
    let whole = ask(&asked, told, told.len());
    let in_pieces = ask(&asked, told, usize::from(piece));
    // A nonce is another each time, and comes too late for a server that has said all before it was asked.
    if !told.windows(2).any(|pair| pair == b"r=") {
        assert_eq!(whole, in_pieces, "in pieces of {piece}");
    }
    let passes = if asked.password.is_some() { answers_the_query(told) } else { starts(told) };
    for outcome in [whole, in_pieces] {
        match outcome {
            Ok(()) => assert!(passes, "it passes"),
            Err(Failure { class, .. }) => assert!(!passes || class != Class::Refused, "all was said"),
        }
    }
}

fn asked(flags: u8) -> PostgresCheck {
    let (user, database) = ("app".to_owned(), "shop".to_owned());
    PostgresCheck {
        target: Target { host: "localhost".to_owned(), port: 1, tls: None },
        prefer_tls: false,
        user,
        password: (flags & 1 != 0).then(|| PASSWORD.into()),
        database,
    }
}

fn ask(asked: &PostgresCheck, told: &[u8], piece: usize) -> Result<(), Failure> {
    let mut peer = Peer::new(told, piece).replying(repeat_the_nonce);
    let outcome = Session::new(&mut peer).run(asked).now_or_never().expect("nothing to wait for");
    let heard = |text: &str| peer.heard().windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!heard(PASSWORD) || messages(told).contains(&Message::AsksInTheClear), "nobody asked for the password");
    assert!(!heard("SELECT 1") || messages(told).contains(&Message::Ready), "nobody was ready");
    outcome
}

/// A server's part of a nonce must begin with the client's, which is another each time: it is put behind the first `r=`.
fn repeat_the_nonce(heard: &[u8], rest: &mut [u8]) {
    let behind = |bytes: &[u8]| Some(bytes.windows(2).position(|pair| pair == b"r=")? + 2);
    let (Some(from), Some(to)) = (behind(heard), behind(rest)) else { return };
    if let (Some(nonce), Some(place)) = (heard.get(from..from + NONCE_BYTES), rest.get_mut(to..to + NONCE_BYTES)) {
        place.copy_from_slice(nonce);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    AsksInTheClear,
    AsksOtherwise,
    Ready,
    Row,
    Error,
    Passing,
    Other,
}

/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>: a letter, and a length that counts itself.
fn messages(mut told: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((&[tag, a, b, c, d], rest)) = told.split_first_chunk() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((body, rest)) = length.checked_sub(4).and_then(|length| rest.split_at_checked(length)) else { break };
        told = rest;
        messages.push(match (tag, body) {
            (b'R', [0, 0, 0, 3, ..]) => Message::AsksInTheClear,
            (b'R', [0, 0, 0, 2 | 5 | 6 | 7 | 9 | 10, ..]) => Message::AsksOtherwise,
            (b'R', [0, 0, 0, 0, ..]) | (b'S' | b'K' | b'N', _) => Message::Passing,
            (b'Z', _) => Message::Ready,
            (b'D', _) => Message::Row,
            (b'E', _) => Message::Error,
            (_, _) => Message::Other,
        });
    }
    messages
}

/// It takes the session, or wants to know who asks.
fn starts(told: &[u8]) -> bool {
    let messages = messages(told);
    let first = messages.iter().find(|message| **message != Message::Passing);
    matches!(first, Some(Message::Ready | Message::AsksInTheClear | Message::AsksOtherwise))
}

/// It takes the session, and the last word before it is ready again is a row.
fn answers_the_query(told: &[u8]) -> bool {
    let messages = messages(told);
    let mut parts = messages.split_inclusive(|message| *message == Message::Ready);
    let is_ready = |part: &&[Message]| part.last() == Some(&Message::Ready);
    let takes = parts.next().filter(is_ready).is_some_and(|part| !part.contains(&Message::Error));
    let said = parts.next().filter(is_ready).unwrap_or_default();
    let word = said.iter().rfind(|message| matches!(message, Message::Row | Message::Error));
    takes && word == Some(&Message::Row)
}

#[cfg(test)]
#[test]
fn a_good_answer_passes() {
    let told = include_bytes!("../../../tests/corpus/postgres/passes");
    assert_eq!(ask(&asked(told[0]), &told[2..], told.len()), Ok(()));
}
