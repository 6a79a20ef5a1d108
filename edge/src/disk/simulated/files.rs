//! What is on a simulated disk, and what changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub(super) enum Op {
    CreateDir {
        path: PathBuf,
    },
    Create {
        path: PathBuf,
        inode: usize,
    },
    Write {
        inode: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLen {
        inode: usize,
        len: u64,
    },
    /// Only what was written before operation `asked`.
    SyncFile {
        inode: usize,
        asked: usize,
    },
    /// What was written before may never get to the disk, whatever a later call says.
    SyncFailed {
        inode: usize,
        asked: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    SyncDir {
        dir: PathBuf,
    },
}

impl Op {
    /// To the content of its file.
    pub fn apply_to(&self, content: &mut Vec<u8>) {
        match self {
            Op::Write { offset, bytes, .. } => {
                let offset = usize::try_from(*offset).unwrap();
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Op::SetLen { len, .. } => content.resize(usize::try_from(*len).unwrap(), 0),
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    pub dirs: BTreeSet<PathBuf>,
    pub names: BTreeMap<PathBuf, usize>,
    pub data: BTreeMap<usize, Vec<u8>>,
}

impl Files {
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::CreateDir { path } => drop(self.dirs.insert(path.clone())),
            Op::Create { path, inode } => {
                self.names.insert(path.clone(), *inode);
                self.data.entry(*inode).or_default();
            }
            Op::Write { inode, .. } | Op::SetLen { inode, .. } => {
                op.apply_to(self.data.entry(*inode).or_default());
            }
            Op::Rename { from, to } => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            Op::Remove { path } => {
                self.names.remove(path);
            }
            Op::SyncFile { .. } | Op::SyncFailed { .. } | Op::SyncDir { .. } => {}
        }
    }

    pub fn has_dir(&self, dir: &Path) -> bool {
        dir.ancestors().filter(|dir| dir.parent().is_some()).all(|dir| self.dirs.contains(dir))
    }

    /// What was in directories that are not there.
    pub fn drop_unreachable(&mut self) {
        let dirs: BTreeSet<_> = self.dirs.iter().filter(|dir| self.has_dir(dir)).cloned().collect();
        self.dirs = dirs;
        self.names.retain(|path, _| {
            path.parent().is_some_and(|dir| dir.parent().is_none() || self.dirs.contains(dir))
        });
    }
}
