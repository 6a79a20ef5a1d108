//! A certificate authority for the scripted control plane.

use edge::identity::CONTROL_PLANE_NAME;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData,
    SanType,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub ca_der: Vec<u8>,
    pub ca_pem: String,
}

struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap();
        let (ca_der, ca_pem) = (certificate.der().to_vec(), certificate.pem());
        Self { issuer: Issuer::new(params, key), ca_der, ca_pem }
    }

    /// PEM of a server certificate and its key.
    pub fn server(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![CONTROL_PLANE_NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// An expired one was good long ago.
    pub fn sign(&self, csr_der: &[u8], edge: &str, expired: bool) -> Vec<u8> {
        let (_, request) = X509CertificationRequest::from_der(csr_der).unwrap();
        let point = request.certification_request_info.subject_pki.subject_public_key.data.to_vec();
        let mut params = CertificateParams::default();
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 15);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names =
            vec![SanType::URI(format!("spiffe://tributary/edge/{edge}").try_into().unwrap())];
        params.signed_by(&RequestedKey(point), &self.issuer).unwrap().der().to_vec()
    }
}
