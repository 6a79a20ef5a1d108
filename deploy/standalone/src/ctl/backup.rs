//! `tributary ctl backup`.

use super::manifest::{Database, Manifest};
use super::place::{DATABASE, KEYS, LOCAL, Layout, Place};
use super::{BackupOptions, Refused, Why, by_tools, files};
use crate::error::{BoxError, Failure};
use control_plane_server::{DatabaseUrl, app::clock};
use control_plane_store::backup;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A copy that takes longer says how far it is.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(serde::Serialize)]
struct Done {
    backup: String,
    made_at: String,
    database: Database,
    schema_level: Option<i64>,
    bytes: u64,
    files: Vec<String>,
    /// What is left to do by hand.
    commands: Vec<String>,
}

pub async fn run(options: BackupOptions) -> Result<(), BoxError> {
    let place = Place::of(&options.data_dir, Layout::ControlPlane);
    if !place.keys().is_dir() {
        let message = format!(
            "{} is not a data directory of a control plane: it has no {KEYS}/; see --data-dir",
            options.data_dir.display()
        );
        return Err(Failure::new(message).into());
    }
    let draft = begin(&options.to)?;
    let made = make(&options, &place, &draft).await;
    let (manifest, commands) = match made {
        Ok(made) => made,
        Err(error) => {
            // It was begun here, and it is no backup.
            let _ = fs::remove_dir_all(&draft);
            return Err(error);
        }
    };
    files::rename(&draft, &options.to)?;
    let done = Done {
        backup: options.to.display().to_string(),
        made_at: manifest.made_at,
        database: manifest.database,
        schema_level: manifest.schema_level,
        bytes: manifest.files.iter().map(|entry| entry.bytes).sum(),
        files: manifest.files.into_iter().map(|entry| entry.path).collect(),
        commands,
    };
    super::print(options.output, &done)
}

/// What has the name of a backup is one: it is made under another name beside it.
fn begin(to: &Path) -> Result<PathBuf, BoxError> {
    let in_the_way = |path: &Path| {
        Refused::new(Why::InTheWay, format!("{} is there already; choose another name", path.display()))
    };
    if to.symlink_metadata().is_ok() {
        return Err(in_the_way(to).into());
    }
    let mut draft = to.as_os_str().to_owned();
    draft.push(".partial");
    let draft = PathBuf::from(draft);
    match files::new_directory(&draft) {
        Ok(()) => Ok(draft),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(in_the_way(&draft).into()),
        Err(error) => Err(files::failed("make", &draft)(error)),
    }
}

async fn make(
    options: &BackupOptions,
    place: &Place,
    draft: &Path,
) -> Result<(Manifest, Vec<String>), BoxError> {
    let made_at =
        jiff::Timestamp::from_microsecond(clock::now().0)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut commands = Vec::new();
    let mut manifest = match &options.database {
        Some(DatabaseUrl::Postgres(_)) => Manifest::new(made_at, place.layout, Database::Postgres),
        _ => Manifest::new(made_at, place.layout, Database::Sqlite),
    };
    // The keys first: they never change, and a database without them is lost.
    let keys = draft.join(KEYS);
    files::new_directory(&keys).map_err(files::failed("make", &keys))?;
    for key in files::list(&place.keys())? {
        let name = key.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files::copy(&key, &keys.join(&name))?;
        manifest.add(draft, &format!("{KEYS}/{name}"))?;
    }
    files::sync_directory(&keys)?;
    if let Some(local) = place.local().filter(|local| local.exists()) {
        files::copy(&local, &draft.join(LOCAL))?;
        manifest.add(draft, LOCAL)?;
    }
    match &options.database {
        Some(url @ DatabaseUrl::Postgres(_)) => {
            let url = url
                .for_tools()
                .map_err(|why| Failure::new(format!("--database: {url}: {}; {}", why.cause(), why.fix())))?;
            commands = by_tools::copying(&url, &options.to);
        }
        url => {
            let file = database_file(url.as_ref(), place)?;
            let to = draft.join(DATABASE);
            copy_database(&file, &to).await?;
            manifest.schema_level = Some(backup::check_file(&to).await?);
            files::settle(&to)?;
            manifest.add(draft, DATABASE)?;
        }
    }
    manifest.write(draft)?;
    files::sync_directory(draft)?;
    Ok((manifest, commands))
}

/// The file of an embedded database.
pub fn database_file(url: Option<&DatabaseUrl>, place: &Place) -> Result<PathBuf, BoxError> {
    let file = match url {
        None => place.database(),
        Some(url) => url
            .file()
            .ok_or_else(|| Failure::new(format!("--database: {url} is not a database in a file")))?,
    };
    if !file.is_file() {
        let message = format!("there is no database {}; see --data-dir and --database", file.display());
        return Err(Failure::new(message).into());
    }
    Ok(file)
}

async fn copy_database(file: &Path, to: &Path) -> Result<(), BoxError> {
    let size = backup::size_of(file).await?;
    let copying = backup::copy_file(file, to);
    tokio::pin!(copying);
    loop {
        match tokio::time::timeout(PATIENCE, &mut copying).await {
            Ok(copied) => return Ok(copied?),
            Err(_) => {
                let written = fs::metadata(to).map_or(0, |metadata| metadata.len());
                eprintln!("  copied {} of about {} MiB", written >> 20, size >> 20);
            }
        }
    }
}
