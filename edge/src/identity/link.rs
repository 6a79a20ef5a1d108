//! Connections to the control plane.

use super::{CONTROL_PLANE_NAME, Identity, TlsIdentity};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
#[cfg(test)]
use proto_model::EdgeId;
#[cfg(test)]
use proto_wire::keys::{PublicKey, SigningKey};
use std::time::Duration;
#[cfg(test)]
use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error};

/// How long the TCP connection may take, and then again the TLS handshake. Each is limited by itself: a peer that
/// accepts and says nothing would otherwise be waited for until a restart.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens mutually authenticated connections with the certificate of the moment.
pub struct ControlLink {
    identity: Identity,
    tls: ArcSwap<TlsIdentity>,
    /// Another network than the machine's, which speaks no TLS.
    #[cfg(test)]
    dial: Option<Dial>,
}

#[cfg(test)]
pub(crate) type Dial = fn(Endpoint) -> Pin<Box<dyn Future<Output = Result<Channel, Error>> + Send>>;

impl ControlLink {
    pub fn new(identity: Identity, tls: TlsIdentity) -> Self {
        Self {
            identity,
            tls: ArcSwap::from_pointee(tls),
            #[cfg(test)]
            dial: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_a_simulation(
        edge: EdgeId,
        control_key: PublicKey,
        batch_key: SigningKey,
        dial: Dial,
    ) -> Self {
        let (certificate_der, key_pkcs8) = (Vec::new(), Vec::new());
        let tls = TlsIdentity { issued_at_secs: 0, certificate_der, key_pkcs8 };
        let identity = Identity {
            edge,
            control_url: "control-plane:1".into(),
            control_key,
            ca_der: Vec::new(),
            batch_key: Arc::new(batch_key),
            dir: PathBuf::new(),
        };
        Self { dial: Some(dial), ..Self::new(identity, tls) }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn tls(&self) -> std::sync::Arc<TlsIdentity> {
        self.tls.load_full()
    }

    /// Connections made from now on use `tls`.
    pub fn replace_tls(&self, tls: TlsIdentity) {
        self.tls.store(std::sync::Arc::new(tls));
    }

    pub async fn connect(&self) -> Result<Channel, Error> {
        #[cfg(test)]
        if let Some(dial) = self.dial {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.identity.control_url))?;
            return dial(patient(endpoint)).await;
        }
        let tls = self.tls.load_full();
        let certificate = pem("CERTIFICATE", &tls.certificate_der);
        let key = pem("PRIVATE KEY", &tls.key_pkcs8);
        let mutual = server_tls(&self.identity.ca_der)
            .identity(tonic::transport::Identity::from_pem(certificate, key));
        endpoint(&self.identity.control_url)?.tls_config(mutual)?.connect().await
    }
}

/// A connection on which only the server shows a certificate: for what must work without ours.
pub(crate) async fn server_only(url: &str, ca_der: &[u8]) -> Result<Channel, Error> {
    endpoint(url)?.tls_config(server_tls(ca_der))?.connect().await
}

fn server_tls(ca_der: &[u8]) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem("CERTIFICATE", ca_der)))
        .domain_name(CONTROL_PLANE_NAME)
        .timeout(CONNECT_TIMEOUT)
}

/// Whatever scheme an operator has configured, only TLS is spoken: with `http` the transport would leave
/// it out and send everything in clear, to anybody.
fn endpoint(url: &str) -> Result<Endpoint, Error> {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    Ok(patient(Endpoint::from_shared(format!("https://{place}"))?))
}

fn patient(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        // Finds a peer that went away without a word.
        .http2_keep_alive_interval(Duration::from_secs(10))
        // A ping waits behind what the kernel holds already, which takes its time over a slow link.
        .keep_alive_timeout(Duration::from_secs(30))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (at, c) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_is_spoken() {
        for url in ["https://control.example:8443", "http://control.example:8443", "control.example:8443"] {
            assert_eq!(endpoint(url).unwrap().uri().to_string(), "https://control.example:8443/", "{url}");
        }
        for url in ["", "https://", "https://not a host"] {
            assert!(endpoint(url).is_err(), "{url}");
        }
    }
}
