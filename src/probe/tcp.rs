//! A connection is taken, with `tls://` the TLS handshake too. A bound port is a weak sign of readiness: a master
//! process may bind it long before a worker serves.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Checking, Probe, ProbeError};
use crate::{config::Target, dial::Dialer, gate::Failure};

pub(super) struct Tcp {
    dialer: Dialer,
}

impl Tcp {
    pub(super) fn new(target: &Target, limit: Duration) -> Result<Self, ProbeError> {
        Ok(Self { dialer: Dialer::new(target, limit)? })
    }

    async fn ask(&self) -> Result<(), Failure> {
        let mut stream = self.dialer.connect().await?;
        // The connection was taken, which is all that was asked; how it ends says nothing.
        let _ = stream.shutdown().await;
        Ok(())
    }
}

impl Probe for Tcp {
    fn kind(&self) -> &'static str {
        "tcp"
    }

    fn check(&self) -> Checking<'_> {
        Box::pin(self.ask())
    }
}
