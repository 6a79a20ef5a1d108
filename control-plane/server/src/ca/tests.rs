use super::*;

const NOW: UnixMicros = UnixMicros::from_secs(1_800_000_000);

fn edge() -> EdgeId {
    EdgeId::new(42).unwrap()
}

fn csr(params: CertificateParams) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    (key, der)
}

#[test]
fn keys_stay_the_same_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let first = Authority::open(&keys, NOW).unwrap();
    let again = Authority::open(&keys, NOW.plus_days(400)).unwrap();
    assert_eq!(first.ca_der(), again.ca_der());
    assert_eq!(first.control().public(), again.control().public());
    assert_eq!(first.api_mac("cursor", b"x"), again.api_mac("cursor", b"x"));
    assert_ne!(first.api_mac("cursor", b"x"), first.api_mac("session", b"x"));
    for entry in std::fs::read_dir(&keys).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_lost_key_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    Authority::open(dir.path(), NOW).unwrap();
    std::fs::remove_file(dir.path().join(files::CONTROL_KEY)).unwrap();
    assert!(matches!(Authority::open(dir.path(), NOW), Err(CaError::Missing { .. })));
}

#[test]
fn signs_the_key_and_ignores_the_wishes() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), NOW).unwrap();
    let mut wishes = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (_, request) = csr(wishes);

    let signed = authority.sign_edge(&request, edge(), NOW).unwrap();
    assert_eq!(edge_of(&signed.der), Some(edge()));
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(&signed.der).unwrap();
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let days = (certificate.validity().not_after.timestamp() - NOW.secs()) / 86_400;
    assert_eq!(days, 14);
    assert_eq!(certificate.raw_serial_as_string().replace(':', ""), signed.serial);
    assert_eq!(expiry_of(&signed.serial), Some(NOW.plus_days(14)));
    assert_eq!(expiry_of("00ff"), None);
    let (_, ca) = x509_parser::certificate::X509Certificate::from_der(authority.ca_der()).unwrap();
    assert_eq!(certificate.issuer(), ca.subject());
    assert_eq!(edge_of(authority.ca_der()), None);
}

#[test]
fn refuses_what_does_not_prove_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), NOW).unwrap();
    let (_, good) = csr(CertificateParams::default());
    let mut altered = good.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = CertificateParams::default().serialize_request(&other).unwrap().der().to_vec();
    for (name, bytes) in [
        ("altered", altered),
        ("longer", longer),
        ("p384", p384),
        ("empty", vec![]),
        ("noise", vec![0x30; 99]),
    ] {
        let result = authority.sign_edge(&bytes, edge(), NOW);
        assert!(matches!(result, Err(CaError::Request(_))), "{name}");
    }
    for cut in 0..good.len() {
        assert!(authority.sign_edge(&good[..cut], edge(), NOW).is_err(), "cut at {cut}");
    }
}
