//! Opening and closing the spool.

use super::boot;
use super::clean::CleanMarker;
use super::log::{Log, LogEnd, Segment, segment_name};
use super::queue::{QueueState, SpoolHandle};
use super::reader::LaneReader;
use super::recover::{self, Found, Reading};
use super::steps::Steps;
use super::writer::Writer;
use super::{SpoolConfig, Streams};
use crate::disk::{Disk, DiskFile, SharedDisk, prepare, put_in_place};
use crate::lanes::PerLane;
use proto_model::Lane;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::watch;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the spool cannot be read or written (check the disk, its free space and the permissions)")]
    Io(#[from] io::Error),
    #[error(
        "{path} belongs to another edge or epoch (restore the matching identity, or move the spool away)"
    )]
    Foreign { path: PathBuf },
    #[error("the spool of this epoch is gone, and the ordinals it has used are not known")]
    Lost,
}

/// What a spool must know before it can open its log.
#[derive(Debug, Clone, Copy)]
pub struct OpenAs {
    pub streams: Streams,
    /// The last ordinal of each lane that stands in a sealed batch.
    pub sealed: PerLane<u64>,
    /// This epoch had a spool before: without segments it must not begin again at the first ordinal.
    pub existed: bool,
}

/// The open spool. Dropping it without [`Spool::close`] is an unclean end.
pub struct Spool {
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

impl Spool {
    pub fn open(disk: SharedDisk, dir: &Path, config: SpoolConfig, open: OpenAs) -> Result<Self, OpenError> {
        Self::open_for(&SpoolHandle::absent(disk, dir, config, open.streams), open, Reading::Strict)
    }

    /// As [`Spool::open`], for a handle that is in use already, and that was made for the same streams.
    pub fn open_for(handle: &SpoolHandle, open: OpenAs, reading: Reading) -> Result<Self, OpenError> {
        let (log, writer) = begin(handle, open, reading, false)?;
        let thread = std::thread::Builder::new().name("spool".into()).spawn(move || writer.run())?;
        Ok(Self::opened(log, Some(thread)))
    }

    /// As [`Spool::open_for`], but without a thread: nothing is written, prepared or made durable but by the calls of
    /// [`Steps`]. For simulations, which have one thread and a time of their own.
    pub fn open_in_steps(
        handle: &SpoolHandle,
        open: OpenAs,
        reading: Reading,
    ) -> Result<(Self, Steps), OpenError> {
        let (log, writer) = begin(handle, open, reading, true)?;
        Ok((Self::opened(log, None), Steps::new(writer)))
    }

    fn opened(log: Arc<Log>, thread: Option<JoinHandle<()>>) -> Self {
        let mut queue = log.shared.lock();
        (queue.next, queue.state) = (log.end.borrow().next, QueueState::Open);
        drop(queue);
        Self { log, thread }
    }

    pub fn handle(&self) -> SpoolHandle {
        SpoolHandle::new(Arc::clone(&self.log.shared))
    }

    pub fn log(&self) -> SpoolLog {
        SpoolLog { log: Arc::clone(&self.log) }
    }

    /// Makes everything durable and marks the log as closed. Blocks for one `fdatasync` or two.
    pub fn close(mut self) {
        self.stop(QueueState::Closing);
    }

    /// For a spool that is run in steps: the next of them end it, in order or as if it had been dropped.
    pub fn end(&mut self, in_order: bool) {
        self.stop(if in_order { QueueState::Closing } else { QueueState::Dropped });
    }

    fn stop(&mut self, state: QueueState) {
        {
            let mut queue = self.log.shared.lock();
            if matches!(queue.state, QueueState::Open | QueueState::Moving) {
                queue.state = state;
            }
        }
        self.log.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the spool thread had panicked");
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.stop(QueueState::Dropped);
    }
}

/// The reading end of the spool, for the sender.
#[derive(Clone)]
pub struct SpoolLog {
    log: Arc<Log>,
}

impl SpoolLog {
    pub fn streams(&self) -> Streams {
        self.log.shared.streams
    }

