//! TLS: one configuration for all workers, and a certificate that can be exchanged while it runs.

use crate::config::TlsConfig;
use crate::geo_file::{Stamp, stamp};
use crate::with_causes;
use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read as PEM (check its permissions and that it is the right file)", path.display())]
    Pem {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    #[error("{} holds something that is no X.509 certificate", .0.display())]
    Certificate(PathBuf),
    #[error("the certificate and the key {} do not belong together, or the key's kind is not supported", key.display())]
    Mismatch {
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// The certificate in use. Connections under way keep theirs.
#[derive(Debug, Default)]
pub struct Certificates {
    current: ArcSwapOption<CertifiedKey>,
    /// Unix seconds.
    not_after: AtomicI64,
    /// Exchanges refused since the start.
    refused: AtomicU64,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

impl Certificates {
    /// When the certificate expires, in Unix seconds; 0 = there is none.
    pub fn not_after(&self) -> i64 {
        self.not_after.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes the pair in the files into use; a pair that is no good changes nothing.
    pub fn load(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        let loaded = read_pair(certificate, key);
        let (pair, not_after) = loaded.inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })?;
        if pair.key.algorithm() == SignatureAlgorithm::RSA {
            tracing::warn!(path = %certificate.display(),
                "an RSA certificate makes each handshake many times dearer; ECDSA P-256 is better");
        }
        self.current.store(Some(Arc::new(pair)));
        self.not_after.store(not_after, Ordering::Relaxed);
        Ok(())
    }
}

fn read_pair(certificate: &Path, key: &Path) -> Result<(CertifiedKey, i64), TlsError> {
    let pem = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TlsError::Pem { path, source }
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(pem(certificate))?.collect();
    let chain = chain.map_err(pem(certificate))?;
    let first = chain.first().ok_or_else(|| TlsError::Empty(certificate.into()))?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(first).map_err(|_| TlsError::Certificate(certificate.into()))?;
    let not_after = parsed.validity().not_after.timestamp();
    let secret = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let pair = CertifiedKey::from_der(chain, secret, &default_provider())
        .map_err(|source| TlsError::Mismatch { key: key.into(), source })?;
    Ok((pair, not_after))
}

/// What the listeners need.
#[derive(Clone)]
pub struct Tls {
    pub certificates: Arc<Certificates>,
    /// For TCP: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
    pub stream: Arc<ServerConfig>,
    /// For QUIC: TLS 1.3, HTTP/3 alone.
    pub quic: Arc<ServerConfig>,
    /// Of the files when they were read.
    stamps: [Option<Stamp>; 2],
}

impl Tls {
    /// `None` when the operator wants no TLS.
    pub fn new(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let Some((certificate, key)) = config.files() else { return Ok(None) };
        // Looked at before they are read: a change in between is then seen as one.
        let stamps = [stamp(certificate), stamp(key)];
        let certificates = Arc::new(Certificates::default());
        certificates.load(certificate, key)?;
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let build = |versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&[u8]]| {
            let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(versions)?
                .with_no_client_auth();
            let mut config = builder.with_cert_resolver(certificates.clone());
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            // Its keys change by themselves. Early data stays off: a replayed click would count.
            config.ticketer = Ticketer::new()?;
            Ok::<_, rustls::Error>(Arc::new(config))
        };
        let stream = build(&versions, &[b"h2", b"http/1.1"])?;
        let quic = build(&versions[..1], &[b"h3"])?;
        Ok(Some(Self { certificates, stream, quic, stamps }))
    }
}

/// Follows the files on disk: whoever renews a certificate replaces them and restarts nobody.
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    seen: [Option<Stamp>; 2],
    certificates: Arc<Certificates>,
}

impl CertificateFiles {
    pub fn new(config: &TlsConfig, tls: &Tls) -> Option<Self> {
        let (certificate, key) = config.files()?;
        let (certificate, key) = (certificate.into(), key.into());
        Some(Self { certificate, key, seen: tls.stamps, certificates: Arc::clone(&tls.certificates) })
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        [stamp(&self.certificate), stamp(&self.key)]
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.check();
        }
    }

    /// Once for each state of the files. Between the change of one and of the other they do not belong
    /// together; then the second change brings the pair.
    fn check(&mut self) {
        let now = self.stamps();
        if now == self.seen {
            return;
        }
        self.seen = now;
        match self.certificates.load(&self.certificate, &self.key) {
            Ok(()) => {
                tracing::info!(not_after = self.certificates.not_after(), "the certificate was exchanged")
            }
            Err(error) => tracing::error!(
                error = with_causes(&error),
                "the new certificate cannot be used; going on with the last one"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::tls::{dev_certificate, write_pair};

    #[test]
    fn a_new_pair_is_taken_over_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let config = write_pair(dir.path(), &dev_certificate(2040));
        let tls = Tls::new(&config).unwrap().unwrap();
        let mut files = CertificateFiles::new(&config, &tls).unwrap();
        let year = |certificates: &Certificates| 1970 + certificates.not_after() / 31_556_952;
        assert_eq!(year(&tls.certificates), 2040);
        write_pair(dir.path(), &dev_certificate(2041));
        files.check();
        assert_eq!((year(&tls.certificates), tls.certificates.refused()), (2041, 0));
        let other = dev_certificate(2042);
        std::fs::write(config.certificate.as_ref().unwrap(), other.0.as_bytes()).unwrap();
        files.check();
        assert_eq!((year(&tls.certificates), tls.certificates.refused()), (2041, 1), "half of a pair");
        files.check();
        assert_eq!(tls.certificates.refused(), 1, "each state once");
        std::fs::write(config.key.as_ref().unwrap(), other.1.as_bytes()).unwrap();
        files.check();
        assert_eq!(year(&tls.certificates), 2042);
        std::fs::remove_file(config.key.as_ref().unwrap()).unwrap();
        files.check();
        assert_eq!(year(&tls.certificates), 2042, "the last good one stays");
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let config = write_pair(dir.path(), &dev_certificate(2040));
        let (certificate, key) = (config.certificate.clone().unwrap(), config.key.clone().unwrap());
        let error = |certificate: &Path, key: &Path| {
            let error = Certificates::default().load(certificate, key).unwrap_err();
            error.to_string()
        };
        assert!(error(&dir.path().join("none"), &key).contains("cannot be read"));
        assert!(error(&key, &key).contains("holds no certificate"));
        assert!(error(&certificate, &certificate).contains("cannot be read as PEM"));
        let other = dev_certificate(2040);
        std::fs::write(&key, other.1.as_bytes()).unwrap();
        assert!(error(&certificate, &key).contains("do not belong together"));
        assert!(Tls::new(&TlsConfig::default()).unwrap().is_none());
    }
}
