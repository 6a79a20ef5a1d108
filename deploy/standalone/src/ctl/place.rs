//! Where a control plane keeps its things: a data directory of its own, or `control-plane/` in that of `up`.

use super::{Refused, Why};
use crate::error::BoxError;
use crate::local::lock_directory;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    Up,
    ControlPlane,
}

/// Where things are, whether or not they are there yet.
#[derive(Clone, Debug)]
pub struct Place {
    pub layout: Layout,
    root: PathBuf,
}

pub const DATABASE: &str = "tributary.db";
pub const KEYS: &str = "keys";
pub const LOCAL: &str = "local.json";
const CONTROL_PLANE: &str = "control-plane";

/// `up` keeps nothing of this one directory further up.
pub fn is_a_control_planes(data_dir: &Path) -> bool {
    data_dir.join(KEYS).is_dir() || data_dir.join(DATABASE).exists()
}

impl Place {
    /// `otherwise` = what to make of a directory with nothing in it.
    pub fn of(data_dir: &Path, otherwise: Layout) -> Self {
        let layout = match () {
            () if is_a_control_planes(data_dir) => Layout::ControlPlane,
            () if data_dir.join(CONTROL_PLANE).is_dir() => Layout::Up,
            () => otherwise,
        };
        Self { layout, root: data_dir.to_owned() }
    }

    /// The control plane's own directory.
    pub fn control_plane(&self) -> PathBuf {
        match self.layout {
            Layout::Up => self.root.join(CONTROL_PLANE),
            Layout::ControlPlane => self.root.clone(),
        }
    }

    pub fn keys(&self) -> PathBuf {
        self.control_plane().join(KEYS)
    }

    /// Keys that `up` has made for itself.
    pub fn local(&self) -> Option<PathBuf> {
        (self.layout == Layout::Up).then(|| self.root.join(LOCAL))
    }

    pub fn database(&self) -> PathBuf {
        self.control_plane().join(DATABASE)
    }

    /// Keeps every control plane off, as long as the files are held.
    pub fn lock(&self) -> Result<Vec<File>, BoxError> {
        let mut directories = vec![self.control_plane()];
        if self.layout == Layout::Up {
            directories.insert(0, self.root.clone());
        }
        let lock = |directory: PathBuf| {
            lock_directory(&directory).map_err(|error| -> BoxError {
                let message = format!("a control plane may be at work on {}", directory.display());
                Refused::because(Why::InTheWay, message, error).into()
            })
        };
        directories.into_iter().map(lock).collect()
    }
}
