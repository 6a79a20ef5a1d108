//! The client's side of TLS: always 1.3, the same cipher and curve for every server, and a certificate that is
//! checked against a given file.

use super::{LoadError, Transport};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub(crate) struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{0}` is no name a certificate could have")]
    Name(String),
    #[error("an https:// address needs --ca, the certificate to trust")]
    NoCa,
    #[error("cannot read certificates from {0}")]
    Read(String, #[source] rustls::pki_types::pem::Error),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error("this TLS setting is none for QUIC")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

impl Tls {
    pub fn new(host: &str, ca: Option<&Path>, transport: Transport) -> Result<Self, LoadError> {
        let config = client_config(ca.ok_or(TlsError::NoCa)?, transport)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

fn client_config(ca: &Path, transport: Transport) -> Result<ClientConfig, TlsError> {
    let unreadable = |error| TlsError::Read(ca.display().to_string(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![transport.alpn().to_vec()];
    config.resumption = match transport {
        Transport::Resumed => Resumption::store(Arc::new(Tickets::default())),
        _ => Resumption::disabled(),
    };
    Ok(config)
}

/// More than connections are open at once, so that none has to do without one.
const MAX_TICKETS: usize = 4096;

/// The tickets of one server. What rustls brings keeps eight of them, too few for hundreds of connections.
#[derive(Debug, Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl Tickets {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut queue = self.queue();
        if queue.len() == MAX_TICKETS {
            queue.pop_front();
        }
        queue.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.queue().pop_front()
    }
}
