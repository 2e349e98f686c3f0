//! What an operator asks of the gate, as it comes: in the query, in a JSON body, or in both. PURE.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::Deserialize;

use crate::gate::{Forced, Hand, hand::Reason};

/// The longest that a hand can stay by a clock. What is to last longer belongs into the configuration.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The keys, for whoever gives another.
const KEYS: &str = "the keys are route, reason and for";

/// What was given.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// A path of the configuration; none: everything.
    pub(super) route: Option<String>,
    reason: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

impl Order {
    /// Reads both places; a key may stand in one of them.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub(super) fn parse(query: &str, body: &[u8]) -> Result<Self, String> {
        let mut order = if body.trim_ascii().is_empty() { Self::default() } else { Self::parse_body(body)? };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if [&key, &value].iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
                return Err("the query is not UTF-8".to_owned());
            }
            order.take(&key, value)?;
        }
        Ok(order)
    }

    fn parse_body(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("the body is not what is wanted: {error}; {KEYS}"))
    }

    fn take(&mut self, key: &str, value: Cow<'_, str>) -> Result<(), String> {
        let place = match key {
            "route" => &mut self.route,
            "reason" => &mut self.reason,
            "for" => &mut self.lasts,
            _ => return Err(format!("{key:?} is unknown: {KEYS}")),
        };
        match place.replace(value.into_owned()) {
            None => Ok(()),
            Some(_) => Err(format!("{key} is given twice")),
        }
    }

    /// The hand that is to be laid on.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub(super) fn hand(self, forced: Forced, now: SystemTime) -> Result<Hand, String> {
        let reason = Reason::new(self.reason.unwrap_or_default())?;
        let until = self.lasts.map(|text| lasting(&text)).transpose()?.map(|time| now + time);
        Ok(Hand { forced, reason, since: now, until })
    }

    /// Nothing but a route is given.
    ///
    /// # Errors
    /// What is not wanted, for the operator.
    pub(super) fn route_alone(self) -> Result<Option<String>, String> {
        match (self.reason, self.lasts) {
            (None, None) => Ok(self.route),
            (Some(_), _) | (None, Some(_)) => Err("auto takes a route and nothing else".to_owned()),
        }
    }
}

fn lasting(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|error| format!("for={text:?} is no duration: {error}; \"10m\" is one"))?;
    if time.is_zero() || time > LONGEST {
        return Err(format!(
            "for={text:?}: a hand stays for more than nothing and up to {}",
            humantime::format_duration(LONGEST)
        ));
    }
    Ok(time)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn hand(query: &str, body: &str) -> Result<Hand, String> {
        Order::parse(query, body.as_bytes())?.hand(Forced::Shut, NOW)
    }

    #[test]
    fn query_and_body_say_the_same() {
        let wanted = Hand {
            forced: Forced::Shut,
            reason: Reason::new("a b+c".to_owned()).unwrap(),
            since: NOW,
            until: Some(NOW + Duration::from_secs(600)),
        };
        assert_eq!(hand("reason=a+b%2Bc&for=10m", ""), Ok(wanted.clone()));
        assert_eq!(hand("", r#"{"reason": "a b+c", "for": "10m"}"#), Ok(wanted.clone()));
        assert_eq!(hand("for=10m", r#"{"reason": "a b+c"}"#), Ok(wanted));
        assert_eq!(Order::parse("route=%2Fws%2F*", b" ").unwrap().route_alone(), Ok(Some("/ws/*".to_owned())));
    }

    #[test]
    fn nothing_given_means_everything_without_a_word_and_without_an_end() {
        let order = Order::parse("", b"").unwrap();
        assert_eq!(order.route, None);
        assert_eq!(order.hand(Forced::Open, NOW).unwrap().until, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, body, told) in [
            ("rout=x", "", "\"rout\" is unknown: the keys are route, reason and for"),
            ("for=1m&for=2m", "", "for is given twice"),
            ("for=1m", r#"{"for": "2m"}"#, "for is given twice"),
            ("for=soon", "", "for=\"soon\" is no duration"),
            ("for=0s", "", "for=\"0s\": a hand stays for more than nothing and up to 30days"),
            ("for=31d", "", "for=\"31d\": a hand stays for more than nothing and up to 30days"),
            ("", r#"{"until": "2m"}"#, "unknown field `until`"),
            ("", "for=2m", "the body is not what is wanted"),
            ("reason=two%0Alines", "", "reason is not one line"),
            ("reason=%ff", "", "the query is not UTF-8"),
        ] {
            let error = hand(query, body).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        assert!(Order::parse("reason=x", b"").unwrap().route_alone().is_err());
        assert!(Order::parse("for=1m", b"").unwrap().route_alone().is_err());
    }
}
