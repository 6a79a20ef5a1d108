//! Where PostgreSQL's programs are, and whom they run as.

use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NEEDED: &[&str] = &["initdb", "pg_ctl", "postgres", "psql"];
/// Debian has a folder here for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

#[derive(Debug, thiserror::Error)]
#[error(
    "PostgreSQL's server is not installed: run .ci/needs.sh, or `apt-get install postgresql`; \
     looked for initdb, pg_ctl, postgres and psql on the PATH and in {VERSIONS}/*/bin"
)]
pub struct NotInstalled;

#[derive(Debug, thiserror::Error)]
pub enum PsqlError {
    #[error("cannot run psql")]
    Run(#[from] io::Error),
    #[error("psql: {0}")]
    Failed(String),
}

/// The folder of one version's programs.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    pub fn find() -> Result<Self, NotInstalled> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // A link to the one program leads to the folder where the others are.
        let linked =
            std::env::split_paths(&path).filter_map(|folder| folder.join("initdb").canonicalize().ok());
        let on_path = linked.filter_map(|program| program.parent().map(Path::to_owned));
        let complete = |folder: &PathBuf| NEEDED.iter().all(|name| folder.join(name).is_file());
        on_path.chain(versions()).find(complete).map(Self).ok_or(NotInstalled)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Takes out what would tell PostgreSQL's programs of other servers, or to speak another language: also the
    /// passwords and certificates in a person's home.
    pub fn clear_environment(&self, command: &mut Command) {
        let ours = std::env::vars_os().map(|(name, _)| name);
        ours.filter(|name| name.to_string_lossy().starts_with("PG")).for_each(|name| {
            command.env_remove(name);
        });
        command.env("LC_ALL", "C").env("TZ", "UTC").env("HOME", "/nonexistent");
    }

    /// The bare rows of what `sql` selects, `|` between columns. Ends at the first statement that fails.
    pub fn psql(&self, url: &str, sql: &str) -> Result<String, PsqlError> {
        // A file, so that neither side waits for the other to read first.
        let mut input = tempfile::tempfile()?;
        input.write_all(sql.as_bytes())?;
        input.rewind()?;
        let mut command = Command::new(self.0.join("psql"));
        command.args(["-X", "-w", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
        self.clear_environment(&mut command);
        let output = command.stdin(Stdio::from(input)).output()?;
        if !output.status.success() {
            return Err(PsqlError::Failed(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

/// Newest first.
fn versions() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder)
}

#[derive(Clone, Copy)]
pub struct Account {
    pub user: u32,
    pub group: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as")]
pub struct NoAccount;

/// Whom to become: nobody else unless we are root.
pub fn account() -> Result<Option<Account>, NoAccount> {
    if id(&["-u"]) != Some(0) {
        return Ok(None);
    }
    let named = |name| Some(Account { user: id(&["-u", name])?, group: id(&["-g", name])? });
    ["postgres", "nobody"].into_iter().find_map(named).map(Some).ok_or(NoAccount)
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
