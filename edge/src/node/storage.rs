//! Opens what the node has on disk of its events: `spool/epoch-<n>/{log,sealed/<lane>}`.

use super::StartError;
use crate::config::Config;
use crate::disk::SharedDisk;
use crate::forward::SealedFiles;
use crate::identity::{ControlLink, Epoch, IdentityError, read_epoch};
use crate::lanes::PerLane;
use crate::spool::{OpenAs, OpenError, Reading, Spool, SpoolHandle};
use crate::state::State;
use crate::with_causes;
use proto_model::Lane;
use proto_wire::edge_v1::OpenEpochRequest;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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

pub(super) type Opened = (Spool, PerLane<SealedFiles>);

/// What is on disk of one epoch's events.
pub(super) struct Storage {
    disk: SharedDisk,
    dir: PathBuf,
    epoch: Epoch,
    link: Arc<ControlLink>,
    state: State,
    handle: SpoolHandle,
}

/// Opens what there is. A node whose disk is full or fails to read runs all the same, without a spool; it is for the
/// caller to try again then. A spool that is gone cannot go on: nobody knows which addresses it had given out. Then a
/// new epoch, with streams of its own, takes its place.
pub(super) async fn open(
    config: &Config,
    disk: SharedDisk,
    link: &Arc<ControlLink>,
    state: &State,
) -> Result<(Storage, Option<Opened>), StartError> {
    let with = |epoch| Storage::new(config, &disk, link, state, epoch);
    let mut storage = with(link.identity().load_epoch()?);
    let mut opened = storage.open(Reading::Strict);
    if let Err(StartError::Spool(OpenError::Lost)) = opened {
        tracing::error!(epoch = storage.epoch.streams.epoch, "the spool is gone; asking for a new epoch");
        // First: once the epoch is stored, the next start knows of no loss.
        state.forget_conversions();
        storage = with(new_epoch(link).await.map_err(StartError::NewEpoch)?);
        opened = storage.open(Reading::Strict);
    }
    match opened {
        Ok(opened) => Ok((storage, Some(opened))),
        Err(StartError::Spool(OpenError::Io(error))) if error.kind() != io::ErrorKind::PermissionDenied => {
            storage.report(&OpenError::Io(error));
            Ok((storage, None))
        }
        Err(error) => Err(error),
    }
}

impl Storage {
    fn new(config: &Config, disk: &SharedDisk, link: &Arc<ControlLink>, state: &State, epoch: Epoch) -> Self {
        let dir = directory(&config.data_dir, epoch.streams.epoch);
        let (log, sizes) = (dir.join("log"), config.spool.clone());
        let handle = SpoolHandle::absent(Arc::clone(disk), &log, sizes, epoch.streams);
        Self { disk: Arc::clone(disk), dir, epoch, link: Arc::clone(link), state: state.clone(), handle }
    }

    /// Of the spool, whether it is open or not.
    pub fn handle(&self) -> SpoolHandle {
        self.handle.clone()
    }

    pub fn report(&self, error: &(dyn Error + 'static)) {
        let error = with_causes(error);
        tracing::error!(error, "the spool cannot be opened; answering without it and trying again");
        self.handle.set_absent(error);
    }

    pub fn open(&self, reading: Reading) -> Result<Opened, StartError> {
        let mut files = PerLane::try_build(|lane| {
            let dir = self.dir.join("sealed").join(lane.as_str());
            SealedFiles::open_for(self.disk.clone(), &dir, reading).map_err(OpenError::Io)
        })?;
        let sealed = PerLane::build(|lane| files[lane].head().last);
        let open = OpenAs { streams: self.epoch.streams, sealed, existed: self.epoch.has_spool };
        let spool = match Spool::open_for(&self.handle, open, reading) {
            Err(OpenError::Io(error)) if is_full(&error) => {
                // What is kept for a control plane that may be restored takes the room of what is still to be sent.
                self.make_room(&mut files).map_err(OpenError::Io)?;
                Spool::open_for(&self.handle, open, reading)?
            }
            opened => opened?,
        };
        if !self.epoch.has_spool {
            // Only now: until here a crash leaves nothing behind that was given out.
            self.link.identity().store_epoch(&Epoch { has_spool: true, ..self.epoch })?;
        }
        Ok((spool, files))
    }

    fn make_room(&self, files: &mut PerLane<SealedFiles>) -> io::Result<()> {
        let cursors = self.state.ack_cursors(self.epoch.streams.epoch);
        for lane in Lane::ALL.iter().copied() {
            let acked = cursors[lane].map_or(0, |cursor| cursor.last_ordinal.min(files[lane].head().last));
            files[lane].make_room(acked)?;
        }
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::disk::simulated::SimulatedDisk;
    use crate::spool::Streams;
    use proto_model::{EdgeId, StreamNo};
    use proto_wire::keys::SigningKey;

    #[test]
    fn a_sealed_batch_that_is_never_read_does_not_keep_the_spool_shut() {
        let (disk, edge, key) =
            (SimulatedDisk::default(), EdgeId::new(7).unwrap(), SigningKey::generate().unwrap());
        let (shared, state): (SharedDisk, _) = (Arc::new(disk.clone()), State::of_a_simulation());
        let control_key = key.public_key();
        let link = ControlLink::of_a_simulation(edge, control_key, key, |at| {
            Box::pin(async move { at.connect().await })
        });
        let streams = Streams { edge, epoch: 1, money: StreamNo(3), traffic: StreamNo(4) };
        let config = Config { data_dir: "/data".into(), ..Config::default() };
        let epoch = Epoch { streams, has_spool: true };
        let storage = Storage::new(&config, &shared, &Arc::new(link), &state, epoch);
        let open = OpenAs { streams, sealed: PerLane::default(), existed: false };
        Spool::open(shared, &storage.dir.join("log"), config.spool, open).unwrap().close();

        let sealed = storage.dir.join("sealed/money");
        let name = format!("{:020}-{:020}.batch", 1, 4);
        disk.create_dir(&sealed).unwrap();
        crate::disk::write_durably(&disk, &sealed, &name, b"what nobody can read").unwrap();
        disk.make_unreadable(&sealed.join(&name), 0..1, usize::MAX);
        let failed = storage.open(Reading::Strict).err().unwrap();
        assert!(matches!(failed, StartError::Spool(OpenError::Io(error)) if crate::disk::is_damage(&error)));
        let (spool, files) = storage.open(Reading::Around).unwrap();
        assert!(files.money.may_have_reached(4));
        spool.close();
    }
}
