//! The file of the next segment, filled with zeros before it is needed.
//!
//! `fdatasync` of a file that grows waits for a commit of the file system's journal, and thereby for what
//! everybody else is writing. Where blocks are there already, it waits for its own data.
//!
//! Zeros are written as fast as the log grows, and no faster: all of them at once would be a second or two in which
//! every group waits behind them.

use super::log::Log;
use crate::disk::DiskFile;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Small steps, so that the `fdatasync` of a group never stands behind many megabytes of zeros.
const STEP: u64 = 1 << 20;
/// The last group of a segment runs over its size; there is room for it, too.
const ROOM: u64 = 16;
/// Zeros for each byte of the log, so that the next file is ready at half of this one.
const LEAD: u64 = 2;

type Filled = io::Result<Box<dyn DiskFile>>;

/// The thread that fills the next file, one at a time.
#[derive(Default)]
pub(super) struct Ahead {
    under_way: Option<(u64, Making)>,
    /// There is no other thread: the file is filled at once.
    alone: bool,
    pace: Arc<Pace>,
    /// The segment that could not be prepared. Another attempt is made for the one after it: zeros that do not fit
    /// would only take the place of hits, again and again.
    failed: Option<u64>,
}

enum Making {
    Thread(JoinHandle<Filled>),
    Made(Filled),
}

impl Making {
    fn is_finished(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.is_finished(),
            Self::Made(_) => true,
        }
    }

    fn unpark(&self) {
        if let Self::Thread(thread) = self {
            thread.thread().unpark();
        }
    }

    /// `None` if it panicked.
    fn join(self) -> Option<Filled> {
        match self {
            Self::Thread(thread) => thread.join().ok(),
            Self::Made(filled) => Some(filled),
        }
    }
}

/// What there is of the next segment.
pub(super) enum Next {
    Ready(Box<dyn DiskFile>),
    NotYet,
    /// It will not be prepared.
    Unprepared,
}

/// How far the thread may go.
#[derive(Default)]
struct Pace {
    stop: AtomicBool,
    /// Bytes that may be there.
    allowed: AtomicU64,
}

impl Pace {
    /// Returns once `bytes` may be there, or with an error when the spool ends.
    fn wait(&self, bytes: u64) -> io::Result<()> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if bytes <= self.allowed.load(Ordering::Relaxed) {
                return Ok(());
            }
            // Woken by whoever changes either of them.
            std::thread::park();
        }
    }
}

impl Ahead {
    pub fn new(alone: bool) -> Self {
        Self { alone, ..Self::default() }
    }

    /// Another one after the end of this one.
    pub fn renewed(&self) -> Self {
        Self::new(self.alone)
    }

    /// The log has grown to `offset` in its segment.
    pub fn grown_to(&self, offset: u64) {
        self.allow(offset.saturating_mul(LEAD).saturating_add(STEP));
    }

    fn allow(&self, bytes: u64) {
        let before = self.pace.allowed.fetch_max(bytes, Ordering::Relaxed);
        if let Some((_, making)) = self.under_way.as_ref().filter(|_| before / STEP != bytes / STEP) {
            making.unpark();
        }
    }

    /// The file for segment `sequence`, if it is ready. If none is being made, this begins it.
    pub fn next(&mut self, log: &Arc<Log>, sequence: u64) -> Next {
        match self.under_way.take() {
            None if self.failed == Some(sequence) => Next::Unprepared,
            None => {
                self.begin(log, sequence);
                // This segment was not prepared: the sooner the next one is ready, the better.
                self.allow(u64::MAX);
                Next::NotYet
            }
            Some((at, making)) if !making.is_finished() => {
                self.under_way = Some((at, making));
                self.allow(u64::MAX);
                Next::NotYet
            }
            Some((_, making)) => match making.join() {
                Some(Ok(file)) => Next::Ready(file),
                outcome => {
                    self.failed = Some(sequence);
                    let error = outcome.and_then(Result::err);
                    tracing::warn!(?error, "the spool could not prepare a segment");
                    Next::Unprepared
                }
            },
        }
    }

    pub fn begin(&mut self, log: &Arc<Log>, sequence: u64) {
        self.pace.allowed.store(STEP, Ordering::Relaxed);
        if self.alone {
            self.pace.allowed.store(u64::MAX, Ordering::Relaxed);
            self.under_way = Some((sequence, Making::Made(fill(log, &log.path(sequence), &self.pace))));
            return;
        }
        let (log, pace) = (Arc::clone(log), Arc::clone(&self.pace));
        let filling = move || fill(&log, &log.path(sequence), &pace);
        match std::thread::Builder::new().name("spool-ahead".into()).spawn(filling) {
            Ok(thread) => self.under_way = Some((sequence, Making::Thread(thread))),
            Err(error) => {
                self.failed = Some(sequence);
                tracing::warn!(%error, "no thread to prepare a segment");
            }
        }
    }

    /// Waits for what is under way and takes it back.
    pub fn end(&mut self, log: &Log) {
        self.pace.stop.store(true, Ordering::Relaxed);
        let Some((sequence, making)) = self.under_way.take() else { return };
        making.unpark();
        if let Some(Ok(_)) = making.join()
            && let Err(error) = log.disk.remove(&log.path(sequence))
        {
            // The next start removes it: it never began.
            tracing::debug!(%error, "a prepared segment could not be removed");
        }
    }
}

/// The file has its name from the beginning, so that taking it into use changes no directory. Without a header
/// it is none of the log's.
fn fill(log: &Log, path: &Path, pace: &Pace) -> Filled {
    let size = log.shared.room.segment();
    let len = size.saturating_add(size / ROOM);
    let filled = has_room(log, len).and_then(|()| log.disk.create(path)).and_then(|mut file| {
        write_zeros(log, file.as_mut(), len, pace)?;
        log.disk.sync_dir(&log.dir)?;
        Ok(file)
    });
    if filled.is_err() {
        let _ = log.disk.remove(path);
    }
    filled
}

/// Zeros make `fdatasync` quicker, hits are what the disk is for: zeros must leave room for as much again.
fn has_room(log: &Log, len: u64) -> io::Result<()> {
    log.shared.look_at_the_disk();
    let fits = log.shared.room.spare() / 2 >= len;
    if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

fn write_zeros(log: &Log, file: &mut dyn DiskFile, len: u64, pace: &Pace) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(STEP.min(len)).unwrap_or_default()];
    let mut at = 0;
    while at < len {
        let step = STEP.min(len - at);
        pace.wait(at + step)?;
        has_room(log, step)?;
        file.write_all_at(at, zeros.get(..usize::try_from(step).unwrap_or_default()).unwrap_or_default())?;
        file.sync_data()?;
        at += step;
    }
    Ok(())
}
