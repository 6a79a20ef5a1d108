//! The mark of an orderly end.

use super::Streams;
use super::segment::SegmentHeader;
use crate::disk::{Disk, write_durably};
use crate::lanes::PerLane;
use std::io;
use std::path::Path;

pub(super) const NAME: &str = "clean";

/// Says that the log was closed with nothing missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CleanMarker {
    pub streams: Streams,
    pub next: PerLane<u64>,
}

impl CleanMarker {
    /// The form of a segment header is used again: it holds just this, with a checksum.
    pub fn write(self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let header = SegmentHeader {
            sequence: u64::MAX,
            streams: self.streams,
            first: self.next,
            replaces: 0,
            window: 0,
        };
        write_durably(disk, dir, NAME, &header.to_bytes())
    }

    pub fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Self>> {
        let header = SegmentHeader::parse(&disk.read(&dir.join(NAME))?);
        Ok(header.map(|header| Self { streams: header.streams, next: header.first }))
    }

    /// It holds for one start: it must be gone before the log takes anything, and not before there is one.
    pub fn remove(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        disk.remove(&dir.join(NAME))?;
        disk.sync_dir(dir)
    }
}
