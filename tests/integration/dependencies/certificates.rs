//! A private authority and a certificate of its for `localhost`.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use readygate::config::{ClientTls, Target};
use tempfile::TempDir;

/// Files in PEM. Gone when dropped.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let directory = TempDir::new().unwrap();
        for (name, text) in
            [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
        {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// TLS to `port`, trusting the authority.
    pub(crate) fn target(&self, port: u16) -> Target {
        Target { tls: Some(ClientTls { ca: Some(self.authority()) }), ..super::local(port) }
    }
}

/// TLS to `port`, trusting the public roots only.
pub(crate) fn distrusting(port: u16) -> Target {
    Target { tls: Some(ClientTls::default()), ..super::local(port) }
}
