//! Enrolment and renewal: who may have a certificate.

use crate::app::{App, clock};
use crate::ca::{self, CaError, EdgeCertificate};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::fleet::{Edge, EdgeEpoch, NewEdge};
use proto_model::{EdgeId, UnixMicros};
use proto_wire::edge_v1::{EnrollRequest, EnrollResponse, OpenEpochResponse, RenewRequest, RenewResponse};
use proto_wire::join::{enroll_message, is_token, renew_message};
use proto_wire::keys::{self, PublicKey, sha256};
use proto_wire::limits;

/// How far an edge's clock may be off when it signs a renewal.
const RENEW_SKEW_SECS: i64 = 300;
/// After expiry a certificate may still be renewed this long.
const RENEW_GRACE_DAYS: u32 = 30;
const VERSION_MAX: usize = 64;

pub async fn enroll(app: &App, request: EnrollRequest) -> Result<EnrollResponse, AppError> {
    if !is_token(&request.join_token) {
        return Err(AppError::Unauthenticated);
    }
    let batch_key = PublicKey::from_slice(&request.batch_public_key)
        .map_err(|error| AppError::invalid("batch_public_key", error.to_string()))?;
    let message = enroll_message(&request.join_token, &request.csr_der);
    batch_key.verify(keys::ENROLL, &message, &request.batch_key_proof).map_err(|_| {
        AppError::invalid("batch_key_proof", "the signature does not verify under batch_public_key")
    })?;
    let now = clock::now();
    let id = EdgeId::from_random(clock::random_u64());
    let token = sha256(request.join_token.as_bytes());
    // Looked at first, so that strangers cannot make us sign; used up last, so that a bad request does not
    // cost the operator a token.
    app.store.check_join_token(&token, now).await.map_err(token_refused)?;
    let certificate = sign(app, &request.csr_der, id, now)?;
    let edge = NewEdge {
        id,
        batch_public_key: batch_key.0,
        certificate_serial: certificate.serial,
        version: limits::clean(&request.version, VERSION_MAX).into_owned(),
    };
    let (edge, epoch) = app.store.enroll_edge(&token, &edge, now).await.map_err(token_refused)?;
    tracing::info!(edge = %edge.id, name = edge.name, "an edge has joined");
    Ok(EnrollResponse {
        edge_id: edge.id.get(),
        certificate_der: certificate.der,
        ca_der: app.authority.ca_der().to_vec(),
        control_public_key: app.authority.control().public().to_vec(),
        epoch: Some(epoch_to_wire(epoch)),
    })
}

/// Unknown, used and expired tokens look the same from outside.
fn token_refused(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound | StoreError::Conflict(_) => AppError::Unauthenticated,
        other => other.into(),
    }
}

/// Works without the old certificate, which may have expired: the batch key proves who asks.
pub async fn renew(app: &App, request: RenewRequest) -> Result<RenewResponse, AppError> {
    let id = EdgeId::new(request.edge_id).ok_or(AppError::Unauthenticated)?;
    let edge = match app.store.get_edge(id).await {
        Ok(edge) => edge,
        Err(StoreError::NotFound) => return Err(AppError::Unauthenticated),
        Err(error) => return Err(error.into()),
    };
    let message = renew_message(id, request.signed_at_secs, &request.csr_der);
    PublicKey(edge.batch_public_key)
        .verify(keys::RENEW, &message, &request.proof)
        .map_err(|_| AppError::Unauthenticated)?;
    let now = clock::now();
    renewable(&edge, request.signed_at_secs, now)?;
    let certificate = sign(app, &request.csr_der, id, now)?;
    app.store.set_edge_certificate(id, &certificate.serial, now).await?;
    Ok(RenewResponse { certificate_der: certificate.der })
}

fn renewable(edge: &Edge, signed_at_secs: i64, now: UnixMicros) -> Result<(), AppError> {
    if edge.revoked {
        return Err(AppError::Forbidden);
    }
    if now.secs().abs_diff(signed_at_secs) > RENEW_SKEW_SECS.unsigned_abs() {
        return Err(AppError::invalid("signed_at_secs", "more than 300 s off; set the edge's clock"));
    }
    let expiry = ca::expiry_of(&edge.certificate_serial);
    if expiry.is_none_or(|expiry| now > expiry.plus_days(RENEW_GRACE_DAYS)) {
        return Err(AppError::Conflict {
            code: "certificate_too_old",
            message: "the certificate expired more than 30 days ago; enrol the edge again".into(),
        });
    }
    Ok(())
}

fn sign(app: &App, csr: &[u8], id: EdgeId, now: UnixMicros) -> Result<EdgeCertificate, AppError> {
    app.authority.sign_edge(csr, id, now).map_err(|error| match error {
        CaError::Request(why) => AppError::invalid("csr_der", why),
        other => AppError::internal("the certificate cannot be signed", other),
    })
}

pub async fn open_epoch(app: &App, edge: &Edge, reason: &str) -> Result<OpenEpochResponse, AppError> {
    let reason = limits::clean(reason, 256);
    let epoch = app.store.open_epoch(edge.id, &reason, clock::now()).await?;
    tracing::warn!(edge = %edge.id, epoch = epoch.epoch, reason = &*reason, "an edge starts a new spool");
    Ok(epoch_to_wire(epoch))
}

fn epoch_to_wire(epoch: EdgeEpoch) -> OpenEpochResponse {
    OpenEpochResponse {
        epoch: epoch.epoch,
        money_stream: epoch.money_stream.0,
        traffic_stream: epoch.traffic_stream.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;

    const ISSUED: UnixMicros = UnixMicros::from_secs(1_800_000_000);
    const DAY: i64 = 86_400;

    /// An edge with the certificate that the CA gave it at [`ISSUED`].
    fn edge() -> Edge {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), ISSUED).unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let id = EdgeId::new(42).unwrap();
        let certificate = authority.sign_edge(request.der(), id, ISSUED).unwrap();
        Edge {
            id,
            name: "edge".into(),
            batch_public_key: [1; 32],
            certificate_serial: certificate.serial,
            epoch: 1,
            version: "0.1.0".into(),
            created_at: ISSUED,
            last_seen_at: None,
            revoked: false,
        }
    }

    fn outcome(edge: &Edge, signed_off_by: i64, age_secs: i64) -> &'static str {
        let now = ISSUED.plus_secs(age_secs);
        match renewable(edge, now.secs() + signed_off_by, now) {
            Ok(()) => "renewed",
            Err(AppError::Invalid { field, .. }) => field,
            Err(AppError::Conflict { code, .. }) => code,
            Err(AppError::Forbidden) => "forbidden",
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn renewal_ends_thirty_days_after_expiry() {
        let edge = edge();
        for (age_secs, expected) in [
            (0, "renewed"),
            (14 * DAY, "renewed"),
            (44 * DAY, "renewed"),
            (44 * DAY + 1, "certificate_too_old"),
            (400 * DAY, "certificate_too_old"),
        ] {
            assert_eq!(outcome(&edge, 0, age_secs), expected, "{age_secs} s after issue");
        }
        for (off_by, expected) in
            [(-300, "renewed"), (300, "renewed"), (-301, "signed_at_secs"), (301, "signed_at_secs")]
        {
            assert_eq!(outcome(&edge, off_by, DAY), expected, "signed {off_by} s off");
        }
        assert_eq!(outcome(&Edge { revoked: true, ..edge.clone() }, 0, DAY), "forbidden");
        let foreign = Edge { certificate_serial: "00ff".into(), ..edge };
        assert_eq!(outcome(&foreign, 0, DAY), "certificate_too_old");
    }
}
