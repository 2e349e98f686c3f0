#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::session::simulation::scene::usual_configuration;

/// By the published algorithm, worked out apart from the code.
const PLACES: [u64; 6] = [42, 15, 36, 52, 40, 15];

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn policy(mode: Mode, percent: u8, key: RolloutKey) -> Gate {
    Gate { mode, rollout: Rollout { percent, key }, ..usual_configuration().gate }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn by_user() -> Gate {
    policy(Mode::Enforce, 0, RolloutKey::Header(HeaderName::from_static("x-user")))
}

/// Whether this user is gated where `policy` gates so many in a hundred.
fn is_gated(policy: &mut Gate, percent: u8, user: &str) -> bool {
    policy.rollout.percent = percent;
    Gating::of(policy, &headers(&[("x-user", user)]), PEER).holds()
}

/// The place of a client, found from outside: the least share that takes it in.
fn place_of(key: &RolloutKey, headers: &HeaderMap, peer: IpAddr) -> Option<u8> {
    let mut policy = policy(Mode::Enforce, 0, key.clone());
    let mut gated = |percent: &u8| {
        policy.rollout.percent = *percent;
        Gating::of(&policy, headers, peer).holds()
    };
    (0..=Rollout::WHOLE).find(|percent| gated(percent))
}

#[test]
fn the_mode_decides_before_the_share_does() {
    for (mode, percent, expected) in [
        (Mode::Off, 100, Gating::Off),
        (Mode::Observe, 100, Gating::Observed),
        (Mode::Enforce, 100, Gating::Enforced),
        (Mode::Enforce, 0, Gating::Observed),
        (Mode::Off, 0, Gating::Off),
    ] {
        let policy = policy(mode, percent, RolloutKey::Address);
        assert_eq!(Gating::of(&policy, &HeaderMap::new(), PEER), expected, "{mode:?} {percent}");
    }
}

#[test]
fn r24_a_share_takes_its_percentage_of_100_000_clients() {
    let mut policy = by_user();
    let users: Vec<String> = (0..100_000).map(|number| format!("user-{number}")).collect();
    for percent in [1_u8, 10, 50, 90] {
        let gated = users.iter().filter(|user| is_gated(&mut policy, percent, user)).count();
        let (expected, slack) = (usize::from(percent) * 1_000, 500);
        assert!(gated.abs_diff(expected) < slack, "{gated} of 100000 at {percent} %");
    }
}

#[test]
fn r24_addresses_that_follow_each_other_are_spread_too() {
    let addresses = (0..100_000_u32).map(|number| IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
    let policy = policy(Mode::Enforce, 25, RolloutKey::Address);
    let gated = addresses.filter(|address| Gating::of(&policy, &HeaderMap::new(), *address).holds()).count();
    assert!(gated.abs_diff(25_000) < 500, "{gated} of 100000 at 25 %");
}

#[test]
fn a_larger_share_keeps_everybody_it_had() {
    let mut policy = by_user();
    for number in 0..1_000 {
        let user = format!("user-{number}");
        let gated: Vec<bool> = (0..=Rollout::WHOLE).map(|percent| is_gated(&mut policy, percent, &user)).collect();
        assert!(gated.is_sorted(), "{user}");
    }
}

#[test]
fn the_places_are_the_same_in_every_release() {
    let places = ["", "a", "alice", "bob", "10.0.0.1", "2001:db8::1"].map(|key| super::place(key.as_bytes()));
    assert_eq!(places, PLACES);
}

#[test]
fn a_cookie_is_found_among_others_and_by_its_whole_name() {
    let key = RolloutKey::Cookie("sid".to_owned());
    let place = |lines: &[(&'static str, &str)]| place_of(&key, &headers(lines), PEER);
    let alone = place(&[("cookie", "sid=abc")]);
    assert_eq!(place(&[("cookie", "xsid=1; a=2;sid=abc ; b")]), alone);
    assert_eq!(place(&[("cookie", "a=1"), ("cookie", "sid=abc")]), alone);
    let by_address = place(&[]);
    assert_eq!(place(&[("cookie", "sid2=abc; SID=abc")]), by_address);
    assert_ne!(by_address, alone, "the two keys of this test share a place: choose others");
}

#[test]
fn without_header_or_cookie_the_address_counts() {
    let by_address = place_of(&RolloutKey::Address, &HeaderMap::new(), PEER);
    let header = RolloutKey::Header(HeaderName::from_static("x-user"));
    for lines in [&[][..], &[("x-user", "")], &[("x-user", " ")]] {
        assert_eq!(place_of(&header, &headers(lines), PEER), by_address, "{lines:?}");
    }
    let cookie = RolloutKey::Cookie("sid".to_owned());
    assert_eq!(place_of(&cookie, &headers(&[("cookie", "sid=")]), PEER), by_address);
}

#[test]
fn behind_proxies_the_address_is_the_first_that_was_forwarded() {
    let peers = (0..20_u8).map(|number| IpAddr::from([10, 0, 1, number]));
    let places =
        peers.map(|peer| place_of(&RolloutKey::Address, &headers(&[("x-forwarded-for", "203.0.113.9")]), peer));
    assert_eq!(places.collect::<BTreeSet<_>>().len(), 1);
    let forwarded = |line: &str| address(&headers(&[("x-forwarded-for", line)]), PEER).to_string();
    assert_eq!(forwarded("203.0.113.9, 10.0.0.7"), "203.0.113.9");
    assert_eq!(forwarded(" 203.0.113.9:4711"), "203.0.113.9");
    assert_eq!(forwarded("::ffff:203.0.113.9"), "203.0.113.9");
    assert_eq!(forwarded("[2001:db8::1]:443"), "2001:db8::1");
    assert_eq!(forwarded("unknown, 203.0.113.9"), PEER.to_string());
}
