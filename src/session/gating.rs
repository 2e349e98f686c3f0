//! Whether the gate counts for a session, decided once, when it arrives. PURE.
//!
//! Under `gate.mode = "enforce"` a client is gated if its share says so: a hash of what it is known by (`gate.rollout_key`)
//! gives it one of a hundred places, the same in every instance and every release, and `gate.rollout_percent` says how many
//! of them are gated. A larger share therefore only adds clients. Who is left out is observed.

use std::net::{IpAddr, SocketAddr};

use crate::{
    config::{Gate, Mode, Rollout, RolloutKey},
    fields::{self, Fields},
};

/// Where proxies say for whom they ask, the client first.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The offset basis of FNV-1a with 64 bits.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// Its prime.
const FNV_PRIME: u64 = 0x0100_0000_01b3;
/// The multipliers of the finalizer of `MurmurHash3`: FNV alone leaves the upper bits of short keys alike.
const MIX: [u64; 2] = [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53];
/// The shift between them.
const MIX_SHIFT: u32 = 33;

/// How the gate counts for one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// It waits for the gate.
    Enforced,
    /// It never waits; what would have been is recorded.
    Observed,
    /// It never waits.
    Off,
}

/// What the gate would have done with an observed session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Would {
    /// Held it.
    Hold,
    /// Let it pass.
    Pass,
}

impl Gating {
    /// Decides for a client at `peer` that sends these headers.
    #[must_use]
    pub fn of(policy: &Gate, fields: &impl Fields, peer: IpAddr) -> Self {
        match policy.mode {
            Mode::Off => Self::Off,
            Mode::Observe => Self::Observed,
            Mode::Enforce if is_in_share(&policy.rollout, fields, peer) => Self::Enforced,
            Mode::Enforce => Self::Observed,
        }
    }

    /// Sessions wait for the gate.
    #[must_use]
    pub fn holds(self) -> bool {
        match self {
            Self::Enforced => true,
            Self::Observed | Self::Off => false,
        }
    }
}

impl Would {
    /// Metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Pass => "pass",
        }
    }
}

fn is_in_share(rollout: &Rollout, fields: &impl Fields, peer: IpAddr) -> bool {
    if rollout.percent >= Rollout::WHOLE {
        return true;
    }
    let own = match &rollout.key {
        RolloutKey::Address => None,
        RolloutKey::Header(name) => fields.values(name.as_str()).next().map(<[u8]>::trim_ascii),
        RolloutKey::Cookie(name) => cookie(fields, name),
    };
    let place = match own.filter(|key| !key.is_empty()) {
        Some(key) => place(key),
        None => place(address(fields, peer).to_string().as_bytes()),
    };
    place < u64::from(rollout.percent)
}

/// One of a hundred places.
fn place(key: &[u8]) -> u64 {
    let hash = key.iter().fold(FNV_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    let mixed = MIX.iter().fold(hash, |hash, factor| (hash ^ (hash >> MIX_SHIFT)).wrapping_mul(*factor));
    (mixed ^ (mixed >> MIX_SHIFT)) % u64::from(Rollout::WHOLE)
}

/// The first address of X-Forwarded-For: behind a load balancer the connection's own is that of the balancer. A client
/// can write there what it likes; all it gains is its choice of the share.
fn address(fields: &impl Fields, peer: IpAddr) -> IpAddr {
    let first = fields.values(FORWARDED_FOR).next().and_then(|line| fields::text(line)?.split(',').next());
    first.and_then(|text| parse(text.trim())).unwrap_or(peer).to_canonical()
}

/// With or without a port: some balancers add it.
fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn cookie<'f>(fields: &'f impl Fields, name: &str) -> Option<&'f [u8]> {
    let pairs = fields.values("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
#[path = "gating_tests.rs"]
mod tests;
