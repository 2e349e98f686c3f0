//! Connections to one configured target, TCP or TLS, for whoever needs one. Nothing else is ever dialled.

mod attempt;
mod error;
mod shortage;
mod stream;
mod tls;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, TlsStream};

use self::shortage::Shortage;
pub use self::{
    error::{DialError, DialFault},
    stream::{Hangup, Stream},
};
use crate::config::Target;

/// HTTP/1.1 by its ALPN name (RFC 7301, registered in RFC 7230).
const HTTP_1: &[u8] = b"http/1.1";

/// Opens connections to one target. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    port: u16,
    timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    shortage: Shortage,
}

impl Dialer {
    /// A dialer for `target` that speaks HTTP/1.1; each connection gets `timeout` for name, TCP and TLS together. The
    /// CA file, if there is one, is read here and not again.
    ///
    /// # Errors
    /// [`DialFault::Tls`] when the CA file gives no usable certificate or the host cannot be a server's name.
    pub fn new(target: &Target, timeout: Duration) -> Result<Self, DialError> {
        Self::speaking(target, timeout, Some(HTTP_1))
    }

    /// A dialer like that of [`Dialer::new`], whose TLS offers `protocol` by ALPN (RFC 7301), or nothing: not every
    /// protocol has a registered name, and a server may turn down a name it does not know.
    ///
    /// # Errors
    /// As for [`Dialer::new`].
    pub fn speaking(target: &Target, timeout: Duration, protocol: Option<&[u8]>) -> Result<Self, DialError> {
        let tls = match &target.tls {
            Some(settings) => Some((tls::connector(settings, protocol)?, tls::server_name(&target.host)?)),
            None => None,
        };
        let inner = Inner { host: target.host.clone(), port: target.port, timeout, tls, shortage: Shortage::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A new connection. The addresses of a name are tried in turn, each with an equal share of the time that is
    /// left, so that a silent first address does not hide a second one.
    ///
    /// # Errors
    /// A [`DialError`] that stands for all addresses.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        self.connect_saying(&[]).await.map(|(stream, _)| stream)
    }

    /// A new connection like that of [`Dialer::connect`], and how many of the first bytes of `words` have been sent over
    /// it already, which may be none: the rest is for whoever has the stream to send.
    ///
    /// # Errors
    /// As for [`Dialer::connect`]. Nothing was sent then.
    pub async fn connect_saying(&self, words: &[u8]) -> Result<(Stream, usize), DialError> {
        let deadline = Instant::now() + self.inner.timeout;
        let in_clear = if self.inner.tls.is_none() { words } else { &[] };
        let (tcp, sent) = self.reach(deadline, in_clear).await?;
        Ok((self.encrypt(tcp, deadline).await?, sent))
    }

    /// A new connection without TLS, whatever the target asks for: some protocols turn to TLS in mid-stream, which
    /// [`Dialer::secure`] then does.
    ///
    /// # Errors
    /// A [`DialError`] that stands for all addresses.
    pub async fn connect_plain(&self) -> Result<TcpStream, DialError> {
        self.reach(Instant::now() + self.inner.timeout, &[]).await.map(|(tcp, _)| tcp)
    }

    /// `tcp`, encrypted if the target asks for TLS.
    ///
    /// # Errors
    /// [`DialFault::Tls`], or [`DialFault::Timeout`] when the handshake outlasts the dialer's time.
    pub async fn secure(&self, tcp: TcpStream) -> Result<Stream, DialError> {
        self.encrypt(tcp, Instant::now() + self.inner.timeout).await
    }

    async fn reach(&self, deadline: Instant, words: &[u8]) -> Result<(TcpStream, usize), DialError> {
        self.find_and_connect(deadline, words).await.inspect_err(|error| self.inner.shortage.note(error))
    }

    async fn find_and_connect(&self, deadline: Instant, words: &[u8]) -> Result<(TcpStream, usize), DialError> {
        let addresses = self.resolve(deadline).await?;
        self.connect_any(&addresses, deadline, words).await
    }

    async fn encrypt(&self, tcp: TcpStream, deadline: Instant) -> Result<Stream, DialError> {
        match &self.inner.tls {
            None => Ok(Stream::Tcp(tcp)),
            Some((connector, name)) => {
                let handshake = timeout_at(deadline, connector.connect(name.clone(), tcp)).await;
                let tls = handshake.map_err(|_| self.timed_out())?.map_err(|error| tls::fault(&error))?;
                Ok(Stream::Tls(Box::new(TlsStream::Client(tls))))
            }
        }
    }

    async fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
        let Inner { host, port, .. } = &*self.inner;
        let found = timeout_at(deadline, lookup_host((host.as_str(), *port))).await.map_err(|_| self.timed_out())?;
        let addresses: Vec<SocketAddr> = found.map_err(|error| unresolved(host, &error))?.collect();
        if addresses.is_empty() {
            return Err(unresolved(host, &"no address"));
        }
        Ok(addresses)
    }

