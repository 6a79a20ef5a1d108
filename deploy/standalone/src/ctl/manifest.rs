//! What is in a backup: `manifest.json`, written last.

use super::place::Layout;
use super::{Refused, Why, files};
use crate::error::BoxError;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

pub const NAME: &str = "manifest.json";
/// Of the manifest and of the directory around it.
const FORMAT: u32 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// `tributary.db` is in the backup.
    Sqlite,
    /// Only the keys are: the server's own tools copy the rest.
    Postgres,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The Tributary that has made it.
    pub version: String,
    /// RFC 3339, UTC.
    pub made_at: String,
    pub layout: Layout,
    pub database: Database,
    /// Of the copied database.
    pub schema_level: Option<i64>,
    pub files: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Below the directory of the backup.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    pub fn new(made_at: String, layout: Layout, database: Database) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, version, made_at, layout, database, schema_level: None, files: Vec::new() }
    }

    /// Takes down a file as it stands.
    pub fn add(&mut self, directory: &Path, path: &str) -> Result<(), BoxError> {
        let file = directory.join(path);
        let (bytes, sha256) = files::digest(&file).map_err(files::failed("read", &file))?;
        self.files.push(Entry { path: path.to_owned(), bytes, sha256 });
        Ok(())
    }

    pub fn write(&self, directory: &Path) -> Result<(), BoxError> {
        files::write(&directory.join(NAME), &serde_json::to_vec_pretty(self)?)
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|entry| entry.path == path)
    }

    /// The manifest of a backup whose every file is what it says.
    pub fn verified(directory: &Path) -> Result<Self, Refused> {
        let path = directory.join(NAME);
        let damaged = |message: String| Refused::new(Why::Damaged, message);
        let bytes = std::fs::read(&path).map_err(|error| {
            let message = format!("{} is not a complete backup: cannot read {NAME}", directory.display());
            Refused::because(Why::Damaged, message, error)
        })?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Refused::because(Why::Damaged, format!("{} is damaged", path.display()), error)
        })?;
        if manifest.format != FORMAT {
            let format = manifest.format;
            return Err(damaged(format!(
                "the backup has format {format}; this Tributary reads format {FORMAT}"
            )));
        }
        for entry in &manifest.files {
            let inside = Path::new(&entry.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside {
                return Err(damaged(format!("the manifest names {:?}, outside of the backup", entry.path)));
            }
            let file = directory.join(&entry.path);
            let found = files::digest(&file).map_err(|error| {
                Refused::because(Why::Damaged, format!("cannot read {}", file.display()), error)
            })?;
            if found != (entry.bytes, entry.sha256.clone()) {
                let what = "is not what the manifest says; use another backup";
                return Err(damaged(format!("{} {what}", file.display())));
            }
        }
        Ok(manifest)
    }
}
