//! What headers from outside must not do to the reading of a trace, held to a second one by the bytes. PURE.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{CLOUD_TRACE_CONTEXT, TRACEPARENT, Trace};

/// Each header is read for what it is or not at all, and what was read is told in a form that reads the same.
pub(crate) fn headers(data: &[u8]) {
    let line = |name, text: &[u8]| {
        let value = HeaderValue::from_bytes(text).ok()?;
        Some(HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
    };
    if let Some(headers) = line(TRACEPARENT, data) {
        assert_eq!(Trace::of(&headers), w3c(data));
    }
    if let Some(headers) = line(CLOUD_TRACE_CONTEXT, data) {
        assert_eq!(Trace::of(&headers), google(data));
    }
    let both = [w3c(data), google(data)].into_iter().flatten();
    for trace in both {
        assert_eq!(google(in_googles_way(trace).as_bytes()), Some(trace));
        if let Trace { id, span: Some(span), sampled: Some(sampled) } = trace {
            let text = format!("00-{id:032x}-{span:016x}-{:02x}", u8::from(sampled));
            assert_eq!(Trace::of(&line(TRACEPARENT, text.as_bytes()).unwrap()), Some(trace));
        }
        let headers = line(CLOUD_TRACE_CONTEXT, in_googles_way(trace).as_bytes()).unwrap();
        assert_eq!(Trace::of(&headers), Some(trace));
    }
}

fn in_googles_way(Trace { id, span, sampled }: Trace) -> String {
    let span = span.map(|span| format!("/{span}")).unwrap_or_default();
    let sampled = sampled.map(|sampled| format!(";o={}", u8::from(sampled))).unwrap_or_default();
    format!("{id:032X}{span}{sampled}")
}

/// Two digits, thirty-two, sixteen and two, and only of later versions more.
fn w3c(text: &[u8]) -> Option<Trace> {
    let [version, id, span, flags] = [text.get(..2)?, text.get(3..35)?, text.get(36..52)?, text.get(53..55)?];
    let has_dashes = [2, 35, 52].iter().all(|at| text[*at] == b'-');
    let ends = text.len() == 55 || (version != b"00" && text[55] == b'-' && text.iter().all(|byte| is_visible(*byte)));
    let capitals = text[..55].iter().any(u8::is_ascii_uppercase);
    let (id, span, flags) = (hex(id)?, u64::try_from(hex(span)?).unwrap(), hex(flags)?);
    let is_good = hex(version)? != 255 && has_dashes && ends && !capitals && id != 0 && span != 0;
    is_good.then_some(Trace { id, span: Some(span), sampled: Some(flags % 2 == 1) })
}

/// What a header may hold to be text.
fn is_visible(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

fn google(text: &[u8]) -> Option<Trace> {
    let (id, mut rest) = text.split_at_checked(32)?;
    let id = hex(id).filter(|id| *id != 0)?;
    let mut span = None;
    if let Some(behind) = rest.strip_prefix(b"/") {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = behind[..digits]
            .iter()
            .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
        span = (number > 0).then_some(number);
        rest = if digits > 0 { &behind[digits..] } else { return None };
    }
    let sampled = match rest {
        b"" => None,
        b";o=0" => Some(false),
        b";o=1" => Some(true),
        _ => return None,
    };
    Some(Trace { id, span, sampled })
}

fn hex(digits: &[u8]) -> Option<u128> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u128::from);
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
}
