//! What a crash may leave of recorded operations.
//!
//! A synced operation is there. Of the others, a file system and a disk promise nothing: each sector of 512 bytes may
//! hold what it held at any time since; a file may have any of the lengths it had since; and each change of a directory
//! may be there without those before it.

use super::{Files, Op};
use std::collections::{BTreeMap, BTreeSet};

const SECTOR: usize = 512;

/// What a crash does to operations that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process died, the system lives: everything asked for is there.
    Killed,
    /// As killed, after an `fdatasync` that had failed: what it should have written is in memory no more.
    Evicted,
    /// Power cut: nothing that was not synced is there.
    Dropped,
    /// Power cut: any part may be there.
    Torn { seed: u64 },
    /// Power cut, and some kind of things fares worse than others.
    Mixed { data: Fate, lengths: Fate, names: Fate, seed: u64 },
}

impl Crash {
    /// The system lives.
    pub fn is_kill(self) -> bool {
        let kept = (Fate::Kept, Fate::Kept, Fate::Kept);
        match self {
            Self::Killed | Self::Evicted => true,
            Self::Mixed { data, lengths, names, .. } => (data, lengths, names) == kept,
            Self::Dropped | Self::Torn { .. } => false,
        }
    }
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Gone,
    /// Each may be either.
    Either,
}

impl Fate {
    pub const ALL: [Self; 3] = [Self::Kept, Self::Gone, Self::Either];

    fn keeps(self, random: &mut u64) -> bool {
        self.choose(2, random) == 1
    }

