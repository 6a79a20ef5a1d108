//! The disk of the operating system. Everything is made for the owner only: spool and identity hold
//! personal values and private keys.

use super::{Boot, Disk, DiskFile};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Linux draws a new one at each boot. Containers see that of their host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const BOOT_ID_LEN: usize = 36;

#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<bool> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // Our own names are ASCII; a name that is not UTF-8 is none of ours.
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn modified_secs(&self, path: &Path) -> io::Result<i64> {
        let modified = std::fs::metadata(path)?.modified()?;
        let secs = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(i64::try_from(secs).unwrap_or(i64::MAX))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(&mut bytes[filled..], at) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        // Of an error that no open file was told of, Linux tells the next one.
        File::open(path)?.sync_data()
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        // A file system that has no blocks (some overlays and network mounts) knows nothing of its room.
        let known = stat.f_blocks > 0;
        Ok(if known { stat.f_bavail.saturating_mul(stat.f_frsize) } else { u64::MAX })
    }

    fn boot(&self, dir: &Path) -> Option<Boot> {
        let id = std::fs::read(BOOT_ID).ok()?;
        let id = id.trim_ascii();
        let mount = mount_of(dir)?;
        (id.len() == BOOT_ID_LEN).then(|| Boot([id, b" ", mount.to_string().as_bytes()].concat()))
    }
}

/// A number that no other mount has in this boot: a file system that was mounted again may have lost what was written
/// before. Linux says it since 6.8.
fn mount_of(dir: &Path) -> Option<u64> {
    const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let found = statx(CWD, dir, AtFlags::empty(), MNT_ID_UNIQUE).ok()?;
    StatxFlags::from_bits_retain(found.stx_mask).contains(MNT_ID_UNIQUE).then_some(found.stx_mnt_id)
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn share(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Self(self.0.try_clone()?)))
    }

    fn write_all_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_names_its_boot() {
        let dir = std::env::temp_dir();
        let boot = RealDisk.boot(&dir);
        // Older systems do not say where a mount begins.
        assert_eq!(boot.is_some(), mount_of(&dir).is_some());
        assert_eq!(boot, RealDisk.boot(&dir));
        // Another file system, in the same boot.
        if boot.is_some() {
            assert_ne!(boot, RealDisk.boot(Path::new("/proc")));
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_made_durable_without_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"written").unwrap();
        RealDisk.sync_file(&path).unwrap();
        assert_eq!(RealDisk.read(&path).unwrap(), b"written");
        assert!(RealDisk.sync_file(&dir.path().join("none")).is_err());
    }
}
