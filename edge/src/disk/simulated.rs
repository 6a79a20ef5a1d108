//! A disk in memory that records what was asked of it, fails on command, and shows what a crash at any
//! point may have left.

mod crash;
mod files;

pub(crate) use crash::{Crash, Fate};

use super::{Boot, Disk, DiskFile};
use files::{Files, Op};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Debug, Default)]
struct Inner {
    start: Files,
    files: Files,
    ops: Vec<Op>,
    inodes: usize,
    /// How many more calls of `sync_data` succeed.
    syncs_left: Option<usize>,
    /// How many fail after these, before they succeed again; `None` = all.
    failing: Option<usize>,
    /// How many more bytes can be written, for a reason that `free` does not know.
    room: Option<usize>,
    /// Bytes that all files together can have.
    capacity: Option<u64>,
    /// Where reading fails, and how often it still does.
    unreadable: Vec<(PathBuf, Range<u64>, usize)>,
    /// Calls of `sync_data` wait here.
    held: bool,
    /// So many go on all the same.
    released: usize,
    waiting: usize,
    faults: Faults,
    /// How often the machine was started again.
    boot: u64,
    bytes_read: usize,
}

/// Calls that fail.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub share: bool,
    /// Of files whose names hold this.
    pub remove: Option<&'static str>,
    /// The next call of `sync_data` panics.
    pub panic: bool,
    /// The system does not say which boot this is.
    pub boot: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<Inner>>, Arc<Condvar>);

fn io_error(kind: io::ErrorKind) -> io::Error {
    io::Error::from(kind)
}

impl SimulatedDisk {
    pub fn fail_syncs_after(&self, syncs: usize) {
        self.0.lock().unwrap().syncs_left = Some(syncs);
    }

    /// As [`Self::fail_syncs_after`], but then it is over.
    pub fn fail_some_syncs_after(&self, syncs: usize, failing: usize) {
        let mut inner = self.0.lock().unwrap();
        (inner.syncs_left, inner.failing) = (Some(syncs), Some(failing));
    }

    /// From now on `sync_data` waits for [`Self::release_syncs`].
    pub fn hold_syncs(&self) {
        self.0.lock().unwrap().held = true;
    }

    pub fn release_syncs(&self) {
        self.0.lock().unwrap().held = false;
        self.1.notify_all();
    }

    /// Lets the one that is held back go on, and none that comes then.
    pub fn release_one_sync(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.released += 1;
        self.1.notify_all();
        drop(self.1.wait_while(inner, |inner| inner.released > 0).unwrap());
    }

    /// Returns when a call of `sync_data` is held back.
    pub fn wait_for_held_sync(&self) {
        let inner = self.0.lock().unwrap();
        drop(self.1.wait_while(inner, |inner| inner.waiting == 0).unwrap());
    }

