//! The HTTP check over TLS of a private authority.

use std::sync::Arc;

use readygate::{
    config::{CheckKind, HttpCheck, Target},
    gate::Class,
};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    ask,
    certificates::{Certificates, distrusting},
    told,
};

/// Answers every request with a body that says `state: warm`; its port.
async fn serve(files: &Certificates) -> u16 {
    let chain = CertificateDer::pem_file_iter(files.certificate()).unwrap().map(Result::unwrap).collect();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(files.key()).unwrap())
        .unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let tcp = listener.accept().await.unwrap().0;
            // A client that does not trust us ends here.
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            // The head comes in one piece, and nothing hangs on what it says.
            let _count = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nstate: warm").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    port
}

fn get(target: Target, text: &str) -> CheckKind {
    let (path, text) = ("/health".to_owned(), Some(text.to_owned()));
    CheckKind::Http(HttpCheck { target, path, status: Vec::new(), json: Vec::new(), text, headers: Vec::new() })
}

#[tokio::test]
async fn https_of_a_private_authority_passes_where_it_is_named_and_only_there() {
    let files = Certificates::new();
    let port = serve(&files).await;
    assert_eq!(ask(get(files.target(port), "warm")).await, Ok(()));
    let cold = (Class::NotReady, "the body does not contain \"hot\"".to_owned(), "");
    assert_eq!(told(get(files.target(port), "hot")).await, cold);
    let (class, reason, hint) = told(get(distrusting(port), "warm")).await;
    assert_eq!((class, hint), (Class::Tls, "name the private CA with `ca = \"file.pem\"`"));
    assert!(reason.starts_with("TLS handshake failed: "), "{reason}");
}
