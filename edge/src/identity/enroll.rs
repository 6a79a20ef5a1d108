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
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    let batch_key = SigningKey::generate()?;
    let (key_pkcs8, csr_der) = certificate_request()?;
    let proof = batch_key.sign(keys::ENROLL, &enroll_message(&bundle.token, &csr_der));
    let request = EnrollRequest {
        join_token: bundle.token.clone(),
        csr_der,
        batch_public_key: batch_key.public().to_vec(),
        batch_key_proof: proof.to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let channel = server_only(&bundle.url, &bundle.ca_der)
        .await
        .map_err(|source| EnrollError::Connect { url: bundle.url.clone(), source })?;
    let answer = EdgeServiceClient::new(channel).enroll(request).await;
    let answer = answer.map_err(|status| EnrollError::Refused(Box::new(status)))?.into_inner();
    store(data_dir, bundle, batch_key, key_pkcs8, answer)
}

/// A new P-256 key and the request for its certificate. The names in it do not matter.
pub(super) fn certificate_request() -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(Vec::new())?.serialize_request(&key)?;
    Ok((key.serialize_der(), request.der().to_vec()))
}

fn store(
    data_dir: &Path,
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
    if answer.certificate_der.is_empty() {
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
    let unfinished = data_dir.join(format!("identity-{edge}.tmp"));
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| EnrollError::Io { path, source }
    };
    RealDisk.create_dir(data_dir).map_err(io(data_dir))?;
    RealDisk.create_dir(&unfinished).map_err(io(&unfinished))?;
    files::store(&unfinished, &identity)?;
    files::store_tls(&unfinished, &tls)?;
    files::store_epoch(&unfinished, &epoch)?;
    // Renaming onto a directory that is not empty fails, so that two enrolments cannot mix.
    RealDisk.rename(&unfinished, &dir).map_err(io(&dir))?;
    RealDisk.sync_dir(data_dir).map_err(io(data_dir))?;
    Ok(identity)
}

/// What the control plane issued for a new spool.
pub(crate) fn read_epoch(edge: EdgeId, answer: &OpenEpochResponse) -> Option<Epoch> {
    let OpenEpochResponse { epoch, money_stream, traffic_stream } = *answer;
    let distinct = epoch != 0 && money_stream != 0 && traffic_stream != 0 && money_stream != traffic_stream;
    let (money, traffic) = (StreamNo(money_stream), StreamNo(traffic_stream));
    distinct.then_some(Epoch { streams: Streams { edge, epoch, money, traffic }, has_spool: false })
}