    /// All files together have no more than this; `free` knows.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().unwrap().capacity = Some(bytes);
    }

    /// Reading any of these bytes fails so many times.
    pub fn make_unreadable(&self, path: &Path, bytes: Range<u64>, times: usize) {
        self.0.lock().unwrap().unreadable.push((path.to_path_buf(), bytes, times));
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    pub fn reboot(&self) {
        self.0.lock().unwrap().boot += 1;
    }

    pub fn bytes_read(&self) -> usize {
        self.0.lock().unwrap().bytes_read
    }

    pub fn limit_room(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().room = bytes;
    }

    pub fn ops(&self) -> usize {
        self.0.lock().unwrap().ops.len()
    }

    /// After how many operations a sync failed for the first time.
    pub fn first_failed_sync(&self) -> Option<usize> {
        self.0.lock().unwrap().ops.iter().position(|op| matches!(op, Op::SyncFailed { .. }))
    }

    /// How often whole blocks of zeros were written.
    pub fn writes_of_zeros(&self) -> usize {
        let zeros = |op: &&Op| matches!(op, Op::Write { bytes, .. } if bytes.iter().all(|byte| *byte == 0));
        self.0.lock().unwrap().ops.iter().filter(zeros).count()
    }

    pub fn corrupt(&self, path: &Path, at: usize) {
        let mut inner = self.0.lock().unwrap();
        let inode = inner.files.names[path];
        inner.files.data.get_mut(&inode).unwrap()[at] ^= 0x20;
    }

    /// An independent disk with the same files.
    pub fn fork(&self) -> Self {
        let inner = self.0.lock().unwrap();
        Self::with_files(inner.files.clone(), &inner, inner.boot)
    }

    fn with_files(files: Files, of: &Inner, boot: u64) -> Self {
        let inner = Inner { start: files.clone(), files, inodes: of.inodes, boot, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)), Arc::default())
    }

    /// The disk as it may be found when everything stopped after the first `ops` operations.
    pub fn crashed(&self, ops: usize, crash: Crash) -> Self {
        let inner = self.0.lock().unwrap();
        let boot = if crash.is_kill() { inner.boot } else { inner.boot + 1 };
        Self::with_files(crash::left(&inner.start, &inner.ops[..ops], crash), &inner, boot)
    }

    /// As [`Crash::Killed`], but what was not durable then may still be lost to a power cut that comes later. The first
    /// operation of whoever goes on there is the one behind `ops`.
    pub fn killed(&self, ops: usize) -> Self {
        let inner = self.0.lock().unwrap();
        let (start, ops) = (inner.start.clone(), inner.ops[..ops].to_vec());
        let mut files = start.clone();
        ops.iter().for_each(|op| files.apply(op));
        let killed = Inner { start, files, ops, inodes: inner.inodes, boot: inner.boot, ..Inner::default() };
        Self(Arc::new(Mutex::new(killed)), Arc::default())
    }
}

impl Inner {
    fn fails_now(&mut self) -> bool {
        match (&mut self.syncs_left, &mut self.failing) {
            (Some(left), _) if *left > 0 => *left -= 1,
            (Some(_), None) => return true,
            (Some(_), Some(failing)) if *failing > 0 => {
                *failing -= 1;
                return true;
            }
            _ => {}
        }
        false
    }

    fn must_have(&self, dir: Option<&Path>) -> io::Result<()> {
        let is_there = dir.is_some_and(|dir| self.files.has_dir(dir));
        if is_there { Ok(()) } else { Err(io_error(io::ErrorKind::NotFound)) }
    }

    fn record(&mut self, op: Op) {
        self.files.apply(&op);
        self.ops.push(op);
    }

    fn data(&self, path: &Path) -> io::Result<&Vec<u8>> {
        let inode = self.files.names.get(path).ok_or_else(|| io_error(io::ErrorKind::NotFound))?;
        self.files.data.get(inode).ok_or_else(|| io_error(io::ErrorKind::NotFound))
    }

    fn free(&self) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX };
        let len = |inode| self.files.data.get(inode).map_or(0, Vec::len);
        let used: usize = self.files.names.values().map(len).sum();
        capacity.saturating_sub(u64::try_from(used).unwrap())
    }

    fn check_readable(&mut self, path: &Path, wanted: Range<u64>) -> io::Result<()> {
        let hit = self.unreadable.iter_mut().find(|(at, bytes, times)| {
            at == path && *times > 0 && bytes.start < wanted.end && wanted.start < bytes.end
        });
        let Some((_, _, times)) = hit else { return Ok(()) };
        *times -= 1;
        // EIO
        Err(io::Error::from_raw_os_error(5))
    }
}