    /// How many of `count - 1` steps in a row are there.
    fn choose(self, count: usize, random: &mut u64) -> usize {
        match self {
            Self::Kept => count - 1,
            Self::Gone => 0,
            Self::Either => usize::try_from(next(random) >> 1).unwrap() % count,
        }
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

struct Chance {
    data: Fate,
    lengths: Fate,
    names: Fate,
    random: u64,
}

impl Chance {
    fn of(crash: Crash) -> Self {
        let (data, lengths, names, seed) = match crash {
            Crash::Killed | Crash::Evicted => (Fate::Kept, Fate::Kept, Fate::Kept, 0),
            Crash::Dropped => (Fate::Gone, Fate::Gone, Fate::Gone, 0),
            Crash::Torn { seed } => (Fate::Either, Fate::Either, Fate::Either, seed),
            Crash::Mixed { data, lengths, names, seed } => (data, lengths, names, seed),
        };
        Self { data, lengths, names, random: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }
}

/// `start` and what may be left of `ops`.
pub(super) fn left(start: &Files, ops: &[Op], crash: Crash) -> Files {
    let synced = synced(ops);
    if crash == Crash::Evicted {
        return evicted(start, ops, &synced);
    }
    let mut chance = Chance::of(crash);
    let mut files = start.clone();
    let mut data: BTreeMap<usize, Vec<(&Op, bool)>> = BTreeMap::new();
    for (op, synced) in ops.iter().zip(synced) {
        let synced = synced == Some(true);
        match op {
            Op::Write { inode, .. } | Op::SetLen { inode, .. } => {
                data.entry(*inode).or_default().push((op, synced));
            }
            Op::SyncFile { .. } | Op::SyncFailed { .. } | Op::SyncDir { .. } => {}
            _ if synced || chance.names.keeps(&mut chance.random) => files.apply(op),
            Op::Create { inode, .. } => drop(files.data.entry(*inode).or_default()),
            _ => {}
        }
    }
    for (inode, ops) in data {
        let content = files.data.entry(inode).or_default();
        let at_once = ops.iter().take_while(|(_, synced)| *synced).count();
        for (op, _) in &ops[..at_once] {
            op.apply_to(content);
        }
        tear(content, &ops[at_once..], &mut chance);
    }
    files.drop_unreachable();
    files
}

fn evicted(start: &Files, ops: &[Op], synced: &[Option<bool>]) -> Files {
    let mut files = start.clone();
    for (op, synced) in ops.iter().zip(synced) {
        match op {
            Op::Write { inode, offset, bytes } if *synced == Some(false) => {
                let content = files.data.entry(*inode).or_default();
                content.resize(content.len().max(usize::try_from(*offset).unwrap() + bytes.len()), 0);
            }
            _ => files.apply(op),
        }
    }
    files
}

/// For each operation, whether what was to make it durable has succeeded; `None` = nobody asked.
fn synced(ops: &[Op]) -> Vec<Option<bool>> {
    // Of each file and directory, the syncs that come later, the nearest at the end.
    let mut files: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
    let mut dirs = BTreeSet::new();
    let mut synced = vec![None; ops.len()];
    for (at, op) in ops.iter().enumerate().rev() {
        synced[at] = match op {
            Op::SyncFile { inode, asked } => {
                files.entry(*inode).or_default().push((*asked, true));
                continue;
            }
            Op::SyncFailed { inode, asked } => {
                files.entry(*inode).or_default().push((*asked, false));
                continue;
            }
            Op::SyncDir { dir } => {
                dirs.insert(dir.as_path());
                continue;
            }
            Op::Write { inode, .. } | Op::SetLen { inode, .. } => {
                let later =
                    files.get(inode).and_then(|syncs| syncs.iter().rev().find(|(asked, _)| at < *asked));
                later.map(|(_, succeeded)| *succeeded)
            }
            Op::Create { path, .. }
            | Op::Remove { path }
            | Op::Rename { to: path, .. }
            | Op::CreateDir { path } => path.parent().filter(|parent| dirs.contains(parent)).map(|_| true),
        };
    }
    synced
}

/// Applies to `content` what may be left of `ops`, sector by sector.
fn tear(content: &mut Vec<u8>, ops: &[(&Op, bool)], chance: &mut Chance) {
    if ops.is_empty() {
        return;
    }
    let certain = ops.iter().rposition(|(_, synced)| *synced).map_or(0, |at| at + 1);
    let mut whole = content.clone();
    let mut lengths = vec![whole.len()];
    for (op, _) in ops {
        op.apply_to(&mut whole);
        lengths.push(whole.len());
    }
    let possible = &lengths[certain..];
    let len = possible[chance.lengths.choose(possible.len(), &mut chance.random)];
    let longest = lengths.iter().copied().max().unwrap_or_default();
    content.resize(longest, 0);
    for from in (0..longest).step_by(SECTOR) {
        let through = longest.min(from + SECTOR);
        let touching: Vec<usize> = (0..ops.len()).filter(|at| ops[*at].0.touches(from, through)).collect();
        let certain = touching.partition_point(|at| *at < certain);
        let kept = certain + chance.data.choose(touching.len() - certain + 1, &mut chance.random);
        for at in &touching[..kept] {
            // What came before a success and is not synced had failed: its page may have been dropped.
            let (op, synced) = ops[*at];
            if synced || *at >= certain || chance.data.keeps(&mut chance.random) {
                op.apply_within(content, from, through);
            }
        }
    }
    content.resize(len, 0);
}

impl Op {
    fn touches(&self, from: usize, through: usize) -> bool {
        match self {
            Op::Write { offset, bytes, .. } => {
                let offset = usize::try_from(*offset).unwrap();
                offset < through && from < offset + bytes.len()
            }
            Op::SetLen { len, .. } => usize::try_from(*len).unwrap() < through,
            _ => false,
        }
    }

    /// The length of `content` stays.
    fn apply_within(&self, content: &mut [u8], from: usize, through: usize) {
        match self {
            Op::Write { offset, bytes, .. } => {
                let offset = usize::try_from(*offset).unwrap();
                let (from, through) = (from.max(offset), through.min(offset + bytes.len()));
                content[from..through].copy_from_slice(&bytes[from - offset..through - offset]);
            }
            Op::SetLen { len, .. } => content[from.max(usize::try_from(*len).unwrap())..through].fill(0),
            _ => {}
        }
    }
}
