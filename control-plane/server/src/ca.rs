//! The fleet's certificate authority and the control plane's own keys, kept under `<data>/keys`.
//!
//! Edges trust this CA alone, and it signs nothing but edges and this server. What a CSR asks for is
//! ignored: the only thing taken from it is a public key whose possession it proves.

mod files;

pub use files::{ALL as KEY_FILES, CA_CERTIFICATE};

use aws_lc_rs::{constant_time, hmac, signature};
use proto_model::{EdgeId, UnixMicros};
use proto_wire::keys::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use std::path::Path;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// The name that edges expect, whatever address they reach the control plane by.
pub const SERVER_NAME: &str = "control-plane.tributary.internal";
const SPIFFE_PREFIX: &str = "spiffe://tributary/edge/";
const EDGE_DAYS: u32 = 14;
const SERVER_DAYS: u32 = 365;
const CA_DAYS: u32 = 20 * 365;
/// Clocks of edges may run behind by this much.
const BACKDATE_SECS: i64 = 3_600;

#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{action} {path}: check that the keys directory belongs to this user and has space")]
    File { action: &'static str, path: String, source: std::io::Error },
    #[error("{path} is damaged: restore the keys directory from a backup")]
    Damaged { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{path} is missing beside other keys: restore the keys directory from a backup")]
    Missing { path: String },
    #[error("cannot make a key or certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot make a signing key")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What an edge sent is not a request we sign.
    #[error("{0}")]
    Request(&'static str),
}

/// A certificate for an edge.
pub struct EdgeCertificate {
    pub der: Vec<u8>,
    /// Lower hex.
    pub serial: String,
}

/// PEM of this server's certificate and key, reissued at every start.
pub struct ServerIdentity {
    pub certificate: String,
    pub key: String,
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_der: Vec<u8>,
    ca_pem: String,
    control: SigningKey,
    api_key: hmac::Key,
}

impl Authority {
    /// Reads the keys, or makes them on the first start.
    pub fn open(keys_dir: &Path, now: UnixMicros) -> Result<Self, CaError> {
        let material = files::open_or_create(keys_dir, || Self::generate(now))?;
        let key = KeyPair::try_from(material.ca_key.as_slice())
            .map_err(|e| CaError::Damaged { path: files::CA_KEY.into(), source: e.into() })?;
        let control = SigningKey::from_pkcs8(&material.control_key)
            .map_err(|e| CaError::Damaged { path: files::CONTROL_KEY.into(), source: e.into() })?;
        Ok(Self {
            issuer: Issuer::new(ca_params(now), key),
            ca_pem: pem("CERTIFICATE", &material.ca_certificate),
            ca_der: material.ca_certificate,
            control,
            api_key: hmac::Key::new(hmac::HMAC_SHA256, &material.api_key),
        })
    }

    fn generate(now: UnixMicros) -> Result<files::Material, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let control = SigningKey::generate().map_err(|e| CaError::Key(e.into()))?;
        Ok(files::Material {
            ca_certificate: ca_params(now).self_signed(&key)?.der().to_vec(),
            ca_key: key.serialize_der(),
            control_key: control.pkcs8().to_vec(),
            api_key: crate::app::clock::random::<32>().to_vec(),
        })
    }

    pub fn ca_der(&self) -> &[u8] {
        &self.ca_der
    }

    /// Tells deployments apart.
    pub fn fingerprint(&self) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.ca_der);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        bytes
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Signs acks and manifests.
    pub fn control(&self) -> &SigningKey {
        &self.control
    }

    /// Authenticates what the API hands out and takes back (cursors, sessions); `purpose` keeps them apart.
    pub fn api_mac(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.api_key);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(message);
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    pub fn api_mac_verifies(&self, purpose: &str, message: &[u8], mac: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.api_mac(purpose, message), mac).is_ok()
    }

    pub fn server_identity(&self, now: UnixMicros) -> Result<ServerIdentity, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let names = vec![SERVER_NAME.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name(SERVER_NAME);
        leaf(&mut params, ExtendedKeyUsagePurpose::ServerAuth, now, SERVER_DAYS);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity { certificate: pem("CERTIFICATE", certificate.der()), key: key.serialize_pem() })
    }

    /// A certificate that says who the edge is and nothing of what the request asked for.
    pub fn sign_edge(
        &self,
        csr_der: &[u8],
        edge: EdgeId,
        now: UnixMicros,
    ) -> Result<EdgeCertificate, CaError> {
        let key = requested_key(csr_der)?;
        let serial = serial_at(now);
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&edge.to_string());
        let uri = format!("{SPIFFE_PREFIX}{edge}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        leaf(&mut params, ExtendedKeyUsagePurpose::ClientAuth, now, EDGE_DAYS);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let der = params.signed_by(&key, &self.issuer)?.der().to_vec();
        Ok(EdgeCertificate { der, serial: serial.iter().map(|byte| format!("{byte:02x}")).collect() })
    }
}

