//! A PostgreSQL server: what it is, how it is set, and what it lets its user do.

use super::report::Report;
use control_plane_store::Store;
use control_plane_store::doctor::Postgres;

const OLDEST_SERVER: i64 = 150_000;
const TOLD: usize = 5;

pub async fn check(server: &Postgres, store: &Store, report: &mut Report) {
    version(server, report);
    encoding(server, report);
    role(server, report);
    tables(server, report);
    walls(server, report);
    writes(server, report);
    tls(server, report);
    settings(server, report);
    connections(server, store, report).await;
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
    const CHECK: &str = "database.tables";
    let role = quoted(&server.role);
    if !server.tables_of_others.is_empty() {
        let found = format!("{} does not own {}", server.role, server.tables_of_others.join(", "));
        let fix = format!("as a superuser, for each: ALTER TABLE name OWNER TO {role}; upgrades need it");
        report.wrong(CHECK, found, fix);
    } else if !server.rights_missing.is_empty() {
        let missing = &server.rights_missing;
        let told: Vec<String> =
            missing.iter().take(TOLD).map(|(table, rights)| format!("{rights} on {table}")).collect();
        let more = missing.len().saturating_sub(TOLD);
        let more = if more > 0 { format!(", and rights on {more} others") } else { String::new() };
        let found = format!("{} was taken: {}{more}", server.role, told.join("; "));
        let grant =
            |(table, rights): &(String, String)| format!("GRANT {rights} ON {} TO {role}", quoted(table));
        let grants: Vec<String> = missing.iter().map(grant).collect();
        report.wrong(CHECK, found, format!("as the tables' owner: {}", grants.join("; ")));
    } else if !server.may_create {
        let found = format!("{} may not make tables", server.role);
        let database = quoted(&server.database);
        let fix =
            format!("ALTER DATABASE {database} OWNER TO {role}; or GRANT CREATE ON SCHEMA public TO {role}");
        report.wrong(CHECK, found, fix);
    } else {
        report.ok(CHECK, format!("{} owns them, may use them and make new ones", server.role));
    }
}

fn walls(server: &Postgres, report: &mut Report) {
    if server.walls_down.is_empty() {
        report.ok("database.walls", "row security stands on every table that needs it");
    } else {
        let found = format!("row security was switched off on {}", server.walls_down.join(", "));
        let fix = "for each: ALTER TABLE name ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
        report.wrong("database.walls", found, fix);
    }
}

fn writes(server: &Postgres, report: &mut Report) {
    const CHECK: &str = "database.writes";
    if server.in_recovery {
        let fix = "name the server that it follows in the URL; or, when that one is gone for good: SELECT \
            pg_promote()";
        return report.wrong(CHECK, "it is a standby, which follows another server and takes no writes", fix);
    }
    if !server.read_only {
        return report.ok(CHECK, "it takes writes");
    }
    let (role, database) = (quoted(&server.role), quoted(&server.database));
    let reset = |whose: String| {
        format!("SET default_transaction_read_only = off; ALTER {whose} RESET default_transaction_read_only")
    };
    let (place, fix) = match server.read_only_set_by.as_str() {
        "database" => ("the database", reset(format!("DATABASE {database}"))),
        "user" => ("the role", reset(format!("ROLE {role}"))),
        "database user" => {
            ("the role, in this database", reset(format!("ROLE {role} IN DATABASE {database}")))
        }
        "client" => ("the URL or PGOPTIONS", "take default_transaction_read_only out of it".to_owned()),
        _ => (
            "the server",
            "see first that its disk has space, then as a superuser: ALTER SYSTEM SET \
                default_transaction_read_only = off; SELECT pg_reload_conf()"
                .to_owned(),
        ),
    };
    report.wrong(CHECK, format!("default_transaction_read_only is on, by {place}: nothing is written"), fix);
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
