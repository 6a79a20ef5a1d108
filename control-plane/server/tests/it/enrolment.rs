//! Who may become an edge, and who may speak as one.

use crate::edge::{Candidate, Edge, connect, pem};
use crate::plane::Plane;
use control_plane_server::app::{clock, fleet};
use control_plane_server::ca;
use proto_wire::edge_v1::{OpenEpochRequest, RenewRequest, WatchRequest};
use proto_wire::join::renew_message;
use proto_wire::keys::{self, SigningKey};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tonic::Code;
use tonic::transport::Identity;

#[tokio::test]
async fn a_join_token_is_good_once() {
    let plane = Plane::start().await;
    let bundle = fleet::create_join_bundle(plane.app(), "Frankfurt 1").await.unwrap();
    let mut client = connect(&bundle, None).await;
    let candidate = Candidate::new();

    // Mistakes do not cost the token.
    let mut bad_proof = candidate.request(&bundle.token);
    bad_proof.batch_key_proof[0] ^= 1;
    assert_eq!(client.enroll(bad_proof).await.unwrap_err().code(), Code::InvalidArgument);
    let mut bad_request = Candidate::new();
    bad_request.csr.truncate(50);
    let error = client.enroll(bad_request.request(&bundle.token)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");

    let unknown = proto_wire::join::new_token();
    let error = client.enroll(candidate.request(&unknown)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);

    let joined = client.enroll(candidate.request(&bundle.token)).await.unwrap().into_inner();
    let id = ca::edge_of(&joined.certificate_der).unwrap();
    assert_eq!(id.get(), joined.edge_id);
    assert_eq!(plane.app().store.get_edge(id).await.unwrap().name, "Frankfurt 1");
    let again = client.enroll(Candidate::new().request(&bundle.token)).await.unwrap_err();
    assert_eq!(again.code(), Code::Unauthenticated);
    plane.stop().await;
}

#[tokio::test]
async fn only_known_edges_are_served() {
    let plane = Plane::start().await;
    let edge = Edge::join(&plane, "one").await;
    let watch = WatchRequest { have_version: 0 };

    let nobody = connect(&edge.bundle, None).await.watch(watch).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);

    // A certificate with the right name from somebody else's CA does not even shake hands.
    let ca_key = KeyPair::generate().unwrap();
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names =
        vec![SanType::URI(format!("spiffe://tributary/edge/{}", edge.id).try_into().unwrap())];
    let forged = params.signed_by(&key, &issuer).unwrap();
    let identity = Identity::from_pem(pem(forged.der()), key.serialize_pem());
    let foreign = connect(&edge.bundle, Some(identity)).await.watch(watch).await.unwrap_err();
    assert!(matches!(foreign.code(), Code::Unavailable | Code::Unknown), "{foreign:?}");

    // A certificate of our CA for an edge that nobody has enrolled.
    let candidate = Candidate::new();
    let stranger = proto_model::EdgeId::new(12_345).unwrap();
    let signed = plane.app().authority.sign_edge(&candidate.csr, stranger, clock::now()).unwrap();
    let identity = Identity::from_pem(pem(&signed.der), candidate.tls_key.serialize_pem());
    let unknown = connect(&edge.bundle, Some(identity)).await.watch(watch).await.unwrap_err();
    assert_eq!(unknown.code(), Code::PermissionDenied);

    assert!(edge.client().await.watch(watch).await.is_ok());
    fleet::revoke_edge(plane.app(), edge.id).await.unwrap();
    let mut client = edge.client().await;
    assert_eq!(client.watch(watch).await.unwrap_err().code(), Code::PermissionDenied);
    let reason = OpenEpochRequest { reason: "new disk".into() };
    assert_eq!(client.open_epoch(reason).await.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}

#[tokio::test]
async fn a_join_bundle_lasts_15_minutes_and_its_token_is_kept_as_a_hash() {
    let plane = Plane::start().await;
    let bundle = fleet::create_join_bundle(plane.app(), "one").await.unwrap();
    let hash = keys::sha256(bundle.token.as_bytes());
    let record = plane.app().store.check_join_token(&hash, clock::now()).await.unwrap();
    assert_eq!(record.expires_at.secs() - record.created_at.secs(), 900);
    assert!(plane.app().store.check_join_token(&hash, record.expires_at.plus_secs(-1)).await.is_ok());
    assert!(plane.app().store.check_join_token(&hash, record.expires_at).await.is_err());
    // Nothing in the files knows the token itself.
    let dir = plane.dir().to_owned();
    for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        let needle = bundle.token.as_bytes();
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{:?}", entry.path());
    }
    plane.stop().await;
}

fn renewal(edge: &Edge, candidate: &Candidate, key: &SigningKey, at: i64) -> RenewRequest {
    let proof = key.sign(keys::RENEW, &renew_message(edge.id, at, &candidate.csr));
    RenewRequest {
        edge_id: edge.id.get(),
        csr_der: candidate.csr.clone(),
        signed_at_secs: at,
        proof: proof.to_vec(),
    }
}

#[tokio::test]
async fn the_batch_key_renews_without_a_certificate() {
    let plane = Plane::start().await;
    let mut edge = Edge::join(&plane, "one").await;
    let mut client = connect(&edge.bundle, None).await;
    let fresh = Candidate::new();
    let now = clock::now().secs();

    let other_key = SigningKey::generate().unwrap();
    let cases = [
        (renewal(&edge, &fresh, &other_key, now), Code::Unauthenticated),
        (renewal(&edge, &fresh, &edge.keys.batch_key, now - 301), Code::InvalidArgument),
        (renewal(&edge, &fresh, &edge.keys.batch_key, now + 400), Code::InvalidArgument),
        (
            RenewRequest { edge_id: 99, ..renewal(&edge, &fresh, &edge.keys.batch_key, now) },
            Code::Unauthenticated,
        ),
        (
            RenewRequest {
                csr_der: edge.keys.csr.clone(),
                ..renewal(&edge, &fresh, &edge.keys.batch_key, now)
            },
            Code::Unauthenticated,
        ),
    ];
    for (request, code) in cases {
        assert_eq!(client.renew(request).await.unwrap_err().code(), code);
    }
    let request = renewal(&edge, &fresh, &edge.keys.batch_key, now);
    let renewed = client.renew(request).await.unwrap().into_inner().certificate_der;
    assert_eq!(ca::edge_of(&renewed), Some(edge.id));
    edge.certificate = renewed;
    edge.keys.tls_key = fresh.tls_key;
    assert!(edge.client().await.watch(WatchRequest { have_version: 0 }).await.is_ok());

    fleet::revoke_edge(plane.app(), edge.id).await.unwrap();
    let late = Candidate::new();
    let request = renewal(&edge, &late, &edge.keys.batch_key, now);
    assert_eq!(client.renew(request).await.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}

#[tokio::test]
async fn one_process_owns_a_data_directory() {
    let plane = Plane::start().await;
    let second = control_plane_server::start(control_plane_server::Config::local(plane.dir())).await;
    let error = second.err().expect("the directory is in use");
    assert!(matches!(error, control_plane_server::StartError::InUse { .. }), "{error}");
    plane.restart().await.stop().await;
}