    pub fn reader(&self, lane: Lane, sealed: u64) -> LaneReader {
        LaneReader::new(Arc::clone(&self.log), lane, sealed)
    }

    /// Changes whenever more is durable.
    pub fn end(&self) -> watch::Receiver<LogEnd> {
        self.log.end.subscribe()
    }

    /// Deletes the segments that are wholly sealed.
    pub fn release(&self, sealed: PerLane<u64>) -> io::Result<()> {
        self.log.release(sealed)
    }

    /// Looks at the disk: there is little room, so that what need not be kept should go.
    pub fn is_tight(&self) -> bool {
        self.log.shared.look_at_the_disk();
        *self.log.shared.room.tight().borrow()
    }

    /// Changes when room becomes tight, or is no longer.
    pub fn tight(&self) -> watch::Receiver<bool> {
        self.log.shared.room.tight()
    }

    /// Counts sealed batches that are not acknowledged against the space of the spool.
    pub fn set_sealed_bytes(&self, bytes: u64) {
        self.log.shared.sealed_bytes.store(bytes, Ordering::Relaxed);
    }
}

fn begin(
    handle: &SpoolHandle,
    open: OpenAs,
    reading: Reading,
    alone: bool,
) -> Result<(Arc<Log>, Writer), OpenError> {
    let shared = Arc::clone(handle.shared());
    let (disk, dir) = (Arc::clone(&shared.room.disk), shared.room.dir.clone());
    let window = shared.config.window_hits();
    let boot = disk.boot(&dir);
    let found = recover::find(disk.as_ref(), &dir, open, reading, window, boot.as_ref())?;
    if found.fresh && open.existed {
        return Err(OpenError::Lost);
    }
    if !found.clean {
        tracing::warn!("the spool was not closed: its last segment is copied, some ordinals are skipped");
    }
    let started = start_segment(disk.as_ref(), &dir, &found, open, window)?;
    if found.marked {
        CleanMarker::remove(disk.as_ref(), &dir)?;
    }
    if window > 0 {
        boot::mark(disk.as_ref(), &dir, boot.as_ref());
    }
    shared.maybe_lost.fetch_add(started.maybe_lost, Ordering::Relaxed);
    shared.room.last_segment.store(started.end.offset, Ordering::Relaxed);
    shared.segment_bytes.store(started.segments.values().map(|s| s.bytes).sum(), Ordering::Relaxed);
    shared.look_at_the_disk();
    let (end, _) = watch::channel(started.end);
    let segments = Mutex::new(started.segments);
    let log = Arc::new(Log { disk, dir, boot, shared, segments, end });
    let writer = Writer::new(Arc::clone(&log), started.file, started.end, alone)?;
    Ok((log, writer))
}

struct Started {
    file: Box<dyn DiskFile>,
    end: LogEnd,
    segments: BTreeMap<u64, Segment>,
    maybe_lost: u64,
}

fn start_segment(
    disk: &dyn Disk,
    dir: &Path,
    found: &Found,
    open: OpenAs,
    window: u32,
) -> io::Result<Started> {
    let begun = recover::begin(found, open, window);
    let sequence = begun.header.sequence;
    let file = prepare(disk, dir, &segment_name(sequence), &begun.bytes)?;
    put_in_place(disk, dir, &segment_name(sequence))?;
    let mut segments = found.segments.clone();
    if segments.remove(&begun.header.replaces).is_some() {
        recover::remove_unneeded(disk, &dir.join(segment_name(begun.header.replaces)));
        disk.sync_dir(dir)?;
    }
    let offset = u64::try_from(begun.bytes.len()).unwrap_or(u64::MAX);
    segments.insert(sequence, Segment { bytes: offset, next: None });
    let end = LogEnd { sequence, offset, next: begun.next };
    Ok(Started { file, end, segments, maybe_lost: begun.maybe_lost })
}
