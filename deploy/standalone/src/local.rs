//! What `up` remembers between starts, beside the data itself: the keys it made and the demo's ids. The
//! control plane keeps only hashes of keys, so this file (mode 0600) is where they can be read again.

use crate::error::{BoxError, Failure};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalState {
    #[serde(skip)]
    path: PathBuf,
    pub operator_key: Option<String>,
    pub account: Option<Account>,
    pub demo: Option<DemoProgram>,
}

/// The tenant that `up` works in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub tenant_id: String,
    pub api_key: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoProgram {
    pub advertiser_id: String,
    pub postback_token: String,
    pub program_id: String,
    pub offer_id: String,
    pub partner_id: String,
    pub link_id: String,
}

impl LocalState {
    pub fn load(data_dir: &Path) -> Result<Self, BoxError> {
        let path = data_dir.join("local.json");
        let mut state: Self = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Failure::because(
                    format!("{} is damaged; restore it or start in a new --data-dir", path.display()),
                    error,
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                return Err(Failure::because(format!("cannot read {}", path.display()), error).into());
            }
        };
        state.path = path;
        Ok(state)
    }

    /// Written after each step, so that an interrupted first start goes on where it stopped.
    pub fn save(&self) -> Result<(), BoxError> {
        let partial = self.path.with_extension("json.partial");
        let write = || -> Result<(), BoxError> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&partial, &self.path)?;
            Ok(())
        };
        write()
            .map_err(|error| Failure::because(format!("cannot write {}", self.path.display()), error).into())
    }

    pub fn account(&self) -> Result<&Account, Failure> {
        self.account.as_ref().ok_or_else(|| Failure::new("the local account has not been created yet"))
    }
}

/// Two processes on one directory would fight over the database and the spool.
pub fn lock_directory(data_dir: &Path) -> Result<File, BoxError> {
    let describe = |what: &str| format!("{what} {}", data_dir.display());
    fs::create_dir_all(data_dir).map_err(|error| Failure::because(describe("cannot create"), error))?;
    let path = data_dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Failure::because(describe("cannot write to"), error))?;
    file.try_lock().map_err(|_| {
        Failure::new(format!(
            "{} is in use by another tributary; stop it or pass --data-dir",
            data_dir.display()
        ))
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_only_we_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mut state = LocalState::load(dir.path()).unwrap();
        assert!(state.operator_key.is_none());
        state.operator_key = Some("tbk_x".to_owned());
        state.save().unwrap();
        assert_eq!(LocalState::load(dir.path()).unwrap().operator_key.as_deref(), Some("tbk_x"));
        let mode = fs::metadata(dir.path().join("local.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(dir.path().join("local.json"), b"{").unwrap();
        assert!(LocalState::load(dir.path()).is_err());
    }

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock_directory(dir.path()).unwrap();
        assert!(lock_directory(dir.path()).unwrap_err().to_string().contains("in use"));
        drop(first);
        assert!(lock_directory(dir.path()).is_ok());
    }
}
