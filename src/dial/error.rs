//! Why there is no connection.

use std::{fmt, io, net::SocketAddr};

use rustix::io::Errno;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialError {
    /// What kind of fault.
    pub fault: DialFault,
    /// What was seen: a lower-case fragment without secrets.
    pub reason: String,
    /// What to do about it, where that is known.
    pub hint: Option<&'static str>,
}

/// What kept a connection from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFault {
    /// Every address that answered said that nothing listens there.
    Refused,
    /// No connection within the dialer's time.
    Timeout,
    /// The name has no address.
    Dns,
    /// Certificate, handshake, or the client's own TLS settings.
    Tls,
    /// The network did not carry the attempt.
    Unreachable(io::ErrorKind),
    /// readygate itself has no file descriptor left: nothing is known of the target.
    Starved,
}

impl DialError {
    /// Nothing listens at the target: a sign that the upstream is gone, and harmless to try again.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.fault == DialFault::Refused
    }

    /// What the kernel said of the attempt to reach `address`.
    pub(super) fn from_connect(address: SocketAddr, error: &io::Error) -> Self {
        if is_starved(error) {
            return Self::starved();
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                let reason = format!("connection to {address} refused");
                Self { fault: DialFault::Refused, reason, hint: Some("does anything listen there?") }
            }
            io::ErrorKind::TimedOut => {
                let reason = format!("no connection to {address} in the kernel's time");
                Self { fault: DialFault::Timeout, reason, hint: None }
            }
            kind => {
                let reason = format!("no connection to {address}: {error}");
                Self { fault: DialFault::Unreachable(kind), reason, hint: None }
            }
        }
    }

    /// No file descriptor is left to dial with.
    pub(super) fn starved() -> Self {
        let hint = Some("raise the limit of open files, or lower hold.sessions");
        Self { fault: DialFault::Starved, reason: "out of file descriptors".to_owned(), hint }
    }

    /// Of several addresses' errors the heaviest is told: `localhost` without IPv6 is refused rather than
    /// unreachable, and while one address may yet answer, the others' refusals do not settle it. A want of our own
    /// makes all the rest void.
    pub(super) fn weight(&self) -> u8 {
        match self.fault {
            DialFault::Unreachable(_) => 0,
            DialFault::Refused => 1,
            DialFault::Dns | DialFault::Tls => 2,
            DialFault::Timeout => 3,
            DialFault::Starved => 4,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DialError {}

impl fmt::Display for DialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Timeout => f.write_str("timeout"),
            Self::Dns => f.write_str("dns"),
            Self::Tls => f.write_str("tls"),
            Self::Unreachable(kind) => write!(f, "unreachable ({kind})"),
            Self::Starved => f.write_str("starved"),
        }
    }
}

/// The process (`EMFILE`) or the whole machine (`ENFILE`) has no file descriptor left.
pub(super) fn is_starved(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].into_iter().any(|errno| number == Some(errno.raw_os_error()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn of(errno: Errno) -> DialError {
        DialError::from_connect(([127, 0, 0, 1], 1).into(), &io::Error::from_raw_os_error(errno.raw_os_error()))
    }

    #[test]
    fn a_want_of_descriptors_is_our_own_and_outweighs_what_another_address_said() {
        for errno in [Errno::MFILE, Errno::NFILE] {
            let starved = of(errno);
            assert_eq!((starved.fault, starved.reason.as_str()), (DialFault::Starved, "out of file descriptors"));
            assert!(
                [Errno::CONNREFUSED, Errno::NETUNREACH, Errno::TIMEDOUT]
                    .map(of)
                    .iter()
                    .all(|other| { other.fault != DialFault::Starved && other.weight() < starved.weight() })
            );
        }
    }
}
