//! Opens what the node has on disk of its events: `spool/epoch-<n>/{log,sealed/<lane>}`.

use super::StartError;
use crate::config::Config;
use crate::disk::SharedDisk;
use crate::forward::SealedFiles;
use crate::identity::{ControlLink, Epoch, IdentityError, read_epoch};
use crate::lanes::PerLane;
use crate::spool::{OpenAs, OpenError, Spool};
use crate::state::State;
use proto_wire::edge_v1::OpenEpochRequest;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EPOCH_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    #[error("no connection to the control plane")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane refused")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the control plane did not answer in time")]
    TimedOut,
    #[error("the control plane's answer names no epoch")]
    Answer,
    #[error("the epoch cannot be stored")]
    Store(#[from] IdentityError),
}

type Opened = (Spool, PerLane<SealedFiles>);

/// A spool that is gone cannot go on: nobody knows which addresses it had given out. Then a new epoch,
/// with streams of its own, takes its place.
pub(super) async fn open(
    config: &Config,
    disk: SharedDisk,
    link: &ControlLink,
    state: &State,
) -> Result<Opened, StartError> {
    let epoch = link.identity().load_epoch()?;
    match open_epoch(config, disk.clone(), link, epoch) {
        Err(StartError::Spool(OpenError::Lost)) => {
            tracing::error!(epoch = epoch.streams.epoch, "the spool is gone; asking for a new epoch");
            // First: once the epoch is stored, the next start knows of no loss.
            state.forget_conversions();
            let epoch = new_epoch(link).await.map_err(StartError::NewEpoch)?;
            open_epoch(config, disk, link, epoch)
        }
        opened => opened,
    }
}

fn open_epoch(
    config: &Config,
    disk: SharedDisk,
    link: &ControlLink,
    epoch: Epoch,
) -> Result<Opened, StartError> {
    let dir = directory(&config.data_dir, epoch.streams.epoch);
    let files = PerLane::try_build(|lane| {
        let dir = dir.join("sealed").join(lane.as_str());
        SealedFiles::open(disk.clone(), &dir).map_err(OpenError::Io)
    })?;
    let sealed = PerLane::build(|lane| files[lane].head().last);
    let open = OpenAs { streams: epoch.streams, sealed, existed: epoch.has_spool };
    let spool = Spool::open(disk, &dir.join("log"), config.spool.clone(), open)?;
    if !epoch.has_spool {
        // Only now: until here a crash leaves nothing behind that was given out.
        link.identity().store_epoch(&Epoch { has_spool: true, ..epoch })?;
    }
    Ok((spool, files))
}

async fn new_epoch(link: &ControlLink) -> Result<Epoch, EpochError> {
    let asking = async {
        let channel = link.connect().await?;
        let request = OpenEpochRequest { reason: "the spool of the last epoch is gone".into() };
        let answer = EdgeServiceClient::new(channel).open_epoch(request).await;
        answer.map_err(|status| EpochError::Refused(Box::new(status)))
    };
    let answer = tokio::time::timeout(EPOCH_TIMEOUT, asking).await.map_err(|_| EpochError::TimedOut)??;
    let epoch = read_epoch(link.identity().edge, answer.get_ref()).ok_or(EpochError::Answer)?;
    link.identity().store_epoch(&epoch)?;
    Ok(epoch)
}

fn directory(data_dir: &Path, epoch: u32) -> PathBuf {
    data_dir.join("spool").join(format!("epoch-{epoch:010}"))
}
