//! `[gate]`, `[hold]` and `[[routes]]` as TOML says them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Accept, Mode, OnTimeout, WhenFull,
    raw_confirm::ConfirmSpec,
    raw_rollout::{RolloutKeySpec, RolloutWord},
    units::{Size, SizeOrAuto, Time},
};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Gate {
    /// Whether sessions wait for the gate: "enforce"; "observe" (nobody waits, and what would have waited is logged
    /// and counted); or "off".
    pub(super) mode: Mode,
    /// Share of sessions that are gated where the mode is "enforce", 0 to 100; the others are observed.
    pub(super) rollout_percent: u32,
    /// What a client is known by, so that it is always in the same share: "address", { header = NAME } or
    /// { cookie = NAME }. Without that header or cookie its address counts.
    pub(super) rollout_key: RolloutKeySpec,
    /// Who answers a handshake while the gate is shut.
    pub(super) accept: Accept,
    /// Subprotocols that an early accept may answer, in order of preference.
    pub(super) subprotocols: Vec<String>,
    /// Origins that may be accepted early: "same-host", "*", or scheme://host:port (the port only where
    /// it is not the default). Others are left to the backend.
    pub(super) allowed_origins: Vec<String>,
    /// Longest hold, from arrival; traffic does not extend it.
    pub(super) hold_timeout: Time,
    /// What becomes of a session whose time is over.
    pub(super) on_timeout: OnTimeout,
    /// The message by which the upstream says that it is ready for a connection; what the client sends waits for it.
    /// Absent, or false, means that the upstream's 101 says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) confirm: Option<ConfirmSpec>,
    /// How waiting sessions are let go when the gate opens.
    pub(super) release: Release,
    /// Close code for a client that was accepted early and whose handshake the upstream then refused, by HTTP status.
    /// Any other status gives 1014. A table given here replaces the default as a whole.
    pub(super) close_codes: BTreeMap<String, u16>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            rollout_percent: 100,
            rollout_key: RolloutKeySpec::Word(RolloutWord::Address),
            accept: Accept::Auto,
            subprotocols: Vec::new(),
            allowed_origins: vec!["same-host".into()],
            hold_timeout: Time::secs(30),
            on_timeout: OnTimeout::Close,
            confirm: None,
            release: Release::default(),
            close_codes: BTreeMap::from([("401".into(), 3000), ("403".into(), 3003)]),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Release {
    /// Most dials at a time when the gate opens, oldest session first; a release begins with 8.
    pub(super) concurrency: u32,
}

impl Default for Release {
    fn default() -> Self {
        Self { concurrency: 64 }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Hold {
    /// Most bytes held for one session.
    pub(super) connection_bytes: Size,
    /// Most data frames held for one session.
    pub(super) connection_frames: u32,
    /// Most bytes held in all. "auto" is a quarter of the memory this container may use, at most 256MiB.
    pub(super) total_bytes: SizeOrAuto,
    /// Most sessions held at a time.
    pub(super) sessions: u32,
    /// What happens to a session whose hold is full.
    pub(super) when_full: WhenFull,
    /// Time for a client to finish a frame it has begun.
    pub(super) frame_timeout: Time,
    /// Between pings to a held client; two without a sign of life end the session.
    pub(super) ping_interval: Time,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            connection_bytes: Size::mib(1),
            connection_frames: 1000,
            total_bytes: SizeOrAuto::Auto,
            sessions: super::Hold::USUAL_SESSIONS,
            when_full: WhenFull::Pause,
            frame_timeout: Time::secs(30),
            ping_interval: Time::secs(10),
        }
    }
}

/// Every key of `[gate]`, and those of `[hold]` that are about one session. Flat, because what serde flattens it no
/// longer names in its errors.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Route {
    /// Which paths: begins with "/", and "*" stands for any number of characters; or "*" for everything. Required.
    pub(super) path: Option<String>,
    /// Names of the dependencies that these sessions need; absent means every one.
    pub(super) depends_on: Option<Vec<String>>,
    /// In place of gate.mode.
    pub(super) mode: Option<Mode>,
    /// In place of gate.rollout_percent.
    pub(super) rollout_percent: Option<u32>,
    /// In place of gate.rollout_key.
    pub(super) rollout_key: Option<RolloutKeySpec>,
    /// In place of gate.accept.
    pub(super) accept: Option<Accept>,
    /// In place of gate.subprotocols.
    pub(super) subprotocols: Option<Vec<String>>,
    /// In place of gate.allowed_origins.
    pub(super) allowed_origins: Option<Vec<String>>,
    /// In place of gate.hold_timeout.
    pub(super) hold_timeout: Option<Time>,
    /// In place of gate.on_timeout.
    pub(super) on_timeout: Option<OnTimeout>,
    /// In place of gate.confirm, as a whole; false where the upstream's 101 will do.
    pub(super) confirm: Option<ConfirmSpec>,
    /// In place of gate.release.
    pub(super) release: Option<Release>,
    /// In place of gate.close_codes, as a whole.
    pub(super) close_codes: Option<BTreeMap<String, u16>>,
    /// In place of hold.connection_bytes.
    pub(super) connection_bytes: Option<Size>,
    /// In place of hold.connection_frames.
    pub(super) connection_frames: Option<u32>,
    /// In place of hold.when_full.
    pub(super) when_full: Option<WhenFull>,
    /// In place of hold.frame_timeout.
    pub(super) frame_timeout: Option<Time>,
    /// In place of hold.ping_interval.
    pub(super) ping_interval: Option<Time>,
}

/// The keys of `[hold]` that bound all sessions together, so that no route can have its own.
pub(super) const EVERYBODYS: [&str; 2] = ["total_bytes", "sessions"];
