//! The few things the node asks of a file system, as a seam: durability is what this node is about, so
//! tests replace the disk by one that fails, tears and forgets.

mod real;
#[cfg(test)]
pub(crate) mod simulated;

pub use real::RealDisk;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub type SharedDisk = Arc<dyn Disk>;

pub trait Disk: Debug + Send + Sync + 'static {
    /// One directory in another that is there; `false` if there is one already.
    fn make_dir(&self, dir: &Path) -> io::Result<bool>;
    /// `dir` and all that it lies in, whenever the power goes.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let made = match (self.make_dir(dir), parent) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir(parent)?;
                self.make_dir(dir)?
            }
            (made, _) => made?,
        };
        // Also if it was there: whoever made it may have been killed before this.
        match parent.map_or(Ok(()), |parent| self.sync_dir(parent)) {
            // Of a directory that was there no file system has to be asked, and not each can do it.
            Err(error) if !made && is_refused(&error) => Ok(()),
            outcome => outcome,
        }
    }
    /// Names of the files in `dir`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Seconds since 1970 of the last change.
    fn modified_secs(&self, path: &Path) -> io::Result<i64>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// As many of `len` bytes from `offset` as the file has.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// An empty file under `path`, instead of one that may be there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes what somebody else wrote to a file durable. Fails also if the system could not write some of it since, and
    /// nobody was told.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Bytes that can still be written in `dir`; `u64::MAX` where the file system does not say.
    fn free(&self, dir: &Path) -> io::Result<u64>;
    /// Of the machine, and of the file system that `dir` is in. `None` where the system does not say.
    fn boot(&self, dir: &Path) -> Option<Boot>;
}

/// Names the time since the machine was started and the file system was mounted. While it is the same, what was written can
/// be read, durable or not; whoever wrote it may be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot(pub(crate) Vec<u8>);

pub trait DiskFile: Send {
    /// The same open file, for another thread.
    fn share(&self) -> io::Result<Box<dyn DiskFile>>;
    fn write_all_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// `fdatasync` of what was written before the call. After an error nothing is known of what was written since the last success, and
    /// asking again proves nothing: the kernel may have dropped the pages.
    fn sync_data(&mut self) -> io::Result<()>;
}

fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

const UNFINISHED: &str = ".tmp";

/// Writes a file that is either there as a whole or not at all, whenever the power goes.
pub fn write_durably(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = prepare(disk, dir, name, bytes)?;
    drop(file);
    put_in_place(disk, dir, name)
}

/// Writes a file that is either there as a whole or not at all when this process is killed. After a power cut it may be
/// anything.
pub fn write_volatile(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}{UNFINISHED}"));
    disk.create(&unfinished)?.write_all_at(0, bytes)?;
    disk.rename(&unfinished, &dir.join(name))
}

/// The first half of [`write_durably`]: all is written, but has not got its name.
pub fn prepare(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<Box<dyn DiskFile>> {
    let unfinished = dir.join(format!("{name}{UNFINISHED}"));
    let written = disk.create(&unfinished).and_then(|mut file| {
        file.write_all_at(0, bytes)?;
        file.sync_data()?;
        Ok(file)
    });
    if written.is_err() {
        // On a full disk half a file is in the way of everything else.
        let _ = disk.remove(&unfinished);
    }
    written
}

/// The second half.
pub fn put_in_place(disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<()> {
    disk.rename(&dir.join(format!("{name}{UNFINISHED}")), &dir.join(name))?;
    disk.sync_dir(dir)
}

/// Removes what [`write_durably`] left unfinished when the node died, and lists the rest, whose names are durable then:
/// before that, nothing may be removed for their sake.
pub fn list_finished(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<String>> {
    let (unfinished, finished): (Vec<_>, Vec<_>) =
        disk.list(dir)?.into_iter().partition(|name| name.ends_with(UNFINISHED));
    for name in unfinished {
        if let Err(error) = disk.remove(&dir.join(&name)) {
            // Whoever writes it again takes its place.
            tracing::warn!(%error, name, "what was left unfinished could not be removed");
        }
    }
    disk.sync_dir(dir)?;
    Ok(finished)
}

/// What stands for bytes that cannot be read. No zeros: these are what a prepared file holds.
const UNREADABLE: u8 = 0xff;
/// The least that a disk reads, or fails to read.
const BLOCK: u64 = 4096;

/// Whether the disk says that it cannot read, and not that somebody is short of something else.
pub fn is_damage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // What Linux makes of bad sectors, and file systems of checksums that are wrong.
    let damage = [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::BADMSG, Errno::UCLEAN];
    Errno::from_io_error(error).is_some_and(|errno| damage.contains(&errno))
}

/// Reads what can be read of `len` bytes from `offset`, as [`Disk::read_at`] does; each block that cannot is filled
/// with bytes that are no record. Says whether there were any.
pub fn read_around(disk: &dyn Disk, path: &Path, offset: u64, len: usize) -> io::Result<(Vec<u8>, bool)> {
    match disk.read_at(path, offset, len) {
        Err(error) if is_damage(&error) => {
            tracing::error!(%error, path = %path.display(), offset, "reading around what the disk cannot read");
        }
        outcome => return outcome.map(|bytes| (bytes, false)),
    }
    let end = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX)).min(disk.len(path)?);
    let (mut bytes, mut at, mut unreadable) = (Vec::new(), offset, false);
    while at < end {
        let next = (at / BLOCK + 1).saturating_mul(BLOCK).min(end);
        let wanted = usize::try_from(next - at).unwrap_or_default();
        match disk.read_at(path, at, wanted) {
            Ok(block) => bytes.extend_from_slice(&block),
            Err(error) if is_damage(&error) => unreadable = true,
            Err(error) => return Err(error),
        }
        bytes.resize(usize::try_from(next - offset).unwrap_or_default(), UNREADABLE);
        at = next;
    }
    Ok((bytes, unreadable))
}
