//! Snapshots on disk: `chunks/<sha256>` and `manifest-<version>`. Files get their name only when they
//! are complete; what fails its hash or signature is as good as absent.

use super::{Snapshot, SnapshotError};
use crate::disk::{SharedDisk, list_finished, write_durably};
use prost::Message;
use proto_wire::edge_v1::{Chunk, ChunkRef, Manifest, WatchResponse};
use proto_wire::keys::PublicKey;
use proto_wire::manifest::{self, ManifestError};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Sound manifests that are kept: the newest, and one to fall back to.
const KEPT: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotDiskError {
    #[error("the snapshot on disk cannot be read or written (check the disk and its free space)")]
    Io(#[from] io::Error),
    #[error("the manifest or a chunk is not what the control plane signed")]
    Manifest(#[from] ManifestError),
    #[error("the stored manifest is not one")]
    Decode(#[from] prost::DecodeError),
    #[error("the stored manifest is of another version than its name says")]
    Misnamed,
    #[error("the snapshot cannot be built")]
    Build(#[from] SnapshotError),
}

#[derive(Debug, Clone)]
pub struct SnapshotDisk {
    disk: SharedDisk,
    manifests: PathBuf,
    chunks: PathBuf,
    control_key: PublicKey,
}

impl SnapshotDisk {
    pub fn open(disk: SharedDisk, dir: &Path, control_key: PublicKey) -> io::Result<Self> {
        let chunks = dir.join("chunks");
        disk.create_dir(dir)?;
        disk.create_dir(&chunks)?;
        Ok(Self { disk, manifests: dir.to_path_buf(), chunks, control_key })
    }

    /// The newest snapshot that is complete and genuine, if there is one.
    pub fn load(&self) -> io::Result<Option<Snapshot>> {
        for version in self.versions()?.into_iter().rev() {
            match self.load_version(version) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(error) => {
                    let error = crate::with_causes(&error);
                    tracing::warn!(version, error, "a stored snapshot is unusable; trying an older one");
                }
            }
        }
        Ok(None)
    }

    fn load_version(&self, version: u64) -> Result<Snapshot, SnapshotDiskError> {
        self.build(&self.load_manifest(version)?)
    }

    fn load_manifest(&self, version: u64) -> Result<Manifest, SnapshotDiskError> {
        let stored = self.disk.read(&self.manifests.join(manifest_name(version)))?;
        let signed = WatchResponse::decode(stored.as_slice())?;
        let manifest = manifest::verify(&self.control_key, &signed)?;
        if manifest.version == version { Ok(manifest) } else { Err(SnapshotDiskError::Misnamed) }
    }

    /// The references of `manifest` whose chunks are not on disk, or damaged.
    pub fn missing(&self, manifest: &Manifest) -> Vec<ChunkRef> {
        manifest.chunks.iter().filter(|chunk| self.read_chunk(chunk).is_err()).cloned().collect()
    }

    pub fn store_chunk(&self, reference: &ChunkRef, bytes: &[u8]) -> Result<(), SnapshotDiskError> {
        manifest::decode_chunk(reference, bytes)?;
        Ok(write_durably(self.disk.as_ref(), &self.chunks, &hex(&reference.sha256), bytes)?)
    }

    /// Builds what `manifest` describes; all its chunks must be there.
    pub fn build(&self, manifest: &Manifest) -> Result<Snapshot, SnapshotDiskError> {
        let chunks = manifest.chunks.iter().map(|chunk| self.read_chunk(chunk));
        let chunks = chunks.collect::<Result<Vec<_>, _>>()?;
        Ok(Snapshot::from_chunks(manifest.version, &chunks)?)
    }

    fn read_chunk(&self, reference: &ChunkRef) -> Result<Chunk, SnapshotDiskError> {
        let bytes = self.disk.read(&self.chunks.join(hex(&reference.sha256)))?;
        Ok(manifest::decode_chunk(reference, &bytes)?)
    }

    /// From here on a start begins with this manifest.
    pub fn store_manifest(&self, version: u64, signed: &WatchResponse) -> io::Result<()> {
        let bytes = signed.encode_to_vec();
        write_durably(self.disk.as_ref(), &self.manifests, &manifest_name(version), &bytes)
    }

    /// Deletes manifests that are no longer needed, and chunks that no kept manifest names.
    pub fn collect(&self) -> Result<(), SnapshotDiskError> {
        let mut kept = 0;
        let mut named = BTreeSet::new();
        for version in self.versions()?.into_iter().rev() {
            // A damaged one is no use to fall back to, so it does not count.
            let sound = if kept < KEPT { self.load_manifest(version).ok() } else { None };
            match sound {
                Some(manifest) => {
                    kept += 1;
                    named.extend(manifest.chunks.iter().map(|chunk| hex(&chunk.sha256)));
                }
                None => self.disk.remove(&self.manifests.join(manifest_name(version)))?,
            }
        }
        // No manifest may be found again without its chunks because of us.
        self.disk.sync_dir(&self.manifests)?;
        for name in list_finished(self.disk.as_ref(), &self.chunks)? {
            if !named.contains(&name) {
                self.disk.remove(&self.chunks.join(name))?;
            }
        }
        Ok(())
    }

    /// Ascending.
    fn versions(&self) -> io::Result<Vec<u64>> {
        let names = list_finished(self.disk.as_ref(), &self.manifests)?;
        let mut versions: Vec<u64> =
            names.iter().filter_map(|name| name.strip_prefix("manifest-")?.parse().ok()).collect();
        versions.sort_unstable();
        Ok(versions)
    }
}

fn manifest_name(version: u64) -> String {
    format!("manifest-{version:020}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
