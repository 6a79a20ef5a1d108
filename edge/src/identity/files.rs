//! The files of an identity, all readable by their owner only:
//! `node.toml` (who, where, whom to believe), `batch-key.pk8`, `tls.toml` (certificate and key in one
//! file, so that a renewal replaces both at once), `epoch.toml`.

use super::{Epoch, Identity, TlsIdentity};
use crate::disk::{RealDisk, write_durably};
use crate::spool::Streams;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto_model::{EdgeId, StreamNo};
use proto_wire::keys::{KeyError, PublicKey, SigningKey};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NODE: &str = "node.toml";
const BATCH_KEY: &str = "batch-key.pk8";
const TLS: &str = "tls.toml";
const EPOCH: &str = "epoch.toml";

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("this node is not enrolled: {} is missing (enrol it with a join bundle from the control plane)", path.display())]
    NotEnrolled { path: PathBuf },
    #[error("the identity file {} cannot be read or written (check the permissions)", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the identity file {} is damaged (restore it, or enrol into a new data directory)", path.display())]
    Damaged { path: PathBuf },
    #[error("the batch key cannot be used")]
    Key(#[from] KeyError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    edge: String,
    control_url: String,
    control_key: String,
    ca: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    issued_at_secs: i64,
    certificate: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochFile {
    epoch: u32,
    money_stream: u32,
    traffic_stream: u32,
    has_spool: bool,
}

pub(super) fn exists(dir: &Path) -> bool {
    dir.join(NODE).exists()
}

pub(super) fn load(dir: &Path) -> Result<Identity, IdentityError> {
    let path = dir.join(NODE);
    if !path.exists() {
        return Err(IdentityError::NotEnrolled { path });
    }
    let file: NodeFile = read_toml(&path)?;
    let damaged = || IdentityError::Damaged { path: path.clone() };
    let key_path = dir.join(BATCH_KEY);
    let pkcs8 = std::fs::read(&key_path).map_err(|source| IdentityError::Io { path: key_path, source })?;
    Ok(Identity {
        edge: file.edge.parse().map_err(|_| damaged())?,
        control_url: file.control_url,
        control_key: PublicKey::from_slice(&decode(&file.control_key, &path)?).map_err(|_| damaged())?,
        ca_der: decode(&file.ca, &path)?,
        batch_key: Arc::new(SigningKey::from_pkcs8(&pkcs8)?),
        dir: dir.to_path_buf(),
    })
}

pub(super) fn store_batch_key(dir: &Path, key: &SigningKey) -> Result<(), IdentityError> {
    write(dir, BATCH_KEY, key.pkcs8())
}

/// Everything that stays, but the batch key: that is stored before it is used.
pub(super) fn store(dir: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let file = NodeFile {
        edge: identity.edge.to_string(),
        control_url: identity.control_url.clone(),
        control_key: STANDARD.encode(identity.control_key.0),
        ca: STANDARD.encode(&identity.ca_der),
    };
    write_toml(dir, NODE, &file)
}

pub(super) fn load_tls(dir: &Path) -> Result<TlsIdentity, IdentityError> {
    let path = dir.join(TLS);
    let file: TlsFile = read_toml(&path)?;
    Ok(TlsIdentity {
        issued_at_secs: file.issued_at_secs,
        certificate_der: decode(&file.certificate, &path)?,
        key_pkcs8: decode(&file.key, &path)?,
    })
}

pub(super) fn store_tls(dir: &Path, tls: &TlsIdentity) -> Result<(), IdentityError> {
    let file = TlsFile {
        issued_at_secs: tls.issued_at_secs,
        certificate: STANDARD.encode(&tls.certificate_der),
        key: STANDARD.encode(&tls.key_pkcs8),
    };
    write_toml(dir, TLS, &file)
}

pub(super) fn load_epoch(dir: &Path, edge: EdgeId) -> Result<Epoch, IdentityError> {
    let file: EpochFile = read_toml(&dir.join(EPOCH))?;
    let (money, traffic) = (StreamNo(file.money_stream), StreamNo(file.traffic_stream));
    Ok(Epoch { streams: Streams { edge, epoch: file.epoch, money, traffic }, has_spool: file.has_spool })
}

pub(super) fn store_epoch(dir: &Path, epoch: &Epoch) -> Result<(), IdentityError> {
    let Streams { epoch: number, money, traffic, .. } = epoch.streams;
    let file = EpochFile {
        epoch: number,
        money_stream: money.0,
        traffic_stream: traffic.0,
        has_spool: epoch.has_spool,
    };
    write_toml(dir, EPOCH, &file)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
    write_durably(&RealDisk, dir, name, bytes)
        .map_err(|source| IdentityError::Io { path: dir.join(name), source })
}

fn write_toml<T: Serialize>(dir: &Path, name: &str, file: &T) -> Result<(), IdentityError> {
    let text = toml::to_string(file).map_err(|_| IdentityError::Damaged { path: dir.join(name) })?;
    write(dir, name, text.as_bytes())
}

fn read_toml<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, IdentityError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| IdentityError::Io { path: path.to_path_buf(), source })?;
    // The cause is left out: it quotes the file, and the file holds keys.
    toml::from_str(&text).map_err(|_| IdentityError::Damaged { path: path.to_path_buf() })
}

fn decode(text: &str, path: &Path) -> Result<Vec<u8>, IdentityError> {
    STANDARD.decode(text).map_err(|_| IdentityError::Damaged { path: path.to_path_buf() })
}
