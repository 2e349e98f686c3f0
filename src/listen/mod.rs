//! The public port: takes connections, ends TLS where so configured, hands each to `http`.

pub mod tls;

use std::{fmt, io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};

use crate::{
    descriptors::{Door, Place},
    dial::Stream,
    http::{self, Session, Sites},
    stall,
};

/// Connections that may wait to be taken. A cold start brings them all at once; the kernel caps it at its own
/// `net.core.somaxconn` (4096 by default).
const BACKLOG: u32 = 4096;

/// Pause after an accept that failed, for want of memory or of the whole machine's descriptors, so that the loop does not
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The configuration key.
    pub key: &'static str,
    /// Its value.
    pub address: SocketAddr,
    /// What the kernel said.
    pub error: io::Error,
}

/// Binds `address`, which `key` of the configuration names.
///
/// # Errors
/// The port is taken, or not this process's to take.
pub fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Small frames must not wait for an acknowledgement. Linux gives the option to every connection that is taken.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| BindError { key, address, error })
}

/// Takes connections for ever, through `door`; dropped, it takes no more, and those taken go on.
pub async fn serve(listener: TcpListener, sites: Sites, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // The one that waits here is the last that is taken: all others wait in the kernel's queue.
                let place = door.enter().await;
                let tasks = sites.borrow().tasks.clone();
                tasks.spawn(attend(Box::pin(welcome(sites.clone(), stream, address, place))));
            }
            Err(error) => {
                tracing::warn!(error = %error, "connection not taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection, and the session that it may become. That one should not have room for what served its request, so this is
/// boxed and gone by then.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep room for its argument twice")]
fn attend<F: Future<Output = Option<Session>> + Send>(welcome: Pin<Box<F>>) -> impl Future<Output = ()> + Send {
    async move {
        if let Some(session) = { welcome.await } {
            session.await;
        }
    }
}

async fn welcome(sites: Sites, stream: TcpStream, address: SocketAddr, place: Place) -> Option<Session> {
    let (tls, limit) = {
        let site = sites.borrow();
        (site.tls.clone(), http::head_time(&site, &place))
    };
    let stream = match tls {
        None => Stream::Tcp(stream),
        Some(tls) => match Box::pin(stall::timeout(limit, tls.accept(stream))).await {
            Some(Ok(stream)) => Stream::Tls(Box::new(stream.into())),
            Some(Err(error)) => {
                tracing::debug!(peer = %address, error = %error, "TLS handshake failed");
                return None;
            }
            None => {
                tracing::debug!(peer = %address, "TLS handshake took too long");
                return None;
            }
        },
    };
    http::serve(sites, stream, address, place).await
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, address, error } = self;
        write!(f, "{key}: cannot listen on {address}: {error}")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(f, "; another process has port {}", address.port()),
            io::ErrorKind::PermissionDenied => write!(f, "; ports below 1024 need a privilege"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_sends_small_frames_at_once() {
        let listener = bind("server.listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(listener.accept().await.unwrap().0.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_key() {
        let first = bind("server.listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind("admin.listen", address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("admin.listen: cannot listen on {address}: ")), "{error}");
        assert!(error.ends_with(&format!("another process has port {}", address.port())), "{error}");
    }
}
