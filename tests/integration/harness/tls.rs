//! Certificates of example.org, and clients that trust one of them.

use std::{io, net::SocketAddr, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A self-signed certificate of example.org and its key.
pub(crate) fn certificate(change: impl Fn(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new(["example.org".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A client's TLS, which trusts `cert` and nothing else; fails where the server has another.
pub(crate) async fn tls_connect(address: SocketAddr, cert: &str) -> io::Result<TlsStream<TcpStream>> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("example.org").unwrap(), stream).await
}
