//! The control plane's keys: there, closed to others, and those of the database.

use super::report::Report;
use control_plane_server::ca::{CA_CERTIFICATE, KEY_FILES};
use control_plane_store::Store;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OTHERS: u32 = 0o077;

pub fn check(dir: &Path, report: &mut Report) {
    const CHECK: &str = "keys";
    let shown = dir.display();
    if !dir.exists() {
        return report.skipped(CHECK, format!("{shown} is not there; the first start makes it"));
    }
    let missing: Vec<&str> = KEY_FILES.into_iter().filter(|name| !dir.join(name).is_file()).collect();
    if !missing.is_empty() {
        let found = format!("{shown} lacks {}", missing.join(", "));
        return report.wrong(CHECK, found, "restore the keys directory from a backup; never make new keys");
    }
    let unreadable = KEY_FILES.into_iter().find_map(|name| fs::read(dir.join(name)).err());
    if let Some(error) = unreadable {
        let fix = "run doctor as the user of the control plane, who must own these files";
        return report.wrong(CHECK, format!("{shown} cannot be read: {error}"), fix);
    }
    let open: Vec<String> = KEY_FILES
        .into_iter()
        .map(|name| dir.join(name))
        .filter(|path| mode(path).is_some_and(|mode| mode & OTHERS != 0))
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        report.ok(CHECK, format!("{shown}: complete, and closed to others"));
    } else {
        let open = open.join(" ");
        report.wrong(CHECK, format!("other users may read {open}"), format!("chmod 600 {open}"));
    }
}

pub fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.permissions().mode())
}

/// A database belongs to whoever was at work on it first.
pub async fn owner(dir: &Path, store: &Store, report: &mut Report) {
    const CHECK: &str = "keys.owner";
    let shown = dir.display();
    let claimed = match store.authority_sha256().await {
        Ok(claimed) => claimed,
        Err(error) => return report.failed(CHECK, &error),
    };
    let ours = fs::read(dir.join(CA_CERTIFICATE)).ok().map(|der| proto_wire::keys::sha256(&der));
    let bring = "copy the keys directory of a node that is at work on this database, or restore it from a \
        backup; or name this installation's own database";
    match (claimed, ours) {
        (None, _) => report.ok(CHECK, "no control plane has been at work on this database yet"),
        (Some(claimed), Some(ours)) if claimed == ours => {
            report.ok(CHECK, "the database belongs to these keys");
        }
        (Some(_), Some(_)) => {
            report.wrong(CHECK, format!("the database belongs to other keys than {shown}"), bring);
        }
        (Some(_), None) => {
            report.wrong(CHECK, format!("the database is in use already, and {shown} holds no keys"), bring);
        }
    }
}