    async fn connect_any(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
        words: &[u8],
    ) -> Result<(TcpStream, usize), DialError> {
        let mut gravest: Option<DialError> = None;
        for (tried, address) in addresses.iter().enumerate() {
            let time = share(deadline, addresses.len() - tried);
            let error = match timeout_at(time, attempt::attempt(*address, words)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => DialError::from_connect(*address, &error),
                Err(_) => self.timed_out(),
            };
            if gravest.as_ref().is_none_or(|other| error.weight() > other.weight()) {
                gravest = Some(error);
            }
        }
        Err(gravest.unwrap_or_else(|| self.timed_out()))
    }

    fn timed_out(&self) -> DialError {
        let reason = format!("no connection within {}", humantime::format_duration(self.inner.timeout));
        DialError { fault: DialFault::Timeout, reason, hint: None }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { host, port, timeout, tls, .. } = &*self.inner;
        write!(f, "Dialer({host}:{port}, tls: {}, {timeout:?})", tls.is_some())
    }
}

/// A resolver that cannot open a socket says only that it found nothing, so that is looked into.
fn unresolved(host: &str, detail: &dyn fmt::Display) -> DialError {
    if shortage::is_on() {
        return DialError::starved();
    }
    let reason = format!("the name {host} does not resolve: {detail}");
    DialError { fault: DialFault::Dns, reason, hint: Some("is the host spelt right?") }
}

