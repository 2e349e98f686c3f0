//! Certificates and keys: read once here, so that a wrong file is found before a port is bound.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use x509_parser::certificate::Validity;

use super::Checker;
use crate::config::{ServerTls, key_path::KeyPath, raw};

impl Checker<'_, '_> {
    pub(super) fn server_tls(&mut self, raw: raw::ServerTls) -> Option<ServerTls> {
        let chain = self.named_file("cert", raw.cert).map(|cert| (self.chain(&cert), cert));
        let key = self.named_file("key", raw.key).map(|key| (self.private_key(&key), key));
        let ((chain, cert), (secret, key)) = chain.zip(key)?;
        if let Some((chain, secret)) = chain.zip(secret) {
            self.push_mismatch(chain, secret);
        }
        Some(ServerTls { cert, key })
    }

    /// The PEM file of a private CA, as it was named.
    pub(super) fn ca(&mut self, path: impl Into<KeyPath>, ca: Option<PathBuf>) -> Option<PathBuf> {
        let path = path.into();
        if let Some(file) = &ca {
            self.certificates(&path, file);
        }
        ca
    }

    /// A CA for a connection without TLS is a sign that TLS was meant.
    pub(super) fn push_useless_ca(&mut self, path: impl Into<KeyPath>, ca: Option<&PathBuf>) {
        if ca.is_some() {
            self.push(path, "ca has no effect without TLS", "use https, wss or tls in the URL, or leave ca out");
        }
    }

    fn named_file(&mut self, key: &str, file: Option<PathBuf>) -> Option<PathBuf> {
        if file.is_none() {
            let what = format!("server.tls has no {key}");
            self.push(tls(key), what, r#"write tls = { cert = "chain.pem", key = "key.pem" }"#);
        }
        file
    }

    fn chain(&mut self, file: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let path = tls("cert");
        let chain = self.certificates(&path, file)?;
        match x509_parser::parse_x509_certificate(chain.first()?) {
            Ok((_, leaf)) => self.push_untimely(&path, file, leaf.validity()),
            Err(_) => self.push(path, format!("{}: the first certificate is no X.509", file.display()), ""),
        }
        Some(chain)
    }

    fn push_untimely(&mut self, path: &KeyPath, file: &Path, validity: &Validity) {
        let now = seconds(self.environment.now);
        let what = match (now < validity.not_before.timestamp(), now > validity.not_after.timestamp()) {
            (true, _) => format!("is not valid before {}", validity.not_before),
            (_, true) => format!("expired on {}", validity.not_after),
            (false, false) => return,
        };
        self.push(path.clone(), format!("{}: the certificate {what}", file.display()), "clients would refuse it");
    }

    fn private_key(&mut self, file: &Path) -> Option<PrivateKeyDer<'static>> {
        let path = tls("key");
        let text = self.contents(&path, file)?;
        match PrivateKeyDer::from_pem_slice(&text) {
            Ok(key) => Some(key),
            Err(error) => {
                self.push_pem_error(&path, file, &error, "private key");
                None
            }
        }
    }

    fn push_mismatch(&mut self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) {
        match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
            Ok(_) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                self.push(
                    tls("key"),
                    "the key does not belong to the certificate",
                    "the first certificate in cert must be the key's own",
                );
            }
            Err(error) => self.push(tls("key"), format!("key and certificate cannot be used: {error}"), ""),
        }
    }

    fn certificates(&mut self, path: &KeyPath, file: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let text = self.contents(path, file)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let error = match found {
            Ok(found) if !found.is_empty() => return Some(found),
            Ok(_) => pem::Error::NoItemsFound,
            Err(error) => error,
        };
        self.push_pem_error(path, file, &error, "certificate");
        None
    }

    fn contents(&mut self, path: &KeyPath, file: &Path) -> Option<Vec<u8>> {
        match fs::read(file) {
            Ok(text) => Some(text),
            Err(error) => {
                self.push(path.clone(), format!("{} cannot be read: {error}", file.display()), "");
                None
            }
        }
    }

    /// The parser's own text would quote the file, and the file may be a key.
    fn push_pem_error(&mut self, path: &KeyPath, file: &Path, error: &pem::Error, wanted: &str) {
        let what = match error {
            pem::Error::NoItemsFound => format!("holds no {wanted} in PEM"),
            _ => "is damaged: its PEM cannot be read".to_owned(),
        };
        self.push(
            path.clone(),
            format!("{} {what}", file.display()),
            format!("a {wanted} in PEM begins with -----BEGIN"),
        );
    }
}

fn tls(key: &str) -> KeyPath {
    KeyPath::from("server.tls").key(key)
}

/// Since 1970; a clock before that is as good as its first second.
fn seconds(now: SystemTime) -> i64 {
    let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