/// The edge that a certificate of our CA names; `None` for every other certificate (our server's own, too).
pub fn edge_of(certificate_der: &[u8]) -> Option<EdgeId> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate_der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        [x509_parser::extensions::GeneralName::URI(uri)] => uri.strip_prefix(SPIFFE_PREFIX)?.parse().ok(),
        _ => None,
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The issuer of every certificate is rebuilt from these, so the name must never change.
fn ca_params(now: UnixMicros) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Tributary control plane CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, now, CA_DAYS);
    params
}

fn leaf(params: &mut CertificateParams, usage: ExtendedKeyUsagePurpose, now: UnixMicros, days: u32) {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    valid_for(params, now, days);
}

fn valid_for(params: &mut CertificateParams, now: UnixMicros, days: u32) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |instant: UnixMicros| {
        epoch + std::time::Duration::from_secs(u64::try_from(instant.secs()).unwrap_or_default())
    };
    params.not_before = at(now.plus_secs(-BACKDATE_SECS));
    params.not_after = at(now.plus_days(days));
}

/// First byte of every serial: DER integers are signed, and this one is positive and not zero.
const SERIAL_MARK: u8 = 0x54;

/// A serial says when its certificate was issued (40 bits of seconds), then 80 random bits: so the fleet
/// table needs no second column to know how long a renewal is still allowed.
fn serial_at(now: UnixMicros) -> [u8; 16] {
    let mut serial: [u8; 16] = crate::app::clock::random();
    serial[0] = SERIAL_MARK;
    serial[1..6].copy_from_slice(&now.secs().to_be_bytes()[3..]);
    serial
}

/// When the edge certificate with this serial (lower hex) expires or has expired.
pub fn expiry_of(serial_hex: &str) -> Option<UnixMicros> {
    let seconds = serial_hex.strip_prefix(&format!("{SERIAL_MARK:02x}"))?.get(..10)?;
    let issued = i64::from_str_radix(seconds, 16).ok()?;
    Some(UnixMicros::from_secs(issued).plus_days(EDGE_DAYS))
}

/// The P-256 point of a request whose signature proves that the sender holds its key.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

fn requested_key(csr_der: &[u8]) -> Result<RequestedKey, CaError> {
    const SHAPE: CaError = CaError::Request("the certificate request is not PKCS#10 in DER");
    const ALGORITHM: CaError = CaError::Request("use a P-256 key and ecdsa-with-SHA256");
    if csr_der.len() > 8 * 1024 {
        return Err(SHAPE);
    }
    let (rest, request) = X509CertificationRequest::from_der(csr_der).map_err(|_| SHAPE)?;
    if !rest.is_empty() {
        return Err(SHAPE);
    }
    let info = &request.certification_request_info;
    let key = &info.subject_pki;
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let known = key.algorithm.algorithm.to_id_string() == EC_PUBLIC_KEY
        && curve.is_some_and(|oid| oid.to_id_string() == P256)
        && request.signature_algorithm.algorithm.to_id_string() == ECDSA_SHA256;
    if !known {
        return Err(ALGORITHM);
    }
    let point = key.subject_public_key.data.as_ref();
    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
        .verify(info.raw, &request.signature_value.data)
        .map_err(|_| CaError::Request("the signature of the certificate request does not verify"))?;
    Ok(RequestedKey(point.to_vec()))
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests;