/// An equal part of the time left, with `candidates` still to try.
fn share(deadline: Instant, candidates: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(candidates).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::{
        io::{self, Write},
        path::PathBuf,
    };

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{ServerConfig, crypto::ring};
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use tempfile::NamedTempFile;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket},
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::config::ClientTls;

    const TIMEOUT: Duration = Duration::from_secs(5);

    async fn dial(host: &str, port: u16, tls: Option<ClientTls>) -> Result<Stream, DialError> {
        Dialer::new(&Target { host: host.to_owned(), port, tls }, TIMEOUT)?.connect().await
    }

    fn trusting(ca: Option<PathBuf>) -> Option<ClientTls> {
        Some(ClientTls { ca })
    }

    /// Bound and not listening: refused, and nobody else's meanwhile.
    pub(super) fn bound() -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    }

    async fn listen() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A TLS server for `localhost` that sends back what it reads, and the file of its own certificate.
    async fn echo() -> (u16, NamedTempFile) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(cert.pem().as_bytes()).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let (listener, port) = listen().await;
        tokio::spawn(async move {
            let tcp = listener.accept().await.unwrap().0;
            let Ok(stream) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await else { return };
            let (mut from, mut to) = tokio::io::split(stream);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        (port, file)
    }

    #[tokio::test]
    async fn bytes_pass_a_plain_connection_without_nagle() {
        let (listener, port) = listen().await;
        let Stream::Tcp(stream) = dial("localhost", port, None).await.unwrap() else { panic!("not plain") };
        assert!(stream.nodelay().unwrap());
        Stream::Tcp(stream).write_all(b"hello").await.unwrap();
        let mut heard = String::new();
        listener.accept().await.unwrap().0.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
    }

    #[tokio::test]
    async fn bytes_pass_a_tls_connection_trusted_by_its_private_ca() {
        let (port, ca) = echo().await;
        let target = Target { host: "localhost".to_owned(), port, tls: trusting(Some(ca.path().to_owned())) };
        let (mut stream, sent) =
            Dialer::new(&target, TIMEOUT).unwrap().connect_saying(b"never in clear").await.unwrap();
        assert!(matches!(stream, Stream::Tls(_)));
        assert_eq!(sent, 0);
        assert_eq!(stream.write_vectored(&[io::IoSlice::new(b"hel"), io::IoSlice::new(b"lo")]).await.unwrap(), 5);
        stream.flush().await.unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn a_private_certificate_is_not_trusted_by_the_public_roots() {
        let (port, _ca) = echo().await;
        let error = dial("localhost", port, trusting(None)).await.unwrap_err();
        assert_eq!((error.fault, error.hint), (DialFault::Tls, Some("name the private CA with `ca = \"file.pem\"`")));
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_not_taken() {
        let (port, ca) = echo().await;
        let error = dial("127.0.0.1", port, trusting(Some(ca.path().to_owned()))).await.unwrap_err();
        assert_eq!(error.fault, DialFault::Tls);
        assert_eq!(error.hint, Some("use a name in the URL that the certificate carries"));
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_when_the_dialer_is_made() {
        let file = NamedTempFile::new().unwrap();
        let target = Target { host: "localhost".to_owned(), port: 1, tls: trusting(Some(file.path().to_owned())) };
        let error = Dialer::new(&target, TIMEOUT).unwrap_err();
        assert!(error.reason.ends_with("there is no certificate in it"), "{error}");
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused_by_name_and_by_address() {
        let reserved = bound();
        let port = reserved.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let error = dial(host, port, None).await.unwrap_err();
            assert!(error.is_refused(), "{host}: {error}");
        }
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_the_first_refuses() {
        let (_kept, alive) = listen().await;
        let dialer = Dialer::new(&Target { host: String::new(), port: 0, tls: None }, TIMEOUT).unwrap();
        let addresses = [([127, 0, 0, 2], alive), ([127, 0, 0, 1], alive)].map(SocketAddr::from);
        let (stream, _) = dialer.connect_any(&addresses, Instant::now() + TIMEOUT, &[]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), alive);
    }

    #[tokio::test]
    async fn a_refusal_outweighs_an_address_that_the_network_cannot_carry() {
        let dialer = Dialer::new(&Target { host: String::new(), port: 0, tls: None }, TIMEOUT).unwrap();
        let reserved = bound();
        let refused = reserved.local_addr().unwrap();
        // TCP has no broadcast: the kernel turns this down before a packet is sent.
        let unreachable = SocketAddr::from(([255, 255, 255, 255], 1));
        for addresses in [[unreachable, refused], [refused, unreachable]] {
            let error = dialer.connect_any(&addresses, Instant::now() + TIMEOUT, &[]).await.unwrap_err();
            assert!(error.is_refused(), "{error}");
        }
        let error = dialer.connect_any(&[unreachable], Instant::now() + TIMEOUT, &[]).await.unwrap_err();
        assert!(matches!(error.fault, DialFault::Unreachable(_)), "{error}");
    }

    #[tokio::test]
    async fn a_tls_handshake_that_is_never_answered_times_out() {
        let (_kept, port) = listen().await;
        let target = Target { host: "localhost".to_owned(), port, tls: trusting(None) };
        let error = Dialer::new(&target, Duration::from_millis(50)).unwrap().connect().await.unwrap_err();
        assert_eq!((error.fault, error.to_string().as_str()), (DialFault::Timeout, "no connection within 50ms"));
    }

    #[tokio::test]
    async fn a_server_whose_queue_is_full_times_out() {
        let listener = bound().listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _first_in_the_queue = dial("127.0.0.1", port, None).await.unwrap();
        let target = Target { host: "127.0.0.1".to_owned(), port, tls: None };
        let dialer = Dialer::new(&target, Duration::from_millis(50)).unwrap();
        for words in [&b"words"[..], &[]] {
            assert_eq!(dialer.connect_saying(words).await.unwrap_err().fault, DialFault::Timeout);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_gets_an_equal_share_of_the_time_left() {
        let now = Instant::now();
        assert_eq!(share(now + TIMEOUT, 5), now + TIMEOUT / 5);
        assert_eq!(share(now + TIMEOUT, 1), now + TIMEOUT);
    }
}
