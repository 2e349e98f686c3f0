//! Durations, counts and sizes within their limits.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use super::Checker;
use crate::config::{
    Backoff, Hold,
    key_path::KeyPath,
    raw_policy,
    units::{Size, SizeOrAuto, Time},
};

/// No wait of a proxy lasts a day: a longer one is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Each held session is an open file; Linux allows a process 1,048,576 by default (`fs.nr_open`).
const MOST_SESSIONS: u32 = 1_000_000;
/// Without a limit of its own, what may be held in all: enough for 256 full holds of the default size.
const MOST_AUTO_BYTES: u64 = 256 << 20;
/// The share of the machine's memory that may be held where nothing was said: the backend needs the rest.
const AUTO_SHARE: u64 = 4;

impl Checker<'_, '_> {
    /// A length of time that is neither zero nor absurd.
    pub(super) fn time(&mut self, path: impl Into<KeyPath>, time: Time) -> Duration {
        let path = path.into();
        if time.0.is_zero() {
            self.push(path, "this time may not be zero", r#"give a duration such as "250ms" or "30s""#);
        } else if time.0 > LONGEST {
            let what = format!("{path} = \"{time}\" is longer than a day");
            self.push(path, what, "check the unit: ms, s, m, h");
        }
        time.0
    }

    /// A backoff whose first pause is not longer than its longest.
    pub(super) fn backoff(&mut self, path: impl Into<KeyPath>, initial: Time, max: Time) -> Backoff {
        let path = path.into();
        let (from, to) = (path.key("initial"), path.key("max"));
        let backoff = Backoff { initial: self.time(from.clone(), initial), max: self.time(to.clone(), max) };
        if backoff.initial > backoff.max && self.document.is_sound(&from) && self.document.is_sound(&to) {
            self.push(
                path,
                format!("initial {initial} is longer than max {max}"),
                "initial is the first pause, max the longest",
            );
        }
        backoff
    }

    /// A count within limits.
    pub(super) fn count(&mut self, path: impl Into<KeyPath>, count: u32, limits: RangeInclusive<u32>) -> u32 {
        let path = path.into();
        if !limits.contains(&count) {
            let what = format!("{path} = {count} is out of range");
            self.push(path, what, format!("expected {} to {}", limits.start(), limits.end()));
        }
        count
    }

    /// The same as a size of something.
    pub(super) fn non_zero(&mut self, path: impl Into<KeyPath>, count: u32, most: u32) -> NonZeroUsize {
        let count = usize::try_from(self.count(path, count, 1..=most)).unwrap_or(usize::MAX);
        NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
    }

    pub(super) fn hold(&mut self, raw: &raw_policy::Hold) -> Hold {
        let (at, total) = (KeyPath::from("hold"), self.total(raw.total_bytes));
        Hold {
            connection_bytes: self.connection_bytes(&at, raw.connection_bytes, total),
            connection_frames: self.connection_frames(&at, raw.connection_frames),
            total_bytes: bytes(total),
            sessions: self.non_zero("hold.sessions", raw.sessions, MOST_SESSIONS).get(),
            when_full: raw.when_full,
            frame_timeout: self.time("hold.frame_timeout", raw.frame_timeout),
            ping_interval: self.time("hold.ping_interval", raw.ping_interval),
        }
    }

    /// `connection_frames` of the table at `at`.
    pub(super) fn connection_frames(&mut self, at: &KeyPath, frames: u32) -> usize {
        self.non_zero(at.key("connection_frames"), frames, u32::MAX).get()
    }

    /// `connection_bytes` of the table at `at`, where `total` may be held in all.
    pub(super) fn connection_bytes(&mut self, at: &KeyPath, connection: Size, total: Size) -> usize {
        let path = at.key("connection_bytes");
        if connection.0 == 0 {
            self.push(path.clone(), format!("{path} is zero: nothing could be held"), r#"give a size such as "1MiB""#);
        } else if connection > total {
            let what = format!("one session may hold {connection}, all together only {total}");
            self.push_between(path, "hold.total_bytes", what, "connection_bytes is part of hold.total_bytes");
        }
        bytes(connection)
    }

    fn total(&mut self, total: SizeOrAuto) -> Size {
        let memory = self.environment.memory.unwrap_or(u64::MAX);
        match total {
            SizeOrAuto::Auto => Size((memory / AUTO_SHARE).min(MOST_AUTO_BYTES)),
            SizeOrAuto::Size(size) => {
                self.total_within(size, memory);
                size
            }
        }
    }

    fn total_within(&mut self, total: Size, memory: u64) {
        let path = "hold.total_bytes";
        if total.0 == 0 {
            self.push(
                path,
                "hold.total_bytes is zero: nothing could be held",
                r#"give a size such as "256MiB", or "auto""#,
            );
        } else if total.0 > memory {
            let what = format!("hold.total_bytes = \"{total}\" is more than the {} of memory there is", Size(memory));
            self.push(path, what, "leave room for the rest of the process, or use \"auto\"");
        }
    }
}

/// On a machine of 32 bits more than its address space is as good as all of it.
fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
