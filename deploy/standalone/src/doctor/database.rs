//! The database: whether there is a way in, its file where it is embedded, its schema and its clock.

use super::Context;
use super::keys::mode;
use super::machine::{free, size};
use super::report::Report;
use super::server;
use control_plane_server::app::clock;
use control_plane_server::ca::CA_CERTIFICATE;
use control_plane_store::doctor::{Embedded, SchemaLevel, Server};
use control_plane_store::{CLOCKS_APART, Store, StoreError, Trouble, backup};
use proto_model::time::SECOND_US;
use std::path::Path;

const CLOCKS_DIFFER: i64 = 2 * SECOND_US;

pub async fn open(context: &Context, report: &mut Report) -> Option<Store> {
    const CHECK: &str = "database";
    let is_missing = |file: &Path| std::fs::metadata(file).map_or(true, |found| found.len() == 0);
    if let Some(file) = context.url.file().filter(|file| is_missing(file)) {
        let found = format!("there is no file {}, or nothing in it", file.display());
        // What a start would say (control-plane/server/src/start.rs).
        let fix = if backup::restoring(&file).exists() {
            "a restore was interrupted: run `tributary ctl restore --replace` again"
        } else if context.config.keys_dir().join(CA_CERTIFICATE).exists() {
            "the keys beside it belong to a database: put it back (`tributary ctl restore`), or name it by --database"
        } else {
            "pass --data-dir or --database as the control plane has it; the first start makes the file"
        };
        report.wrong(CHECK, found, fix);
        return None;
    }
    match Store::look(&context.url).await {
        Ok(store) => {
            report.ok(CHECK, format!("{} answers", context.url));
            Some(store)
        }
        Err(StoreError::Open { database, source }) => {
            let trouble = Trouble::of(&source);
            report.wrong(CHECK, format!("{database}: {} ({source})", trouble.cause()), trouble.fix());
            None
        }
        Err(error) => {
            report.failed(CHECK, &error);
            None
        }
    }
}

pub async fn check(context: &Context, store: &Store, report: &mut Report) {
    match store.server().await {
        Err(error) => report.failed("database.version", &error),
        Ok(Server::Postgres(found)) => {
            server::check(&found, store, report).await;
            report
                .skip_the_rest(&["database.file", "database.integrity"], "the server looks after its files");
        }
        Ok(Server::Sqlite(found)) => {
            report.ok("database.version", format!("SQLite {}, of this program", found.version));
            if let Some(file) = context.url.file() {
                embedded(&file, &found, report);
            }
            integrity(store, report).await;
            let theirs = [
                "database.encoding",
                "database.role",
                "database.tables",
                "database.walls",
                "database.writes",
                "database.tls",
                "database.settings",
                "database.connections",
                "database.file",
            ];
            report.skip_the_rest(&theirs, "the database is embedded");
        }
    }
}

fn embedded(file: &Path, found: &Embedded, report: &mut Report) {
    const CHECK: &str = "database.file";
    let shown = file.display();
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let others = |path: &Path| mode(path).is_some_and(|mode| mode & 0o007 != 0);
    let bytes = std::fs::metadata(file).map(|metadata| metadata.len()).unwrap_or_default();
    let room = rustix::fs::statvfs(dir).map(|place| free(&place).0).unwrap_or(u64::MAX);
    if found.journal_mode != "wal" {
        let mode = &found.journal_mode;
        let fix = format!("stop the control plane; sqlite3 {shown} 'PRAGMA journal_mode = WAL'");
        report.wrong(CHECK, format!("journal mode {mode}: readers and writer block each other"), fix);
    } else if others(file) && others(dir) {
        let fix = format!("chmod 600 {shown}; chmod 700 {}", dir.display());
        report.warning(CHECK, format!("every user of this machine may read {shown}"), fix);
    } else if room < bytes {
        let found = format!("{shown} has {}, and {} are free", size(bytes), size(room));
        report.warning(CHECK, found, "free as much again: a copy for a backup or a clean-up needs it");
    } else {
        report.ok(CHECK, format!("{shown}: {}, write-ahead log, closed to others", size(bytes)));
    }
}

async fn integrity(store: &Store, report: &mut Report) {
    const CHECK: &str = "database.integrity";
    match store.damage().await {
        Err(error) => report.failed(CHECK, &error),
        Ok(damage) if damage.is_empty() => report.ok(CHECK, "every page of the file is sound"),
        Ok(damage) => {
            let fix = "stop the control plane, look after the disk, and restore the file from a backup";
            report.wrong(CHECK, damage.join("; "), fix);
        }
    }
}

/// Whether the tables are such that what follows can read them.
pub async fn schema(store: &Store, report: &mut Report) -> bool {
    match store.schema_level().await {
        Ok(level) => judge(&level, report),
        Err(error) => {
            report.failed("schema", &error);
            false
        }
    }
}

fn judge(level: &SchemaLevel, report: &mut Report) -> bool {
    const CHECK: &str = "schema";
    let SchemaLevel { known, unfinished, altered, .. } = level;
    let Some(found) = level.found else {
        report.warning(
            CHECK,
            "empty: no Tributary has been at work here",
            "start the control plane; it makes the tables",
        );
        return false;
    };
    let oldest = level.oldest.unwrap_or_default();
    if !unfinished.is_empty() {
        let found = format!("an upgrade stopped half-way, at {}", numbers(unfinished));
        report.wrong(CHECK, found, Trouble::HalfMigrated.fix());
        false
    } else if !altered.is_empty() {
        let found = format!("{} were applied by another build of Tributary", numbers(altered));
        report.wrong(CHECK, found, Trouble::OtherMigrations.fix());
        false
    } else if found > *known && oldest > *known {
        let found =
            format!("schema {found}, which programs below {oldest} cannot work with; this one knows {known}");
        report.wrong(CHECK, found, "upgrade this installation to the release that the other nodes run");
        false
    } else if found > *known {
        let found = format!("schema {found}: a newer Tributary has been at work; this one knows {known}");
        report.warning(CHECK, found, "this release may go on while an upgrade rolls; then upgrade this node");
        true
    } else if found < *known {
        let found = format!("schema {found}; this program knows {known}");
        let fix = "back up, then start the control plane of this release: it brings the schema up to date";
        report.warning(CHECK, found, fix);
        false
    } else {
        report.ok(CHECK, format!("schema {found}, and programs from {oldest} on may work with it"));
        true
    }
}

fn numbers(of: &[i64]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub async fn clock(store: &Store, report: &mut Report) {
    const CHECK: &str = "clock.database";
    let before = clock::now().0;
    let theirs = match store.database_time().await {
        Ok(theirs) => theirs.0,
        Err(error) => return report.failed(CHECK, &error),
    };
    let after = clock::now().0;
    // Somewhere in between it was read: within that time the two may well be the same.
    let apart = theirs.clamp(before, after).abs_diff(theirs);
    let apart = i64::try_from(apart).unwrap_or(i64::MAX);
    let found = format!("the clocks of this machine and of the database are {} ms apart", apart / 1000);
    let fix = "set both by NTP: leases and certificates depend on them";
    match apart {
        far if far > CLOCKS_APART => report.wrong(CHECK, found, fix),
        far if far > CLOCKS_DIFFER => report.warning(CHECK, found, fix),
        _ => report.ok(CHECK, found),
    }
}
