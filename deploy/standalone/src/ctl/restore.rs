//! `tributary ctl restore`.

use super::manifest::{Database, Manifest};
use super::place::{DATABASE, KEYS, LOCAL, Layout, Place};
use super::{Refused, RestoreOptions, Why, files};
use crate::error::{BoxError, Failure};
use control_plane_server::ca::Authority;
use control_plane_server::{DatabaseUrl, app::clock};
use control_plane_store::{Store, StoreError, backup};
use std::fs;
use std::path::{Path, PathBuf};

/// Where this is missing, keys would be made anew.
const CERTIFICATE: &str = "ca.der";

#[derive(serde::Serialize)]
struct Done {
    data_dir: String,
    database: String,
    /// How many times this database was put back.
    restores: u64,
    /// Edges to wait for.
    edges: u64,
    frozen: String,
    /// Where that went which was there before.
    replaced: Option<String>,
}

pub async fn run(options: RestoreOptions) -> Result<(), BoxError> {
    let source = match &options.from {
        Some(directory) => Some((directory.as_path(), Manifest::verified(directory)?)),
        None => None,
    };
    if let Some((from, manifest)) = &source
        && !manifest.has(&format!("{KEYS}/{CERTIFICATE}"))
    {
        let message = format!("{} holds no {KEYS}/{CERTIFICATE}: use another backup", from.display());
        return Err(Refused::new(Why::Damaged, message).into());
    }
    let layout = source.as_ref().map_or(Layout::ControlPlane, |(_, manifest)| manifest.layout);
    let place = Place::of(&options.data_dir, layout);
    let _locks = place.lock()?;
    let done = match (&options.database, &source) {
        (Some(url @ DatabaseUrl::Postgres(_)), source) => {
            in_place(&options, &place, url, source.as_ref()).await?
        }
        (url, Some((from, manifest))) if manifest.database == Database::Sqlite => {
            let file = match url {
                None => place.database(),
                Some(url) => url
                    .file()
                    .ok_or_else(|| Failure::new(format!("--database: {url} is not a database in a file")))?,
            };
            into_a_file(&options, &place, &file, (from, manifest)).await?
        }
        (_, Some(_)) => {
            return Err(Failure::new(
                "the backup holds the keys of a control plane on PostgreSQL: restore the database by the \
                 server's tools, then pass it as --database postgres://...",
            )
            .into());
        }
        (url, None) => {
            let file = super::backup::database_file(url.as_ref(), &place)?;
            let url = DatabaseUrl::Sqlite(format!("sqlite://{}", file.display()));
            in_place(&options, &place, &url, None).await?
        }
    };
    eprintln!(
        "  Start the control plane. Edges send again what they hold; when they have, an operator lifts the freeze\n  \
         of payouts with POST /v1/deployment/reconcile. What is to be done besides: docs/backup.md"
    );
    super::print(options.output, &done)
}

fn reason(manifest: Option<&Manifest>) -> String {
    match manifest {
        Some(manifest) => format!("restored from a backup of {}; reconcile", manifest.made_at),
        None => "restored from a backup; reconcile".to_owned(),
    }
}

/// The step that must never be left out: [`Store::after_restore`], on a database that belongs to these keys.
async fn settle(url: &DatabaseUrl, keys: &Path, reason: &str) -> Result<(u64, u64), BoxError> {
    let now = clock::now();
    let authority = Authority::open(keys, now)?;
    let store = Store::open(url).await?;
    let restored = match store.after_restore(&authority.fingerprint(), now, reason).await {
        Err(StoreError::Conflict("others_at_work")) => {
            let what = "somebody is at work on the database: stop every control plane on it";
            return Err(Refused::new(Why::InTheWay, what).into());
        }
        Err(StoreError::Conflict("other_authority")) => {
            let message = format!("the database belongs to other keys than {}", keys.display());
            return Err(Failure::new(message).into());
        }
        restored => restored?,
    };
    store.close().await;
    Ok((restored.restores, restored.edges))
}

/// The database is where it belongs: the tools of its server have put it there, or somebody by hand.
async fn in_place(
    options: &RestoreOptions,
    place: &Place,
    url: &DatabaseUrl,
    source: Option<&(&Path, Manifest)>,
) -> Result<Done, BoxError> {
    let mut aside = Aside::new(place)?;
    if let Some((from, manifest)) = source {
        let wanted = keys_and_local(from, manifest, place);
        make_room(&mut aside, options.replace, &other_content(&wanted)?)?;
        put(&wanted)?;
    } else if !place.keys().join(CERTIFICATE).exists() {
        let message =
            format!("{} has no {KEYS}/: pass --from with a backup of them", place.control_plane().display());
        return Err(Failure::new(message).into());
    }
    let frozen = reason(source.map(|(_, manifest)| manifest));
    let (restores, edges) = settle(url, &place.keys(), &frozen).await?;
    let data_dir = options.data_dir.display().to_string();
    Ok(Done { data_dir, database: url.to_string(), restores, edges, frozen, replaced: aside.used() })
}

