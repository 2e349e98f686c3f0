//! To which trace a request belongs, as its headers say. PURE.
//!
//! `traceparent` is read as in <https://www.w3.org/TR/trace-context/>, and where there is none `X-Cloud-Trace-Context`
//! (<https://cloud.google.com/trace/docs/trace-context>), whose span is a decimal number. Both come from outside: what is
//! not exactly of the form is as good as absent.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use tracing::Span;

use crate::fields::Fields;

/// The W3C's header.
const TRACEPARENT: &str = "traceparent";
/// Google's older one.
const CLOUD_TRACE_CONTEXT: &str = "x-cloud-trace-context";

/// Hexadecimal digits of a trace's id.
const TRACE_DIGITS: usize = 32;
/// Of a span's.
const SPAN_DIGITS: usize = 16;
/// The flag of `traceparent` that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// One request's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: Option<u64>,
    sampled: Option<bool>,
}

impl Trace {
    /// What the fields of a request say.
    #[must_use]
    pub fn of(fields: &impl Fields) -> Option<Self> {
        let w3c = fields.one(TRACEPARENT).and_then(Self::w3c);
        w3c.or_else(|| fields.one(CLOUD_TRACE_CONTEXT).and_then(Self::google))
    }

    /// A span for the lines on this request; `http_request` is the object of that name in Cloud Logging.
    #[must_use]
    pub fn span(trace: Option<Self>, http_request: Option<&str>) -> Span {
        if trace.is_none() && http_request.is_none() {
            return Span::none();
        }
        let id = trace.map(|trace| format!("{:0TRACE_DIGITS$x}", trace.id));
        let span = trace.and_then(|trace| trace.span).map(|span| format!("{span:0SPAN_DIGITS$x}"));
        let (trace, span, sampled) = (id.as_deref(), span.as_deref(), trace.and_then(|trace| trace.sampled));
        tracing::error_span!("request", trace, span, sampled, httpRequest = http_request)
    }

    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`, of a later version perhaps with more behind it.
    fn w3c(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let [version, id, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
        let version = lower_hex(version, 2)?;
        let has_rest = parts.next().is_some();
        if version == 0xff || (version == 0 && has_rest) {
            return None;
        }
        let (id, span) = (lower_hex(id, TRACE_DIGITS)?, lower_hex(span, SPAN_DIGITS)?);
        let flags = u8::try_from(lower_hex(flags, 2)?).ok()?;
        let span = u64::try_from(span).ok().filter(|span| *span > 0)?;
        Self { id, span: Some(span), sampled: Some(flags & SAMPLED == SAMPLED) }.unless_zero()
    }

    /// `105445aa7843bc8bf206b12000100000/1;o=1`; span and option may be missing.
    fn google(text: &str) -> Option<Self> {
        let (text, sampled) = match text.split_once(';') {
            None => (text, None),
            Some((text, "o=0")) => (text, Some(false)),
            Some((text, "o=1")) => (text, Some(true)),
            Some(_) => return None,
        };
        let (id, span) = match text.split_once('/') {
            None => (text, None),
            Some((id, span)) if span.bytes().all(|byte| byte.is_ascii_digit()) => (id, Some(span.parse().ok()?)),
            Some(_) => return None,
        };
        let id = lower_hex(&id.to_ascii_lowercase(), TRACE_DIGITS)?;
        Self { id, span: span.filter(|span| *span > 0), sampled }.unless_zero()
    }

    /// An id of zeros is none.
    fn unless_zero(self) -> Option<Self> {
        (self.id != 0).then_some(self)
    }
}

/// Exactly so many digits, and none of them a capital.
fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_whole = text.len() == digits && is_hex;
    is_whole.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const GOOGLE: &str = "105445aa7843bc8bf206b12000100000";

    fn of(lines: &[(&'static str, &str)]) -> Option<Trace> {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
        let pairs = lines.iter().filter_map(|(name, text)| Some((HeaderName::from_static(name), value(text)?)));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            headers.append(name, value);
        });
        Trace::of(&headers)
    }

    #[test]
    fn the_w3c_header_is_read() {
        let sampled = |sampled| Some(Trace { id: ID, span: Some(0x00f0_67aa_0ba9_02b7), sampled: Some(sampled) });
        assert_eq!(of(&[(TRACEPARENT, W3C)]), sampled(true));
        assert_eq!(of(&[(TRACEPARENT, &W3C.replace("-01", "-02"))]), sampled(false));
        assert_eq!(of(&[(TRACEPARENT, &format!("{}-more", W3C.replacen("00", "cc", 1)))]), sampled(true));
    }

    #[test]
    fn the_decimal_span_of_google_is_a_number() {
        let trace = |span, sampled| Some(Trace { id: 0x1054_45aa_7843_bc8b_f206_b120_0010_0000, span, sampled });
        let read = |tail: &str| of(&[(CLOUD_TRACE_CONTEXT, &format!("{GOOGLE}{tail}"))]);
        assert_eq!(read("/2205310701640571284;o=1"), trace(Some(2_205_310_701_640_571_284), Some(true)));
        assert_eq!(read("/18446744073709551615;o=0"), trace(Some(u64::MAX), Some(false)));
        assert_eq!(
            [read(""), read("/0"), read(";o=1")],
            [trace(None, None), trace(None, None), trace(None, Some(true))]
        );
        assert_eq!(of(&[(CLOUD_TRACE_CONTEXT, &GOOGLE.to_uppercase())]), trace(None, None));
    }

    #[test]
    fn the_w3c_header_counts_more_unless_it_is_malformed() {
        let both = |w3c: &str| of(&[(CLOUD_TRACE_CONTEXT, GOOGLE), (TRACEPARENT, w3c)]).map(|trace| trace.id == ID);
        assert_eq!((both(W3C), both("00-nonsense")), (Some(true), Some(false)));
    }

    #[test]
    fn what_is_malformed_or_hostile_is_no_trace() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\u{e9}",
        ] {
            assert_eq!(of(&[(TRACEPARENT, text)]), None, "{text}");
        }
        for text in [
            "00000000000000000000000000000000/1",
            "105445aa7843bc8bf206b1200010000/1",
            "105445aa7843bc8bf206b12000100000/",
            "105445aa7843bc8bf206b12000100000/-1",
            "105445aa7843bc8bf206b12000100000/0x1",
            "105445aa7843bc8bf206b12000100000/18446744073709551616",
            "105445aa7843bc8bf206b12000100000/1;o=2",
            "105445aa7843bc8bf206b12000100000\",\"severity\":\"ERROR",
        ] {
            assert_eq!(of(&[(CLOUD_TRACE_CONTEXT, text)]), None, "{text}");
        }
        assert_eq!(of(&[(TRACEPARENT, W3C), (TRACEPARENT, W3C)]), None);
    }

    proptest! {
        #[test]
        fn no_header_whatever_it_holds_does_harm(text in ".{0,80}") {
            let (_, _) = (of(&[(TRACEPARENT, &text)]), of(&[(CLOUD_TRACE_CONTEXT, &text)]));
        }
    }
}
