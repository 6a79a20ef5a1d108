//! What `cargo metadata` says of this workspace, and its source files.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Normal,
    Build,
    Test,
}

#[derive(Debug)]
pub struct Dependency {
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Crate {
    pub name: String,
    /// Its folder, relative to the workspace, with `/`.
    pub path: String,
    pub dependencies: Vec<Dependency>,
}

pub struct Workspace {
    pub root: PathBuf,
    pub crates: Vec<Crate>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot run `cargo metadata`; run tidy through cargo, inside the workspace")]
    Run(#[source] std::io::Error),
    #[error("`cargo metadata` failed: {0}")]
    Failed(String),
    #[error("cannot read the answer of `cargo metadata`")]
    Answer(#[from] serde_json::Error),
    #[error("cannot read {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<PackageDependency>,
}

#[derive(Deserialize)]
struct PackageDependency {
    name: String,
    kind: Option<String>,
}

pub fn read() -> Result<Workspace, ReadError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let output = command.args(["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = output.map_err(ReadError::Run)?;
    if !output.status.success() {
        return Err(ReadError::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let root = metadata.workspace_root;
    let crates = metadata.packages.into_iter().map(|package| to_crate(&root, package)).collect();
    Ok(Workspace { root, crates })
}

fn to_crate(root: &Path, package: Package) -> Crate {
    let folder = package.manifest_path.parent().unwrap_or(root);
    let dependencies = package.dependencies.into_iter().map(|dependency| {
        let kind = match dependency.kind.as_deref() {
            Some("dev") => Kind::Test,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        };
        Dependency { name: dependency.name, kind }
    });
    Crate { name: package.name, path: relative(root, folder), dependencies: dependencies.collect() }
}

pub fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

pub fn text(path: &Path) -> Result<String, ReadError> {
    let at = |source| ReadError::File { path: path.to_path_buf(), source };
    std::fs::read_to_string(path).map_err(at)
}

/// Names of what stands in `folder`, sorted.
pub fn files(folder: &Path) -> Result<Vec<String>, ReadError> {
    let at = |source| ReadError::File { path: folder.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        names.push(entry.map_err(at)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Every `.rs` file below `folder`, sorted, without build output and fetched code.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let at = |source| ReadError::File { path: folder.to_path_buf(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        entries.push(entry.map_err(at)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let skipped = name == "target" || name == "node_modules" || (name.starts_with('.') && name != ".ci");
        if path.is_dir() && !path.is_symlink() && !skipped {
            found.extend(sources(&path)?);
        } else if name.ends_with(".rs") && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}
