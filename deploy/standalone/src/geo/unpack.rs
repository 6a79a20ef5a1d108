//! From what was downloaded to a database: gzip, tar, MaxMind DB or CSV, told by the bytes and not by the name. No name
//! in an archive is ever a path here.

use super::Refused;
use crate::ctl::files;
use crate::error::{BoxError, Failure};
use flate2::read::MultiGzDecoder;
use geoip::{GeoDatabase, merge, ranges};
use std::fs::{File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tar::Archive;
use tempfile::NamedTempFile;

const GZIP: &[u8] = &[0x1f, 0x8b];
const TAR: &[u8] = b"ustar";
const TAR_AT: usize = 257;
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata stands in the last part of a file, no farther from its end.
const METADATA_MAX: u64 = 128 * 1024;

/// What of an archive is taken.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// These files, all of them.
    Named(&'static [&'static str]),
    /// The one database or table that is in it.
    Only,
}

/// A file that others may read, and that is gone unless it is put in place.
pub fn temporary(directory: &Path) -> Result<NamedTempFile, BoxError> {
    let mut builder = tempfile::Builder::new();
    let made = builder.prefix(".geo-").permissions(Permissions::from_mode(0o644)).tempfile_in(directory);
    made.map_err(files::failed("make a file in", directory))
}

/// The database in `from`; `built` stands for its build time where it is made here.
pub fn database(
    from: &Path,
    directory: &Path,
    wanted: Wanted,
    max: u64,
    built: u64,
) -> Result<NamedTempFile, BoxError> {
    let mut parts = unpack(from, directory, wanted, max)?;
    match parts.pop() {
        Some(part) if parts.is_empty() => one(part, directory, built),
        Some(part) => {
            parts.push(part);
            merged(&parts, directory)
        }
        None => Err(Refused::damaged(format!("there is no database in {}", from.display())).into()),
    }
}

fn unpack(from: &Path, directory: &Path, wanted: Wanted, max: u64) -> Result<Vec<NamedTempFile>, BoxError> {
    let mut file = File::open(from).map_err(files::failed("read", from))?;
    let gzip = starts_with(&mut file, GZIP, 0).map_err(files::failed("read", from))?;
    let bounded = |source: Box<dyn Read>| BufReader::with_capacity(1 << 16, Bounded { source, left: max });
    let plain: Box<dyn Read> =
        if gzip { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
    let mut plain = bounded(plain);
    let head = peek(&mut plain, TAR_AT + TAR.len()).map_err(|error| broken(from, error))?;
    let is_tar = head.get(TAR_AT..).is_some_and(|bytes| bytes.starts_with(TAR));
    let whole = io::Cursor::new(head).chain(plain);
    if is_tar {
        return from_archive(whole, directory, wanted).map_err(|error| match error {
            Trouble::Archive(error) => broken(from, error),
            Trouble::Other(error) => error,
        });
    }
    let mut out = temporary(directory)?;
    copy(whole, &mut out).map_err(|error| match error {
        Trouble::Archive(error) => broken(from, error),
        Trouble::Other(error) => error,
    })?;
    Ok(vec![out])
}

enum Trouble {
    Archive(io::Error),
    Other(BoxError),
}

fn from_archive(source: impl Read, directory: &Path, wanted: Wanted) -> Result<Vec<NamedTempFile>, Trouble> {
    let mut archive = Archive::new(source);
    let mut found: Vec<(String, NamedTempFile)> = Vec::new();
    for entry in archive.entries().map_err(Trouble::Archive)? {
        let entry = entry.map_err(Trouble::Archive)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let take = match wanted {
            Wanted::Named(names) => names.contains(&name.as_str()),
            Wanted::Only => name.ends_with(".mmdb") || name.ends_with(".csv"),
        };
        if !take || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut out = temporary(directory).map_err(Trouble::Other)?;
        copy(entry, &mut out)?;
        found.push((name, out));
    }
    let refuse = |message: String| Trouble::Other(Refused::damaged(message).into());
    match wanted {
        Wanted::Named(names) => {
            if let Some(missing) = names.iter().find(|name| !found.iter().any(|(found, _)| found == *name)) {
                return Err(refuse(format!(
                    "the package has no {missing}; fetch with --direct, or from a URL"
                )));
            }
        }
        Wanted::Only if found.len() > 1 => {
            let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            return Err(refuse(format!("the archive has several files ({names}); unpack it and import one")));
        }
        Wanted::Only => {}
    }
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

/// What cannot be read is the archive's fault, what cannot be written is not.
fn copy(mut from: impl Read, to: &mut NamedTempFile) -> Result<(), Trouble> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read]).map_err(|error| {
                Trouble::Other(Failure::because("cannot write what is unpacked", error).into())
            })?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::Archive(error)),
        }
    }
}

fn broken(from: &Path, error: io::Error) -> BoxError {
    Refused::damaged_because(format!("{} cannot be unpacked", from.display()), error).into()
}

/// The file as it is, or made of the table that it is.
fn one(mut part: NamedTempFile, directory: &Path, built: u64) -> Result<NamedTempFile, BoxError> {
    if is_database(part.as_file_mut())? {
        return Ok(part);
    }
    part.as_file_mut().seek(SeekFrom::Start(0))?;
    let table = BufReader::new(part.as_file_mut());
    let mut out = temporary(directory)?;
    ranges::convert(table, &mut BufWriter::new(out.as_file_mut()), built).map_err(|error| -> BoxError {
        let message = "the file is no MaxMind DB file, and as a table of ranges it cannot be used";
        Refused::damaged_because(message, error).into()
    })?;
    Ok(out)
}

fn merged(parts: &[NamedTempFile], directory: &Path) -> Result<NamedTempFile, BoxError> {
    let open = |part: &NamedTempFile| GeoDatabase::open(part.path());
    let damaged =
        |error: BoxError| Refused::damaged_because("the parts of the database cannot be put together", error);
    let parts =
        parts.iter().map(open).collect::<Result<Vec<_>, _>>().map_err(|error| damaged(error.into()))?;
    let mut out = temporary(directory)?;
    merge::merge(&parts, &mut BufWriter::new(out.as_file_mut())).map_err(|error| damaged(error.into()))?;
    Ok(out)
}

fn is_database(file: &mut File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(METADATA_MAX)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail.windows(METADATA_MARKER.len()).any(|window| window == METADATA_MARKER))
}

fn starts_with(file: &mut File, magic: &[u8], at: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at))?;
    let head = peek(&mut *file, magic.len())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(head == magic)
}

/// The first bytes, or fewer where there are no more.
fn peek(from: impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    from.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut head)?;
    Ok(head)
}

/// A small file may unpack to a very large one.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        match self.left.checked_sub(u64::try_from(read).unwrap_or(u64::MAX)) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("it unpacks to more than --max-size allows")),
        }
        Ok(read)
    }
}
