//! A disk in memory that records what was asked of it, fails on command, and shows what a crash at any
//! point may have left.

use super::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create { path: PathBuf, inode: usize },
    Write { inode: usize, offset: u64, bytes: Vec<u8> },
    SetLen { inode: usize, len: u64 },
    SyncFile { inode: usize },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    SyncDir { dir: PathBuf },
}

impl Op {
    fn is_data_of(&self, wanted: usize) -> bool {
        matches!(self, Op::Write { inode, .. } | Op::SetLen { inode, .. } if *inode == wanted)
    }

    fn touches_dir(&self, dir: &Path) -> bool {
        match self {
            Op::Create { path, .. } | Op::Remove { path } => path.parent() == Some(dir),
            Op::Rename { to, .. } => to.parent() == Some(dir),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Files {
    names: BTreeMap<PathBuf, usize>,
    data: BTreeMap<usize, Vec<u8>>,
}

impl Files {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { path, inode } => {
                self.names.insert(path.clone(), *inode);
                self.data.entry(*inode).or_default();
            }
            Op::Write { inode, offset, bytes } => {
                let data = self.data.entry(*inode).or_default();
                let offset = usize::try_from(*offset).unwrap();
                data.resize(data.len().max(offset + bytes.len()), 0);
                data[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Op::SetLen { inode, len } => {
                self.data.entry(*inode).or_default().resize(usize::try_from(*len).unwrap(), 0);
            }
            Op::Rename { from, to } => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            Op::Remove { path } => {
                self.names.remove(path);
            }
            Op::SyncFile { .. } | Op::SyncDir { .. } => {}
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    start: Files,
    files: Files,
    ops: Vec<Op>,
    inodes: usize,
    /// How many more calls of `sync_data` succeed.
    syncs_left: Option<usize>,
    /// How many more bytes can be written.
    room: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<Inner>>);

/// What a crash does to operations that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process died, the system lives: everything asked for is there.
    Killed,
    /// Power cut: nothing that was not synced is there.
    Dropped,
    /// Power cut: each operation that was not synced may be there, in part, or as zeros.
    Torn { seed: u64 },
}

fn io_error(kind: io::ErrorKind) -> io::Error {
    io::Error::from(kind)
}

impl SimulatedDisk {
    pub fn fail_syncs_after(&self, syncs: usize) {
        self.0.lock().unwrap().syncs_left = Some(syncs);
    }

    pub fn limit_room(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().room = bytes;
    }

    pub fn ops(&self) -> usize {
        self.0.lock().unwrap().ops.len()
    }

    pub fn corrupt(&self, path: &Path, at: usize) {
        let mut inner = self.0.lock().unwrap();
        let inode = inner.files.names[path];
        inner.files.data.get_mut(&inode).unwrap()[at] ^= 0x20;
    }

    /// An independent disk with the same files.
    pub fn fork(&self) -> Self {
        let inner = self.0.lock().unwrap();
        Self::with_files(inner.files.clone(), inner.inodes)
    }

    fn with_files(files: Files, inodes: usize) -> Self {
        let inner = Inner { start: files.clone(), files, inodes, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// The disk as it may be found when everything stopped after the first `ops` operations.
    pub fn crashed(&self, ops: usize, crash: Crash) -> Self {
        let inner = self.0.lock().unwrap();
        let ops = &inner.ops[..ops];
        let mut files = inner.start.clone();
        let mut random = match crash {
            Crash::Torn { seed } => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            _ => 1,
        };
        for (at, op) in ops.iter().enumerate() {
            let synced = ops[at..].iter().any(|later| match later {
                Op::SyncFile { inode } => op.is_data_of(*inode),
                Op::SyncDir { dir } => op.touches_dir(dir),
                _ => false,
            });
            match crash {
                _ if synced => files.apply(op),
                Crash::Killed => files.apply(op),
                Crash::Dropped => {}
                Crash::Torn { .. } => tear(&mut files, op, &mut random),
            }
        }
        Self::with_files(files, inner.inodes)
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

fn tear(files: &mut Files, op: &Op, random: &mut u64) {
    let choice = next(random) % 4;
    match (op, choice) {
        (_, 0) => {}
        (Op::Write { inode, offset, bytes }, 1) => {
            let keep = usize::try_from(next(random)).unwrap_or(0) % (bytes.len() + 1);
            files.apply(&Op::Write { inode: *inode, offset: *offset, bytes: bytes[..keep].to_vec() });
        }
        // The length got to the disk, the content did not.
        (Op::Write { inode, offset, bytes }, 2) => {
            files.apply(&Op::Write { inode: *inode, offset: *offset, bytes: vec![0; bytes.len()] });
        }
        _ => files.apply(op),
    }
}

impl Inner {
    fn record(&mut self, op: Op) {
        self.files.apply(&op);
        self.ops.push(op);
    }

    fn data(&self, path: &Path) -> io::Result<&Vec<u8>> {
        let inode = self.files.names.get(path).ok_or_else(|| io_error(io::ErrorKind::NotFound))?;
        self.files.data.get(inode).ok_or_else(|| io_error(io::ErrorKind::NotFound))
    }
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
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
        self.0.lock().unwrap().data(path).cloned()
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let inner = self.0.lock().unwrap();
        let data = inner.data(path)?;
        let from = usize::try_from(offset).unwrap().min(data.len());
        Ok(data[from..data.len().min(from + len)].to_vec())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock().unwrap();
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
        inner.record(Op::Remove { path: path.to_path_buf() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().unwrap().record(Op::SyncDir { dir: dir.to_path_buf() });
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
}

impl DiskFile for SimulatedFile {
    fn write_all_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.0.lock().unwrap();
        let room = inner.room.unwrap_or(usize::MAX);
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
        let mut inner = self.disk.0.lock().unwrap();
        match &mut inner.syncs_left {
            Some(0) => return Err(io::Error::other("injected")),
            Some(left) => *left -= 1,
            None => {}
        }
        inner.record(Op::SyncFile { inode: self.inode });
        Ok(())
    }
}
