//! The database: whether there is a way in, what it is, how it is set, and its schema.

use super::Context;
use super::keys::mode;
use super::machine::{free, size};
use super::report::Report;
use control_plane_server::app::clock;
use control_plane_store::doctor::{Embedded, Postgres, SchemaLevel, Server};
use control_plane_store::{CLOCKS_APART, Store, StoreError, Trouble};
use proto_model::time::SECOND_US;
use std::path::Path;

const OLDEST_SERVER: i64 = 150_000;
const CLOCKS_DIFFER: i64 = 2 * SECOND_US;

pub async fn open(context: &Context, report: &mut Report) -> Option<Store> {
    const CHECK: &str = "database";
    if let Some(file) = context.url.file().filter(|file| !file.exists()) {
        let found = format!("there is no file {}", file.display());
        report.wrong(
            CHECK,
            found,
            "pass --data-dir or --database as the control plane has it; the first start makes the file",
        );
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
        Ok(Server::Postgres(server)) => {
            version(&server, report);
            encoding(&server, report);
            role(&server, report);
            tables(&server, report);
            tls(&server, report);
            settings(&server, report);
            connections(&server, store, report).await;
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
                "database.tls",
                "database.settings",
                "database.connections",
                "database.file",
            ];
            report.skip_the_rest(&theirs, "the database is embedded");
        }
    }
}

fn version(server: &Postgres, report: &mut Report) {
    let found = format!("PostgreSQL {}", server.version);
    if server.version_number < OLDEST_SERVER {
        report.wrong("database.version", found, "upgrade the server to PostgreSQL 15 or newer");
    } else {
        report.ok("database.version", found);
    }
}

fn role(server: &Postgres, report: &mut Report) {
    let role = &server.role;
    let flags = [(server.superuser, "is a superuser"), (server.bypasses_row_security, "has BYPASSRLS")];
    let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
    if flags.is_empty() {
        return report.ok("database.role", format!("{role} is bound by row security"));
    }
    let found = format!(
        "{role} {}: row security, the second wall between tenants, does nothing",
        flags.join(" and ")
    );
    let fix = format!(
        "as another superuser: ALTER ROLE {} NOSUPERUSER NOBYPASSRLS; or make a role of its own and hand it the \
         tables",
        quoted(role)
    );
    report.warning("database.role", found, fix);
}

fn encoding(server: &Postgres, report: &mut Report) {
    let found = format!("texts are kept as {}", server.encoding);
    if server.encoding == "UTF8" {
        report.ok("database.encoding", found);
    } else {
        let fix =
            "a control plane does not start on it: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0";
        report.wrong("database.encoding", found, fix);
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn tables(server: &Postgres, report: &mut Report) {
    let role = quoted(&server.role);
    if !server.tables_of_others.is_empty() {
        let found = format!("{} does not own {}", server.role, server.tables_of_others.join(", "));
        let fix = format!("as a superuser, for each: ALTER TABLE name OWNER TO {role}; upgrades need it");
        report.wrong("database.tables", found, fix);
    } else if !server.may_create {
        let found = format!("{} may not make tables", server.role);
        let fix = format!("ALTER DATABASE name OWNER TO {role}; or GRANT CREATE ON SCHEMA public TO {role}");
        report.wrong("database.tables", found, fix);
    } else {
        report.ok("database.tables", format!("{} owns them and may make new ones", server.role));
    }
    if server.walls_down.is_empty() {
        report.ok("database.walls", "row security stands on every table that needs it");
    } else {
        let found = format!("row security was switched off on {}", server.walls_down.join(", "));
        let fix = "for each: ALTER TABLE name ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
        report.wrong("database.walls", found, fix);
    }
}

fn tls(server: &Postgres, report: &mut Report) {
    if server.encrypted {
        report.ok("database.tls", "the connection is encrypted");
    } else if server.local {
        report.ok("database.tls", "the connection does not leave this machine");
    } else {
        let fix = "switch TLS on at the server, and take sslmode=disable out of the URL or write \
            sslmode=verify-full";
        report.warning("database.tls", "the connection leaves this machine unencrypted", fix);
    }
}

fn settings(server: &Postgres, report: &mut Report) {
    let off = [
        ("fsync", &server.fsync),
        ("synchronous_commit", &server.synchronous_commit),
        ("full_page_writes", &server.full_page_writes),
    ];
    let off: Vec<&str> = off.iter().filter(|(_, value)| *value == "off").map(|(name, _)| *name).collect();
    if off.is_empty() {
        return report.ok("database.settings", "what was committed survives a power cut");
    }
    let found = format!("{} off: what edges were told is safe is lost in a power cut", off.join(", "));
    let set: Vec<String> = off.iter().map(|name| format!("ALTER SYSTEM SET {name} = on")).collect();
    let fix = format!(
        "as a superuser: {}; then SELECT pg_reload_conf(). See that neither the role nor the database sets it \
         otherwise",
        set.join("; ")
    );
    report.wrong("database.settings", found, fix);
}

async fn connections(server: &Postgres, store: &Store, report: &mut Report) {
    let nodes = match super::plane::at_work(store).await {
        Ok(nodes) => i64::try_from(nodes.len()).unwrap_or(i64::MAX),
        // No such tables yet.
        Err(_) => 0,
    };
    // While an upgrade rolls there is one more.
    let wanted = server.per_process.saturating_mul(nodes.max(1).saturating_add(1));
    let Postgres { connections, max_connections, per_process, .. } = server;
    let found = format!(
        "{connections} of {max_connections} in use; a control plane takes up to {per_process}, {nodes} at work"
    );
    if *max_connections < wanted {
        let fix = format!("set max_connections to {} or more, and restart the server", wanted + 10);
        report.warning("database.connections", found, fix);
    } else {
        report.ok("database.connections", found);
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
