//! Enrolment: a one-time token is traded for an identity.

use super::{CONTROL_PLANE_NAME, Epoch, Identity, IdentityError, TlsIdentity, directory, files, server_only};
use crate::disk::{Disk, RealDisk};
use crate::spool::Streams;
use proto_model::{EdgeId, StreamNo};
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::{EnrollRequest, EnrollResponse, OpenEpochResponse};
use proto_wire::join::{JoinBundle, enroll_message};
use proto_wire::keys::{self, KeyError, PublicKey, SigningKey};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// For an enrolment or a renewal, from the connection to the answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error("this node is enrolled already: {} exists (use another data directory)", path.display())]
    AlreadyEnrolled { path: PathBuf },
    #[error("{} cannot be written (check the permissions and the free space)", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no keys could be made")]
    Key(#[from] KeyError),
    #[error("no certificate request could be made")]
    Request(#[from] rcgen::Error),
    #[error("no connection to {url}, or it is not the {CONTROL_PLANE_NAME} of the join bundle")]
    Connect {
        url: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error(
        "the control plane refused the enrolment (a join bundle is good once, for a short time: make a new one)"
    )]
    Refused(#[source] Box<tonic::Status>),
    #[error("the control plane did not answer in time (is the address right? a new bundle may be needed)")]
    TimedOut,
    #[error("the control plane's answer holds an unusable {0} (are the versions compatible?)")]
    Answer(&'static str),
    #[error("the identity cannot be stored")]
    Store(#[from] IdentityError),
}

/// Trades a join bundle for an identity, written to `data_dir/identity` in one piece.
pub async fn enroll(data_dir: &Path, bundle: &JoinBundle) -> Result<Identity, EnrollError> {
    let dir = directory(data_dir);
    if dir.exists() {
        return Err(EnrollError::AlreadyEnrolled { path: dir });
    }
    // A disk that cannot be written must not cost the operator a token.
    let unfinished = Unfinished::create(data_dir)?;
    let batch_key = SigningKey::generate()?;
    files::store_batch_key(&unfinished.0, &batch_key)?;
    let (key_pkcs8, csr_der) = certificate_request()?;
    let proof = batch_key.sign(keys::ENROLL, &enroll_message(&bundle.token, &csr_der));
    let request = EnrollRequest {
        join_token: bundle.token.clone(),
        csr_der,
        batch_public_key: batch_key.public().to_vec(),
        batch_key_proof: proof.to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(bundle, request)).await;
    let answer = answer.map_err(|_| EnrollError::TimedOut)??;
    store(data_dir, &unfinished, bundle, batch_key, key_pkcs8, answer)
}

async fn ask(bundle: &JoinBundle, request: EnrollRequest) -> Result<EnrollResponse, EnrollError> {
    let channel = server_only(&bundle.url, &bundle.ca_der)
        .await
        .map_err(|source| EnrollError::Connect { url: bundle.url.clone(), source })?;
    let answer = EdgeServiceClient::new(channel).enroll(request).await;
    Ok(answer.map_err(|status| EnrollError::Refused(Box::new(status)))?.into_inner())
}

/// A new P-256 key and the request for its certificate. The names in it do not matter.
pub(super) fn certificate_request() -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(Vec::new())?.serialize_request(&key)?;
    Ok((key.serialize_der(), request.der().to_vec()))
}

/// True when connections can be made with these: a certificate, and the key it was made for.
pub(super) fn usable(certificate_der: &[u8], key_pkcs8: &[u8]) -> bool {
    let certificate = CertificateDer::from(certificate_der).into_owned();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8)).clone_key();
    CertifiedKey::from_der(vec![certificate], key, &aws_lc_rs::default_provider()).is_ok()
}

fn store(
    data_dir: &Path,
    unfinished: &Unfinished,
    bundle: &JoinBundle,
    batch_key: SigningKey,
    key_pkcs8: Vec<u8>,
    answer: EnrollResponse,
) -> Result<Identity, EnrollError> {
    let dir = directory(data_dir);
    let edge = EdgeId::new(answer.edge_id).ok_or(EnrollError::Answer("edge id"))?;
    let epoch =
        answer.epoch.and_then(|epoch| read_epoch(edge, &epoch)).ok_or(EnrollError::Answer("epoch"))?;
    let control_key = PublicKey::from_slice(&answer.control_public_key)
        .map_err(|_| EnrollError::Answer("control plane key"))?;
    if !usable(&answer.certificate_der, &key_pkcs8) {
        return Err(EnrollError::Answer("certificate"));
    }
    let identity = Identity {
        edge,
        control_url: bundle.url.clone(),
        control_key,
        // The bundle's, not the answer's: it is the one that was carried here by hand.
        ca_der: bundle.ca_der.clone(),
        batch_key: Arc::new(batch_key),
        dir: dir.clone(),
    };
    let issued_at_secs = crate::node::now_secs();
    let tls = TlsIdentity { issued_at_secs, certificate_der: answer.certificate_der, key_pkcs8 };
    files::store(&unfinished.0, &identity)?;
    files::store_tls(&unfinished.0, &tls)?;
    files::store_epoch(&unfinished.0, &epoch)?;
    // Renaming onto a directory that is not empty fails, so that two enrolments cannot mix.
    RealDisk.rename(&unfinished.0, &dir).map_err(|source| {
        if dir.exists() {
            return EnrollError::AlreadyEnrolled { path: dir.clone() };
        }
        EnrollError::Io { path: dir.clone(), source }
    })?;
    let unsynced = |source| EnrollError::Io { path: data_dir.to_path_buf(), source };
    RealDisk.sync_dir(data_dir).map_err(unsynced)?;
    Ok(identity)
}

/// An identity in the making: a directory that is removed unless it was renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn create(data_dir: &Path) -> Result<Self, EnrollError> {
        let random = u32::from_be_bytes(keys::random());
        let path = data_dir.join(format!("identity-{random:08x}.tmp"));
        RealDisk.create_dir(&path).map_err(|source| EnrollError::Io { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
        {
            let path = self.0.display();
            tracing::warn!(%path, %error, "keys that nothing uses were left behind; remove them");
        }
    }
}

/// What the control plane issued for a new spool.
pub(crate) fn read_epoch(edge: EdgeId, answer: &OpenEpochResponse) -> Option<Epoch> {
    let OpenEpochResponse { epoch, money_stream, traffic_stream } = *answer;
    let distinct = epoch != 0 && money_stream != 0 && traffic_stream != 0 && money_stream != traffic_stream;
    let (money, traffic) = (StreamNo(money_stream), StreamNo(traffic_stream));
    distinct.then_some(Epoch { streams: Streams { edge, epoch, money, traffic }, has_spool: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_wire::join::new_token;

    #[test]
    fn a_certificate_is_usable_with_its_own_key_only() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        assert!(usable(certificate.der(), &key.serialize_der()));
        assert!(!usable(certificate.der(), &other.serialize_der()));
        assert!(!usable(b"", &key.serialize_der()));
        assert!(!usable(b"garbage", &key.serialize_der()));
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_written_is_noticed_before_the_token_is_shown() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        // Nobody answers there: an attempt to connect would be another error.
        let url = "https://127.0.0.1:1".to_owned();
        let bundle = JoinBundle { url, token: new_token(), ca_der: vec![48] };
        assert!(matches!(enroll(&file, &bundle).await, Err(EnrollError::Io { .. })));
        assert!(matches!(enroll(data.path(), &bundle).await, Err(EnrollError::Connect { .. })));
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1, "no keys are left behind");
        std::fs::create_dir(directory(data.path())).unwrap();
        assert!(matches!(enroll(data.path(), &bundle).await, Err(EnrollError::AlreadyEnrolled { .. })));
    }
}