impl Disk for SimulatedDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<bool> {
        let mut inner = self.0.lock().unwrap();
        if inner.files.has_dir(dir) {
            return Ok(false);
        }
        inner.must_have(dir.parent())?;
        inner.record(Op::CreateDir { path: dir.to_path_buf() });
        Ok(true)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock().unwrap();
        let inside = inner.files.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(u64::try_from(self.0.lock().unwrap().data(path)?.len()).unwrap())
    }

    fn modified_secs(&self, _path: &Path) -> io::Result<i64> {
        Ok(0)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut inner = self.0.lock().unwrap();
        inner.check_readable(path, 0..u64::MAX)?;
        let bytes = inner.data(path)?.clone();
        inner.bytes_read += bytes.len();
        Ok(bytes)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut inner = self.0.lock().unwrap();
        inner.check_readable(path, offset..offset.saturating_add(u64::try_from(len).unwrap()))?;
        let data = inner.data(path)?;
        let from = usize::try_from(offset).unwrap().min(data.len());
        let bytes = data[from..data.len().min(from + len)].to_vec();
        inner.bytes_read += bytes.len();
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock().unwrap();
        inner.must_have(path.parent())?;
        inner.inodes += 1;
        let inode = inner.inodes;
        inner.record(Op::Create { path: path.to_path_buf(), inode });
        Ok(Box::new(SimulatedFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let op = Op::Rename { from: from.to_path_buf(), to: to.to_path_buf() };
        self.0.lock().unwrap().record(op);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.data(path)?;
        if inner.faults.remove.is_some_and(|name| path.to_string_lossy().contains(name)) {
            return Err(io::Error::other("injected"));
        }
        inner.record(Op::Remove { path: path.to_path_buf() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().unwrap().record(Op::SyncDir { dir: dir.to_path_buf() });
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let inode = {
            let inner = self.0.lock().unwrap();
            *inner.files.names.get(path).ok_or_else(|| io_error(io::ErrorKind::NotFound))?
        };
        SimulatedFile { disk: self.clone(), inode }.sync_data()
    }

    fn free(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().free())
    }

    fn boot(&self, _dir: &Path) -> Option<Boot> {
        let inner = self.0.lock().unwrap();
        (!inner.faults.boot).then(|| Boot(inner.boot.to_string().into_bytes()))
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
}

impl DiskFile for SimulatedFile {
    fn share(&self) -> io::Result<Box<dyn DiskFile>> {
        if self.disk.0.lock().unwrap().faults.share {
            return Err(io::Error::other("injected"));
        }
        Ok(Box::new(Self { disk: self.disk.clone(), inode: self.inode }))
    }

    fn write_all_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.0.lock().unwrap();
        let len = inner.files.data.get(&self.inode).map_or(0, Vec::len);
        // What is written over what is there takes no room.
        let over = len.saturating_sub(usize::try_from(offset).unwrap());
        let free = usize::try_from(inner.free()).unwrap_or(usize::MAX);
        let room = inner.room.unwrap_or(usize::MAX).min(free.saturating_add(over));
        let fits = bytes.len().min(room);
        inner.room = inner.room.map(|room| room - fits);
        inner.record(Op::Write { inode: self.inode, offset, bytes: bytes[..fits].to_vec() });
        if fits < bytes.len() { Err(io_error(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.0.lock().unwrap().record(Op::SetLen { inode: self.inode, len });
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let SimulatedDisk(inner, changed) = &self.disk;
        let mut inner = inner.lock().unwrap();
        let asked = inner.ops.len();
        inner.waiting += 1;
        changed.notify_all();
        inner = changed.wait_while(inner, |inner| inner.held && inner.released == 0).unwrap();
        inner.waiting -= 1;
        inner.released = inner.released.saturating_sub(1);
        changed.notify_all();
        if std::mem::take(&mut inner.faults.panic) {
            drop(inner);
            panic!("injected");
        }
        if inner.fails_now() {
            inner.record(Op::SyncFailed { inode: self.inode, asked });
            return Err(io::Error::other("injected"));
        }
        inner.record(Op::SyncFile { inode: self.inode, asked });
        Ok(())
    }
}
