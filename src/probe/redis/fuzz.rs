//! What a server's answers must not do to the check, held to a second reading of RESP 2.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures_util::FutureExt;

use super::{ANSWER_LIMIT, Redis, Step};
use crate::{
    config::{RedisCheck, Target},
    fuzz::peer::Peer,
    gate::{Class, Failure},
};

const PASSWORD: &str = "hush";

/// What follows the answers of a server that does not know when to stop.
const FLOOD: usize = 4 * ANSWER_LIMIT as usize;

/// It passes exactly where every answer is the one that was asked for, however the stream was cut; an endless answer is
/// not read to its end, and no answer to AUTH shows the password.
pub(crate) fn answers(data: &[u8]) {
    let Some((&[flags, piece], told)) = data.split_first_chunk() else { return };
    let asked = RedisCheck {
        target: Target { host: "localhost".to_owned(), port: 1, tls: None },
        user: (flags & 1 != 0).then(|| "app".to_owned()),
        password: (flags & 2 != 0).then(|| PASSWORD.into()),
        db: i64::from(flags & 4),
        primary: flags & 8 != 0,
    };
    let probe = Redis::new(&asked, std::time::Duration::from_secs(1)).unwrap();
    let flood = if flags & 0xf0 == 16 { FLOOD } else { 0 };
    let stream = [told, &vec![b'x'; flood]].concat();
    let whole = ask(&probe, &stream, stream.len());
    let in_pieces = ask(&probe, &stream, usize::from(piece));
    if told.first().is_some_and(|kind| !b"+-:$*_#,(!=%~>|".contains(kind)) {
        assert_eq!((&whole, whole.clone().map_err(|failure| failure.class)), (&in_pieces, Err(Class::Protocol)));
    }
    match by_hand(&probe.steps(), told) {
        Some(passes) => {
            assert_eq!((whole.is_ok(), in_pieces.is_ok()), (passes, passes), "in pieces of {piece}: {whole:?}")
        }
        // The parser passes over a strange byte inside an answer, if that byte comes alone.
        None => assert!(whole.is_err() || told.windows(7).any(|line| line == b"+PONG\r\n")),
    }
    let is_refused = flags & 2 != 0 && told.starts_with(b"-");
    assert!(!is_refused || whole.is_err_and(|failure| !failure.reason.contains(PASSWORD)), "the password is shown");
}

fn ask(probe: &Redis, stream: &[u8], piece: usize) -> Result<(), Failure> {
    let mut peer = Peer::new(stream, piece);
    let outcome = probe.exchange(&mut peer).now_or_never().expect("nothing to wait for");
    assert!(peer.taken() as u64 <= ANSWER_LIMIT + 1);
    outcome
}

/// None where the answers are not RESP 2 throughout.
fn by_hand(steps: &[Step], mut told: &[u8]) -> Option<bool> {
    for step in steps {
        let Some(value) = Value::read(&mut told, 0)? else { return Some(false) };
        let is_good = match (step, value) {
            (_, Value::Error) => false,
            (Step::Auth | Step::Select, _) => true,
            (Step::Ping, value) => value == Value::Line(b"PONG"),
            (Step::Role, Value::List(items)) => items.first() == Some(&Value::Bulk(b"master")),
            (Step::Role, Value::Line(_) | Value::Bulk(_) | Value::Null) => false,
        };
        if !is_good {
            return Some(false);
        }
    }
    Some(true)
}

#[derive(Debug, PartialEq, Eq)]
enum Value<'t> {
    Line(&'t [u8]),
    Error,
    Bulk(&'t [u8]),
    Null,
    List(Vec<Self>),
}

impl<'t> Value<'t> {
    /// The outer none: not RESP 2. The inner: not whole.
    fn read(told: &mut &'t [u8], level: usize) -> Option<Option<Self>> {
        let Some((&kind, rest)) = told.split_first() else { return Some(None) };
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let Some(end) = end else { return if b"+-$*".contains(&kind) { Some(None) } else { None } };
        let line = &rest[..end];
        *told = &rest[end + 2..];
        let is_clear = line.is_ascii() && level < 10;
        let count = || std::str::from_utf8(line).ok().filter(|text| !text.starts_with('+'))?.parse::<i64>().ok();
        match kind {
            b'+' if is_clear => Some(Some(Self::Line(line))),
            b'-' if is_clear => Some(Some(Self::Error)),
            b'$' => Self::read_bulk(told, count()?),
            b'*' if is_clear => Self::read_list(told, count()?, level),
            _ => None,
        }
    }

    fn read_bulk(told: &mut &'t [u8], count: i64) -> Option<Option<Self>> {
        let Ok(length) = usize::try_from(count) else { return (count == -1).then_some(Some(Self::Null)) };
        let Some((text, rest)) = told.split_at_checked(length) else { return Some(None) };
        let Some((end, rest)) = rest.split_at_checked(2) else { return Some(None) };
        *told = rest;
        (end == b"\r\n").then_some(Some(Self::Bulk(text)))
    }

    fn read_list(told: &mut &'t [u8], count: i64, level: usize) -> Option<Option<Self>> {
        let Ok(length) = usize::try_from(count) else { return (count == -1).then_some(Some(Self::Null)) };
        let mut items = Vec::new();
        for _ in 0..length {
            match Self::read(told, level + 1)? {
                Some(item) => items.push(item),
                None => return Some(None),
            }
        }
        Some(Some(Self::List(items)))
    }
}

#[cfg(test)]
#[test]
fn a_strange_byte_before_any_answer_is_seen_however_it_comes() {
    let asked = RedisCheck {
        target: Target { host: "localhost".to_owned(), port: 1, tls: None },
        user: None,
        password: None,
        db: 1,
        primary: false,
    };
    let probe = Redis::new(&asked, std::time::Duration::from_secs(1)).unwrap();
    let told = b"+OK\r\n\x8a+PONG\r\n";
    for piece in 1..=told.len() {
        assert_eq!(
            ask(&probe, told, piece).map_err(|failure| failure.class),
            Err(Class::Protocol),
            "in pieces of {piece}"
        );
    }
}
