//! The file of the next segment, filled with zeros before it is needed.
//!
//! `fdatasync` of a file that grows waits for a commit of the file system's journal, and thereby for what
//! everybody else is writing. Where blocks are there already, it waits for its own data.

use super::log::Log;
use crate::disk::DiskFile;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Small steps, so that the `fdatasync` of a group never stands behind many megabytes of zeros.
const STEP: u64 = 1 << 20;
/// The last group of a segment runs over its size; there is room for it, too.
const ROOM: u64 = 16;

type Filled = io::Result<Box<dyn DiskFile>>;

/// The thread that fills the next file, one at a time.
#[derive(Default)]
pub(super) struct Ahead {
    under_way: Option<(u64, JoinHandle<Filled>)>,
    stop: Arc<AtomicBool>,
    failed: bool,
}

impl Ahead {
    /// The file for segment `sequence`, if it is ready. If none is being made, this begins it; after a
    /// failure only when it is `urgent`.
    pub fn next(&mut self, log: &Arc<Log>, sequence: u64, urgent: bool) -> Option<Box<dyn DiskFile>> {
        match self.under_way.take() {
            None if self.failed && !urgent => None,
            None => {
                self.begin(log, sequence);
                None
            }
            Some((at, thread)) if !thread.is_finished() => {
                self.under_way = Some((at, thread));
                None
            }
            Some((_, thread)) => match thread.join() {
                Ok(Ok(file)) => Some(file),
                outcome => {
                    self.failed = true;
                    let error = outcome.ok().and_then(Result::err);
                    tracing::warn!(?error, "the spool could not prepare a segment; the old one grows on");
                    None
                }
            },
        }
    }

    pub fn begin(&mut self, log: &Arc<Log>, sequence: u64) {
        let (log, stop) = (Arc::clone(log), Arc::clone(&self.stop));
        let filling = move || fill(&log, &log.path(sequence), &stop);
        match std::thread::Builder::new().name("spool-ahead".into()).spawn(filling) {
            Ok(thread) => self.under_way = Some((sequence, thread)),
            Err(error) => {
                self.failed = true;
                tracing::warn!(%error, "no thread to prepare a segment; the old one grows on");
            }
        }
    }

    /// Waits for what is under way and takes it back.
    pub fn end(&mut self, log: &Log) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some((sequence, thread)) = self.under_way.take()
            && let Ok(Ok(_)) = thread.join()
            && let Err(error) = log.disk.remove(&log.path(sequence))
        {
            // The next start removes it: it never began.
            tracing::debug!(%error, "a prepared segment could not be removed");
        }
    }
}

/// The file has its name from the beginning, so that taking it into use changes no directory. Without a header
/// it is none of the log's.
fn fill(log: &Log, path: &Path, stop: &AtomicBool) -> Filled {
    let size = log.shared.config.segment_bytes;
    let filled = log.disk.create(path).and_then(|mut file| {
        write_zeros(file.as_mut(), size.saturating_add(size / ROOM), stop)?;
        log.disk.sync_dir(&log.dir)?;
        Ok(file)
    });
    if filled.is_err() {
        let _ = log.disk.remove(path);
    }
    filled
}

fn write_zeros(file: &mut dyn DiskFile, len: u64, stop: &AtomicBool) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(STEP.min(len)).unwrap_or_default()];
    let mut at = 0;
    while at < len {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let step = STEP.min(len - at);
        file.write_all_at(at, zeros.get(..usize::try_from(step).unwrap_or_default()).unwrap_or_default())?;
        file.sync_data()?;
        at += step;
    }
    Ok(())
}
