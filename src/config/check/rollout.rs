//! `mode`, `rollout_percent` and `rollout_key` of `[gate]`; a route's own values are judged by the same rules.

use http::HeaderName;

use super::{Checker, gate::is_token};
use crate::config::{
    Gate, Mode, Rollout, RolloutKey,
    key_path::KeyPath,
    raw_rollout::{ROLLOUT_FORM, RolloutKeySpec, RolloutTable, RolloutWord},
};

impl Checker<'_, '_> {
    /// `rollout_percent` of the table at `at`.
    pub(super) fn rollout_percent(&mut self, at: &KeyPath, percent: u32) -> u8 {
        let percent = self.count(at.key("rollout_percent"), percent, 0..=u32::from(Rollout::WHOLE));
        u8::try_from(percent).unwrap_or(Rollout::WHOLE)
    }

    /// `rollout_key` of the table at `at`.
    pub(super) fn rollout_key(&mut self, at: &KeyPath, raw: &RolloutKeySpec) -> RolloutKey {
        let path = at.key("rollout_key");
        match raw {
            RolloutKeySpec::Word(RolloutWord::Address) => RolloutKey::Address,
            RolloutKeySpec::Table(RolloutTable { header: Some(name), cookie: None }) => self.header_key(&path, name),
            RolloutKeySpec::Table(RolloutTable { header: None, cookie: Some(name) }) => self.cookie_key(&path, name),
            RolloutKeySpec::Table(RolloutTable { header: Some(_), cookie: Some(_) }) => {
                self.no_key(path, "a client is known by a header or by a cookie, not by both")
            }
            RolloutKeySpec::Table(RolloutTable { header: None, cookie: None }) => {
                self.no_key(path, "rollout_key names neither a header nor a cookie")
            }
        }
    }

    /// A share of what is not gated anyway is hardly what was meant.
    pub(super) fn warn_of_an_idle_rollout(&mut self, at: &KeyPath, gate: &Gate) {
        let mode = match gate.mode {
            Mode::Enforce => return,
            Mode::Observe => "observe",
            Mode::Off => "off",
        };
        if self.document.was_given(&at.key("mode")) && self.document.was_given(&at.key("rollout_percent")) {
            let what = format!("rollout_percent has no effect: mode is \"{mode}\" for everybody");
            self.warn(at.key("rollout_percent"), what, "it is a share of mode = \"enforce\"");
        }
    }

    fn header_key(&mut self, path: &KeyPath, name: &str) -> RolloutKey {
        let at = path.key("header");
        match HeaderName::try_from(name) {
            Ok(name) => RolloutKey::Header(name),
            Err(_) => {
                let what = format!("{} is no name of a header", self.quoted(&at, name));
                self.no_key(at, &what)
            }
        }
    }

    fn cookie_key(&mut self, path: &KeyPath, name: &str) -> RolloutKey {
        let at = path.key("cookie");
        if is_token(name) {
            return RolloutKey::Cookie(name.to_owned());
        }
        let what = format!("{} is no name of a cookie", self.quoted(&at, name));
        self.no_key(at, &what)
    }

    fn no_key(&mut self, at: KeyPath, what: &str) -> RolloutKey {
        self.push(at, what, format!("expected {ROLLOUT_FORM}"));
        RolloutKey::Address
    }
}
