//! Tells the end of a process from that of the machine, for clicks that were answered before they were durable.
//!
//! The kernel keeps what a process has written when the process dies. So a mark in the directory of the log says in
//! which boot of the machine it was made: where it is still the same one, nothing is missing of what was written since. The
//! mark itself need not be durable: who could still read what is not durable can read it, too.
//!
//! It is taken back as soon as an `fdatasync` has failed, since then the kernel may forget what was written.

use crate::disk::{Boot, Disk, write_volatile};
use std::io;
use std::path::Path;

const NAME: &str = "boot";

/// Whether all that was written since the mark was made is still there.
pub(super) fn is_same(disk: &dyn Disk, dir: &Path, boot: Option<&Boot>) -> bool {
    boot.is_some_and(|boot| disk.read(&dir.join(NAME)).is_ok_and(|mark| mark == boot.0))
}

/// All that is in the log is durable: whatever comes now is not missing in this boot.
pub(super) fn mark(disk: &dyn Disk, dir: &Path, boot: Option<&Boot>) {
    let Some(boot) = boot.filter(|boot| !is_same(disk, dir, Some(boot))) else { return };
    if let Err(error) = write_volatile(disk, dir, NAME, &boot.0) {
        tracing::warn!(%error, "the spool could not mark its boot; if it is killed, it declares clicks as lost perhaps");
    }
}

/// Nothing is known any more of what is not durable.
pub(super) fn take_back(disk: &dyn Disk, dir: &Path) {
    match disk.remove(&dir.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = dir.join(NAME);
            tracing::error!(%error, path = %path.display(), "could not be removed: do so before the next start");
        }
        _ => {}
    }
}
