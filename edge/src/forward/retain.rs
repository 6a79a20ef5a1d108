//! Sealed batches of one lane, as files `<first>-<last>.batch`. A batch is durable here before it is
//! first sent, so what is sent again is the same to the byte. The newest file is never deleted: its head
//! hash is what the next batch is chained to.

use crate::disk::{SharedDisk, is_damage, list_finished, write_durably};
use crate::spool::Reading;
use crate::with_causes;
use proto_wire::envelope::{EnvelopeError, GENESIS_HEAD, Header, SealedBatch};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The end of a chain of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub last: u64,
    pub hash: [u8; 32],
}

impl Head {
    pub const GENESIS: Self = Self { last: 0, hash: GENESIS_HEAD };
}

#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    #[error("a sealed batch cannot be read or written (check the disk and its free space)")]
    Io(#[from] io::Error),
    #[error("a sealed batch is damaged on disk")]
    Damaged(#[source] EnvelopeError),
    /// After software was put back to an earlier version. Nothing is wrong with the batch.
    #[error("a sealed batch was written by newer software (upgrade this edge again)")]
    TooNew(#[source] EnvelopeError),
    /// Not once, but each time.
    #[error("the disk cannot read a sealed batch, however often it is asked (replace it)")]
    Unreadable(#[source] io::Error),
    #[error("no sealed batch begins at ordinal {0}")]
    Absent(u64),
    #[error("the file of the sealed batch that begins at ordinal {0} holds another one")]
    Foreign(u64),
}

impl From<EnvelopeError> for RetainError {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::HeaderVersion(_) => Self::TooNew(error),
            error => Self::Damaged(error),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    last: u64,
    bytes: u64,
    sealed_at_secs: i64,
    /// When its first hit came, or it was sealed.
    since_micros: i64,
}

impl Entry {
    fn find(disk: &SharedDisk, dir: &Path, first: u64, last: u64) -> io::Result<Self> {
        let path = dir.join(file_name(first, last));
        let (bytes, sealed_at_secs) = (disk.len(&path)?, disk.modified_secs(&path)?);
        Ok(Self { last, bytes, sealed_at_secs, since_micros: micros(sealed_at_secs) })
    }
}

/// How long acknowledged batches are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    pub secs: u64,
    pub bytes: u64,
}
/// Of a sealed file at the start, until it is given up.
const READS: u32 = 4;
const DAMAGED: &str = ".damaged";
const REPLACED: &str = ".replaced";

#[derive(Debug)]
pub struct SealedFiles {
    disk: SharedDisk,
    dir: PathBuf,
    /// By first ordinal; each continues the one before, but for holes.
    files: BTreeMap<u64, Entry>,
    head: Head,
    /// The last ordinal of the batches that were set aside since a new one was sealed.
    set_aside: Option<u64>,
}

impl SealedFiles {
    pub fn open(disk: SharedDisk, dir: &Path) -> io::Result<Self> {
        Self::open_for(disk, dir, Reading::Strict)
    }

    /// As the caller has tried before, or not.
    pub fn open_for(disk: SharedDisk, dir: &Path, reading: Reading) -> io::Result<Self> {
        disk.create_dir(dir)?;
        let names = list_finished(disk.as_ref(), dir)?;
        let mut files = BTreeMap::new();
        for (first, last) in names.iter().filter_map(|name| parse_name(name)) {
            files.insert(first, Entry::find(&disk, dir, first, last)?);
        }
        let damaged = names.iter().filter_map(|name| parse_name(name.strip_suffix(DAMAGED)?));
        let set_aside = damaged.map(|(_, last)| last).max();
        let mut this = Self { disk, dir: dir.to_path_buf(), files, head: Head::GENESIS, set_aside };
        this.find_head(reading)?;
        Ok(this)
    }

    /// The head is the newest file's. A damaged newest file is set aside: whether the control plane has
    /// that batch is not known here. So is one that the disk fails to read again and again; a disk that is gone as a
    /// whole does not rename it either.
    fn find_head(&mut self, reading: Reading) -> io::Result<()> {
        while let Some((&first, entry)) = self.files.last_key_value() {
            let last = entry.last;
            match self.load_with_patience(first, reading) {
                Ok((_, header)) => {
                    self.head = Head { last, hash: header.head_hash() };
                    return Ok(());
                }
                Err(RetainError::Io(error)) if reading == Reading::Strict || !is_damage(&error) => {
                    return Err(error);
                }
                Err(error @ RetainError::TooNew(_)) => return Err(io::Error::other(error)),
                Err(error) => {
                    let name = file_name(first, last);
                    tracing::error!(name, error = with_causes(&error), "a sealed batch is set aside");
                    self.disk.rename(&self.dir.join(&name), &self.dir.join(format!("{name}{DAMAGED}")))?;
                    self.disk.sync_dir(&self.dir)?;
                    self.files.remove(&first);
                    self.set_aside = self.set_aside.max(Some(last));
                }
            }
        }
        Ok(())
    }

    /// Before a file is set aside it has failed more than once: the reading that led here may have failed at another.
    fn load_with_patience(&self, first: u64, reading: Reading) -> Result<(SealedBatch, Header), RetainError> {
        let mut loaded = self.load(first);
        for _ in 1..READS {
            match &loaded {
                Err(RetainError::Io(error)) if reading == Reading::Around && is_damage(error) => {
                    loaded = self.load(first);
                }
                _ => break,
            }
        }
        loaded
    }

    /// Looks at the directory again: somebody may have taken files away, or put some back. Where it cannot be listed,
    /// nothing is known of the files either.
    pub fn look_again(&mut self) -> io::Result<()> {
        let names = self.disk.list(&self.dir)?;
        let there: BTreeSet<(u64, u64)> = names.iter().filter_map(|name| parse_name(name)).collect();
        self.files.retain(|first, entry| there.contains(&(*first, entry.last)));
        for (first, last) in there.into_iter().filter(|(_, last)| *last <= self.head.last) {
            if !self.covers(first) {
                self.files.insert(first, Entry::find(&self.disk, &self.dir, first, last)?);
            }
        }
        Ok(())
    }

    /// Ordinals between two files, or behind the last, that stand in none. A power cut while acknowledged batches were deleted may leave
    /// such a hole, as may a file that somebody took away. Nothing is deleted for it: what stands before the hole can
    /// still be sent, and whether it was acknowledged is not known here for certain.
    pub fn holes(&self) -> Vec<RangeInclusive<u64>> {
        // What came before the first file was deleted in order.
        let deleted = self.files.keys().next().map_or(0, |first| first - 1);
        let lasts = [deleted].into_iter().chain(self.files.values().map(|entry| entry.last));
        let pairs = lasts.zip(self.files.keys().copied().chain([self.head.last.saturating_add(1)]));
        pairs.filter(|(last, first)| last + 1 < *first).map(|(last, first)| last + 1..=first - 1).collect()
    }

    /// The hole that `ordinal` lies in.
    pub fn hole_at(&self, ordinal: u64) -> Option<RangeInclusive<u64>> {
        self.holes().into_iter().find(|hole| hole.contains(&ordinal))
    }

    /// Whether a batch has `ordinal`, be it intact or not.
    pub fn covers(&self, ordinal: u64) -> bool {
        self.files.range(..=ordinal).next_back().is_some_and(|(_, entry)| ordinal <= entry.last)
    }

    /// Where the batch begins that ends at `last`.
    pub fn first_of(&self, last: u64) -> Option<u64> {
        self.files.range(..=last).next_back().filter(|(_, entry)| entry.last == last).map(|(first, _)| *first)
    }

    /// Where the batches behind `ordinal` begin.
    pub fn firsts_behind(&self, ordinal: u64) -> Vec<u64> {
        self.files.range(ordinal.saturating_add(1)..).map(|(first, _)| *first).collect()
    }

    /// The control plane is told to go on behind the newest batch, which is gone. The next start must not take a
    /// control plane that is further than the files for a proof that they are an old copy.
    pub fn give_up_end(&mut self) -> io::Result<()> {
        let missing = self.hole_at(self.head.last).filter(|hole| self.set_aside < Some(*hole.end()));
        if let Some(hole) = missing {
            let name = format!("{}{DAMAGED}", file_name(*hole.start(), *hole.end()));
            write_durably(self.disk.as_ref(), &self.dir, &name, b"")?;
            self.set_aside = Some(*hole.end());
        }
        Ok(())
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// The newest batches were damaged, so the control plane may be further than this chain: up to where they reached.
    pub fn may_have_reached(&self, last: u64) -> bool {
        self.set_aside.is_some_and(|end| last <= end)
    }

    /// Goes on from where the control plane says the chain stands.
    pub fn adopt(&mut self, head: Head) {
        self.head = head;
        self.files.clear();
    }

    /// Makes a new batch durable, whose first hit came at `since_micros`, if that is known. It must continue the head.
    pub fn store(
        &mut self,
        batch: &SealedBatch,
        header: &Header,
        since_micros: Option<i64>,
        now_secs: i64,
    ) -> io::Result<()> {
        let bytes = batch.to_file_bytes();
        let (first, last) = (header.first_ordinal, header.last_ordinal);
        write_durably(self.disk.as_ref(), &self.dir, &file_name(first, last), &bytes)?;
        let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let since_micros = since_micros.unwrap_or(micros(now_secs));
        self.files.insert(first, Entry { last, bytes, sealed_at_secs: now_secs, since_micros });
        self.head = Head { last, hash: header.head_hash() };
        if self.set_aside.is_some() { self.settle() } else { Ok(()) }
    }

    /// There is a new head, so what the damaged batch was does not matter any more. It stays on disk under
    /// another name, for somebody to look at.
    fn settle(&mut self) -> io::Result<()> {
        for name in self.disk.list(&self.dir)? {
            if let Some(batch) = name.strip_suffix(DAMAGED) {
                self.disk.rename(&self.dir.join(&name), &self.dir.join(format!("{batch}{REPLACED}")))?;
            }
        }
        self.set_aside = None;
        self.disk.sync_dir(&self.dir)
    }

    /// The batch that begins at `first`, as it was sealed.
    pub fn load(&self, first: u64) -> Result<(SealedBatch, Header), RetainError> {
        let entry = self.files.get(&first).ok_or(RetainError::Absent(first))?;
        let bytes = match self.disk.read(&self.dir.join(file_name(first, entry.last))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RetainError::Absent(first)),
            read => read?,
        };
        let batch = SealedBatch::from_file_bytes(&bytes)?;
        let header = Header::parse(&batch.header_bytes)?;
        let named = (header.first_ordinal, header.last_ordinal) == (first, entry.last);
        if named { Ok((batch, header)) } else { Err(RetainError::Foreign(first)) }
    }

    /// Where the batches begin that hold what is from `ordinal` on.
    pub fn firsts_from(&self, ordinal: u64) -> Result<Vec<u64>, RetainError> {
        let begin = self.files.range(..=ordinal).next_back().ok_or(RetainError::Absent(ordinal))?;
        if let Some(hole) = self.holes().into_iter().find(|hole| *hole.end() >= ordinal) {
            return Err(RetainError::Absent(*hole.start()));
        }
        Ok(self.files.range(begin.0..).map(|(first, _)| *first).collect())
    }

    pub fn has(&self, first: u64) -> bool {
        self.files.contains_key(&first)
    }

    /// Bytes of the batches behind `acked`.
    pub fn bytes_after(&self, acked: u64) -> u64 {
        self.files.range(acked.saturating_add(1)..).map(|(_, entry)| on_disk(entry.bytes)).sum()
    }

    /// When the first hit behind `acked` came that stands in a batch.
    pub fn oldest_micros(&self, acked: u64) -> Option<i64> {
        self.files.range(acked.saturating_add(1)..).next().map(|(_, entry)| entry.since_micros)
    }

    /// Deletes all acknowledged batches but the newest, for want of room.
    pub fn make_room(&mut self, acked: u64) -> io::Result<()> {
        self.collect(acked, 0, Retention { secs: 0, bytes: 0 })
    }

    /// Deletes acknowledged batches that are too old, or that together take too much space.
    pub(super) fn collect(&mut self, acked: u64, now_secs: i64, keep: Retention) -> io::Result<()> {
        let mut total: u64 = self.files.values().map(|entry| on_disk(entry.bytes)).sum();
        let mut removed = false;
        while self.files.len() > 1
            && let Some((&first, &entry)) = self.files.first_key_value()
        {
            let age = u64::try_from(now_secs.saturating_sub(entry.sealed_at_secs)).unwrap_or_default();
            if entry.last > acked || (age <= keep.secs && total <= keep.bytes) {
                break;
            }
            match self.disk.remove(&self.dir.join(file_name(first, entry.last))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.files.remove(&first),
            };
            total -= on_disk(entry.bytes);
            removed = true;
        }
        if removed { self.disk.sync_dir(&self.dir) } else { Ok(()) }
    }
}

fn micros(secs: i64) -> i64 {
    secs.saturating_mul(1_000_000)
}

/// What a file takes up: whole blocks. Small batches would otherwise be kept by the million.
fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(4096)
}

fn file_name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.batch")
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".batch")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}
