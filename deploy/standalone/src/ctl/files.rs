//! Files that are complete and durable, or absent.

use crate::error::{BoxError, Failure};
use aws_lc_rs::digest::{Context, SHA256};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> BoxError {
    let message = format!("cannot {action} {}", path.display());
    move |error| Failure::because(message, error).into()
}

/// A directory for its owner alone. It must not be there.
pub fn new_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// A copy for its owner alone, durable except for its name. What was there under the name is overwritten.
pub fn copy(from: &Path, to: &Path) -> Result<(), BoxError> {
    let copy = || -> io::Result<()> {
        let mut source = File::open(from)?;
        let mut options = OpenOptions::new();
        let mut copy = options.write(true).create(true).truncate(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut copy)?;
        copy.sync_all()
    };
    copy().map_err(failed("copy", from))
}

pub fn write(path: &Path, bytes: &[u8]) -> Result<(), BoxError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(failed("write", path))
}

/// Makes a file that somebody else has written its owner's alone, and durable.
pub fn settle(path: &Path) -> Result<(), BoxError> {
    let settle = || -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        File::open(path)?.sync_all()
    };
    settle().map_err(failed("sync", path))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<(), BoxError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

/// Renames, and makes both ends durable.
pub fn rename(from: &Path, to: &Path) -> Result<(), BoxError> {
    fs::rename(from, to).map_err(failed("rename", from))?;
    for path in [from, to] {
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}

/// The files in a directory, by name; subdirectories are no files.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, BoxError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    };
    list().map_err(failed("list", path))
}

/// Length and SHA-256 in lower hex.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        length += u64::try_from(read).unwrap_or_default();
        context.update(&buffer[..read]);
    }
    let hex = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((length, hex))
}

/// The same bytes stand in both.
pub fn same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(digest(one)? == digest(other)?)
}
