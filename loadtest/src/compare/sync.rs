//! What the disk takes for a write with `fdatasync` when nothing else happens.

use hdrhistogram::{CreationError, Histogram};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

const WRITES: u64 = 100;
/// About what a group of some dozen clicks takes.
const BYTES: usize = 16 * 1024;

pub fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, 60_000_000, 3)
}

/// Appends to a file in `dir` and removes it.
pub fn probe(dir: &Path, times: &mut Histogram<u64>) -> io::Result<()> {
    let path = dir.join("sync-probe");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    let block = vec![0x5a; BYTES];
    for number in 0..WRITES {
        let start = Instant::now();
        file.write_all_at(&block, number * BYTES as u64)?;
        file.sync_data()?;
        times.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    std::fs::remove_file(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_timed_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut times = histogram().unwrap();
        probe(dir.path(), &mut times).unwrap();
        assert_eq!(times.len(), WRITES);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(probe(&dir.path().join("missing"), &mut times).is_err());
    }
}
