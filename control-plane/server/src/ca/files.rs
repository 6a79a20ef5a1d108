//! The keys directory: four files of mode 0600, written once and never replaced.

use super::CaError;
use std::fs;
use std::io::Write as _;
use std::path::Path;

pub const CA_CERTIFICATE: &str = "ca.der";
pub const CA_KEY: &str = "ca.pk8";
pub const CONTROL_KEY: &str = "control.pk8";
pub const API_KEY: &str = "api.key";
pub const ALL: [&str; 4] = [CA_KEY, CONTROL_KEY, API_KEY, CA_CERTIFICATE];

pub struct Material {
    pub ca_certificate: Vec<u8>,
    pub ca_key: Vec<u8>,
    pub control_key: Vec<u8>,
    pub api_key: Vec<u8>,
}

/// Never makes new keys beside old ones: edges trust the CA they enrolled with, so a lost file must be
/// restored, not replaced. `ca.der` is written last; without it the directory was never in use.
pub fn open_or_create(
    dir: &Path,
    generate: impl FnOnce() -> Result<Material, CaError>,
) -> Result<Material, CaError> {
    make_private_dir(dir)?;
    if !dir.join(CA_CERTIFICATE).exists() {
        write_all(dir, &generate()?)?;
    }
    let [ca_key, control_key, api_key, ca_certificate] = ALL.map(|name| read(dir, name));
    Ok(Material {
        ca_certificate: ca_certificate?,
        ca_key: ca_key?,
        control_key: control_key?,
        api_key: api_key?,
    })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CaError {
    let path = path.display().to_string();
    move |source| CaError::File { action, path, source }
}

fn make_private_dir(dir: &Path) -> Result<(), CaError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("cannot create", dir))
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, CaError> {
    let path = dir.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(CaError::Missing { path: path.display().to_string() })
        }
        Err(error) => Err(failed("cannot read", &path)(error)),
    }
}

fn write_all(dir: &Path, material: &Material) -> Result<(), CaError> {
    let contents = [&material.ca_key, &material.control_key, &material.api_key, &material.ca_certificate];
    for (name, bytes) in ALL.into_iter().zip(contents) {
        write(dir, name, bytes)?;
    }
    let handle = fs::File::open(dir).map_err(failed("cannot open", dir))?;
    handle.sync_all().map_err(failed("cannot sync", dir))
}

/// Complete and durable under its name, or absent.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), CaError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = dir.join(name);
    let draft = dir.join(format!("{name}.new"));
    let result = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    })();
    result.map_err(failed("cannot write", &path))
}