async fn into_a_file(
    options: &RestoreOptions,
    place: &Place,
    file: &Path,
    (from, manifest): (&Path, &Manifest),
) -> Result<Done, BoxError> {
    let wanted = keys_and_local(from, manifest, place);
    let mut old = other_content(&wanted)?;
    old.extend(
        [file.to_owned(), beside(file, "-wal"), beside(file, "-shm")].into_iter().filter(|old| old.exists()),
    );
    if !options.replace {
        refuse_to_replace(&old)?;
    }
    // Under another name, until it is what must be started: no control plane starts beside a restore that was
    // interrupted (`check_is_new` in control-plane/server/src/start.rs).
    let draft = backup::restoring(file);
    for leftover in [draft.clone(), beside(&draft, "-wal"), beside(&draft, "-shm")] {
        if leftover.exists() {
            fs::remove_file(&leftover).map_err(files::failed("remove", &leftover))?;
        }
    }
    files::copy(&from.join(DATABASE), &draft)?;
    backup::check_file(&draft).await?;
    let frozen = reason(Some(manifest));
    let url = DatabaseUrl::Sqlite(format!("sqlite://{}", draft.display()));
    let (restores, edges) = settle(&url, &from.join(KEYS), &frozen).await?;
    files::settle(&draft)?;

    let mut aside = Aside::new(place)?;
    make_room(&mut aside, true, &old)?;
    put(&wanted)?;
    files::rename(&draft, file)?;
    let (data_dir, database) = (options.data_dir.display().to_string(), file.display().to_string());
    Ok(Done { data_dir, database, restores, edges, frozen, replaced: aside.used() })
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// What of a backup goes where, besides the database.
fn keys_and_local(from: &Path, manifest: &Manifest, place: &Place) -> Vec<(PathBuf, PathBuf)> {
    let keys = place.keys();
    let target = |path: &str| match path.strip_prefix(KEYS).and_then(|rest| rest.strip_prefix('/')) {
        Some(key) => Some(keys.join(key)),
        None if path == LOCAL => place.local(),
        None => None,
    };
    let entries = manifest.files.iter();
    entries.filter_map(|entry| Some((from.join(&entry.path), target(&entry.path)?))).collect()
}

/// Those that are there with other bytes.
fn other_content(wanted: &[(PathBuf, PathBuf)]) -> Result<Vec<PathBuf>, BoxError> {
    let mut found = Vec::new();
    for (from, to) in wanted {
        if to.exists() && !files::same(from, to).map_err(files::failed("read", to))? {
            found.push(to.clone());
        }
    }
    Ok(found)
}

fn refuse_to_replace(old: &[PathBuf]) -> Result<(), Refused> {
    let Some(first) = old.first() else { return Ok(()) };
    let message = format!("{} is there already; --replace moves it aside", first.display());
    Err(Refused::new(Why::InTheWay, message))
}

/// Where that goes which was there before: a directory that is made when it is needed.
struct Aside {
    directory: PathBuf,
    made: bool,
}

impl Aside {
    fn new(place: &Place) -> Result<Self, BoxError> {
        let now = jiff::Timestamp::from_microsecond(clock::now().0)?;
        let name = now.strftime("replaced-%Y%m%dT%H%M%S%.6fZ").to_string();
        Ok(Self { directory: place.control_plane().join(name), made: false })
    }

    fn take(&mut self, path: &Path) -> Result<(), BoxError> {
        if !self.made {
            files::new_directory(&self.directory).map_err(files::failed("make", &self.directory))?;
            self.made = true;
        }
        files::rename(path, &self.directory.join(path.file_name().unwrap_or_default()))
    }

    fn used(self) -> Option<String> {
        self.made.then(|| self.directory.display().to_string())
    }
}

fn make_room(aside: &mut Aside, replace: bool, old: &[PathBuf]) -> Result<(), BoxError> {
    if !replace {
        refuse_to_replace(old)?;
    }
    old.iter().try_for_each(|path| aside.take(path))
}

/// The certificate comes last: without it, keys were never in use (`control-plane/server/src/ca/files.rs`).
fn put(wanted: &[(PathBuf, PathBuf)]) -> Result<(), BoxError> {
    let mut wanted: Vec<_> = wanted.iter().filter(|(_, to)| !to.exists()).collect();
    wanted.sort_by_key(|(_, to)| to.ends_with(CERTIFICATE));
    for (from, to) in wanted {
        if let Some(parent) = to.parent().filter(|parent| !parent.exists()) {
            files::new_directory(parent).map_err(files::failed("make", parent))?;
        }
        let draft = beside(to, ".new");
        files::copy(from, &draft)?;
        files::rename(&draft, to)?;
    }
    Ok(())
}
