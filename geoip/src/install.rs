//! A file takes the place of another, at once and for good; the one before stays beside it as `FILE.previous`.

use crate::about::{About, with_more};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub fn previous_of(database: &Path) -> PathBuf {
    with_more(database, ".previous")
}

/// `candidate` is complete and in the same directory. Whoever opens `to` meanwhile gets the one or the other.
pub fn install(candidate: &Path, to: &Path, about: &About) -> io::Result<()> {
    File::open(candidate)?.sync_all()?;
    let previous = previous_of(to);
    if to.exists() {
        keep(to, &previous)?;
        match keep(&About::path_for(to), &About::path_for(&previous)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            kept => kept?,
        }
    }
    // What is said of the file first: until it is there, its size tells that it is another file's.
    describe(to, about)?;
    fs::rename(candidate, to)?;
    sync_directory_of(to)
}

/// Writes down where a file came from.
pub fn describe(database: &Path, about: &About) -> io::Result<()> {
    let beside = About::path_for(database);
    let draft = with_more(&beside, ".new");
    fs::write(&draft, serde_json::to_vec_pretty(about)?)?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, &beside)?;
    sync_directory_of(database)
}

/// The previous file takes the place of the one in use, which becomes the previous one.
pub fn undo(to: &Path) -> io::Result<()> {
    let previous = previous_of(to);
    exchange(&About::path_for(to), &About::path_for(&previous))?;
    exchange(to, &previous)?;
    sync_directory_of(to)
}

/// A second name for a file, in place of whatever had it.
fn keep(file: &Path, name: &Path) -> io::Result<()> {
    remove(name)?;
    // Some file systems have one name for each file.
    fs::hard_link(file, name).or_else(|_| fs::copy(file, name).map(drop))
}

/// Never without a file under the first name, if there were two.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let aside = with_more(one, ".aside");
    match (one.exists(), other.exists()) {
        (true, true) => {
            keep(one, &aside)?;
            fs::rename(other, one)?;
            fs::rename(&aside, other)
        }
        (true, false) => fs::rename(one, other),
        (false, true) => fs::rename(other, one),
        (false, false) => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory_of(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(source: &str, bytes: u64) -> About {
        let text = String::new;
        About {
            source: source.to_owned(),
            licence: None,
            attribution: None,
            fetched_at: text(),
            sha256: text(),
            bytes,
        }
    }

    fn put(to: &Path, content: &str) {
        let candidate = with_more(to, ".candidate");
        fs::write(&candidate, content).unwrap();
        install(&candidate, to, &about(content, 1)).unwrap();
        assert!(!candidate.exists());
    }

    /// What is in the file, and what is said of it.
    fn read(path: &Path) -> (String, Option<String>) {
        let said = About::beside(path).map(|about| about.source);
        (fs::read_to_string(path).unwrap_or_default(), said)
    }

    fn pair(text: &str) -> (String, Option<String>) {
        (text.to_owned(), Some(text.to_owned()))
    }

    #[test]
    fn the_one_before_stays_and_can_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("places.mmdb");
        let previous = previous_of(&to);
        put(&to, "one");
        assert_eq!((read(&to), previous.exists()), (pair("one"), false));
        put(&to, "two");
        put(&to, "three");
        assert_eq!((read(&to), read(&previous)), (pair("three"), pair("two")));
        undo(&to).unwrap();
        assert_eq!((read(&to), read(&previous)), (pair("two"), pair("three")));
        undo(&to).unwrap();
        assert_eq!((read(&to), read(&previous)), (pair("three"), pair("two")));
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 4, "{left:?}");
    }

    #[test]
    fn a_file_put_there_by_hand_has_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("places.mmdb");
        fs::write(&to, "by hand").unwrap();
        put(&to, "one");
        assert_eq!(read(&previous_of(&to)), ("by hand".to_owned(), None));
        undo(&to).unwrap();
        assert_eq!((read(&to), read(&previous_of(&to))), (("by hand".to_owned(), None), pair("one")));
    }
}
