//! What keeps the process from starting, or a configuration from coming into force.

use std::fmt;

use crate::{
    dial::DialError,
    listen::{BindError, tls::TlsError},
    probe::ProbeError,
};

/// Why the process cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// The certificate of the public port cannot be used.
    Tls(TlsError),
    /// `upstream.url` or `upstream.ca` cannot be used.
    Upstream(DialError),
    /// A check cannot be run.
    Check {
        /// Its name.
        name: String,
        /// What is wrong.
        error: ProbeError,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Upstream(error) => write!(f, "upstream.url: {error}"),
            Self::Check { name, error } => write!(f, "check {name}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<DialError> for StartError {
    fn from(error: DialError) -> Self {
        Self::Upstream(error)
    }
}
