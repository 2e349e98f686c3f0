//! TLS as a client: whom to trust, and what a failed handshake means.

use std::{io, path::Path, sync::Arc};

use rustls::{CertificateError, ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::TlsConnector;

use super::{DialError, DialFault};
use crate::config::ClientTls;

/// A connector that trusts what `settings` say, and offers `protocol`.
pub(super) fn connector(settings: &ClientTls, protocol: Option<&[u8]>) -> Result<TlsConnector, DialError> {
    let roots = match &settings.ca {
        Some(file) => private_roots(file)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| own_fault(format!("TLS is not usable: {error}")))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that the certificate must carry; an IP address is one too.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| own_fault(format!("{host} cannot be the name in a server's certificate")))
}

/// What a failed handshake is called.
pub(super) fn fault(error: &io::Error) -> DialError {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        let reason = format!("connection lost during the TLS handshake: {}", error.kind());
        return DialError { fault: DialFault::Tls, reason, hint: Some("does this port speak TLS?") };
    };
    DialError { fault: DialFault::Tls, reason: format!("TLS handshake failed: {inner}"), hint: advice(inner) }
}

fn advice(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidMessage(_) => Some("does this port speak TLS?"),
        rustls::Error::InvalidCertificate(fault) => advice_on_certificate(fault),
        _ => None,
    }
}

fn advice_on_certificate(fault: &CertificateError) -> Option<&'static str> {
    match fault {
        CertificateError::UnknownIssuer => Some("name the private CA with `ca = \"file.pem\"`"),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("use a name in the URL that the certificate carries")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some("renew the server's certificate"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Some("is the clock right?"),
        _ => None,
    }
}

fn private_roots(file: &Path) -> Result<RootCertStore, DialError> {
    let unreadable = |error: &dyn std::fmt::Display| own_fault(format!("cannot use {}: {error}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"there is no certificate in it"));
    }
    Ok(roots)
}

fn own_fault(reason: String) -> DialError {
    DialError { fault: DialFault::Tls, reason, hint: None }
}
