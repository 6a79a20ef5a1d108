//! Somebody with the database in their hands: what they change is found.

use crate::money::World;
use crate::plane::eventually;
use control_plane_domain::order::CommissionStatus;
use control_plane_server::DatabaseUrl;
use control_plane_server::app::replay::replay_shard;
use control_plane_server::app::verify::{Verification, verify_journal};
use proto_model::event::Authority;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _};

impl World {
    /// A sale with its click, delivered, approved and settled.
    async fn settled() -> Self {
        let mut world = Self::new().await;
        let clicked = world.click().await;
        world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
        world.commission(CommissionStatus::Pending).await;
        world.deliver("A-1").await;
        world.commission(CommissionStatus::Approved).await;
        eventually("a statement", async || world.close().await.into_iter().next()).await;
        world
    }

    /// Open to changes of what is written once.
    pub async fn database(&self) -> Raw {
        let mut raw = self.raw().await;
        raw.disarm().await;
        raw
    }

    /// With its triggers.
    pub async fn raw(&self) -> Raw {
        if let Some(DatabaseUrl::Postgres(url)) = self.plane.database() {
            let (_, name) = url.rsplit_once('/').unwrap();
            return Raw::Postgres(name.to_owned());
        }
        let path = self.plane.dir().join("tributary.db");
        assert!(path.is_file());
        // References are not looked at: whoever tampers does not ask for that.
        let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
        Raw::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
    }

    pub async fn verify(&self) -> Verification {
        verify_journal(&self.plane.app().store).await.unwrap()
    }

    /// The first difference of each shard: the advertiser's, the settlement's.
    pub async fn differences(&self) -> [Option<String>; 2] {
        let [advertiser, settlement] = self.shards();
        let app = self.plane.app();
        [
            replay_shard(app, advertiser).await.unwrap().difference,
            replay_shard(app, settlement).await.unwrap().difference,
        ]
    }
}

/// The database in somebody's hands who may do everything.
pub enum Raw {
    Sqlite(SqliteConnection),
    /// The name of a database on the tests' server.
    Postgres(String),
}

impl Raw {
    pub async fn run(&mut self, sql: &str) {
        let done = match self {
            Self::Sqlite(conn) => {
                let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await;
                done.map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Postgres(name) => {
                // Neither triggers nor references are looked at. Apart, since the control plane that runs in
                // this thread may have to end a transaction first.
                let (name, sql) = (name.clone(), format!("SET session_replication_role = replica; {sql}"));
                let psql = move || control_plane_testing::server().superuser_psql(&name, &sql);
                let done = tokio::task::spawn_blocking(psql).await.unwrap();
                done.map(|_| ()).map_err(|error| error.to_string())
            }
        };
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Removes what protects rows that are written once.
    async fn disarm(&mut self) {
        let Self::Sqlite(conn) = self else { return };
        let names: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            .fetch_all(conn)
            .await
            .unwrap();
        for name in names {
            self.run(&format!("DROP TRIGGER {name}")).await;
        }
    }

    /// The blob with its byte at `at` (from 1) turned around.
    pub fn flipped(&self, column: &str, at: u32) -> String {
        match self {
            Self::Sqlite(_) => {
                let (hex, digit) = (format!("hex({column})"), 2 * at - 1);
                format!(
                    "unhex(substr({hex}, 1, {digit} - 1) || CASE substr({hex}, {digit}, 2) WHEN '00' THEN 'FF' \
                     ELSE '00' END || substr({hex}, {digit} + 2))"
                )
            }
            Self::Postgres(_) => {
                let byte = at - 1;
                format!(
                    "set_byte({column}, {byte}, CASE get_byte({column}, {byte}) WHEN 0 THEN 255 ELSE 0 END)"
                )
            }
        }
    }

    fn random_id(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "randomblob(16)",
            Self::Postgres(_) => "decode(md5(random()::text), 'hex')",
        }
    }
}

#[tokio::test]
async fn whatever_changes_in_the_journal_is_found() {
    let world = World::settled().await;
    let mut raw = world.database().await;
    let money = "journal WHERE lane = 1";
    let cases = [
        (
            format!("UPDATE journal SET payload = {} WHERE lane = 1", raw.flipped("payload", 5)),
            "not the one its signed",
        ),
        (
            format!("UPDATE journal SET header = {} WHERE lane = 1", raw.flipped("header", 20)),
            "not signed by this edge",
        ),
        (
            format!("UPDATE journal SET signature = {} WHERE lane = 1", raw.flipped("signature", 9)),
            "not signed by this edge",
        ),
        (
            format!("UPDATE journal SET head_hash = {} WHERE lane = 1", raw.flipped("head_hash", 1)),
            "head hash",
        ),
        ("UPDATE journal SET events = events + 1 WHERE lane = 1".into(), "counts other events"),
        ("UPDATE journal SET last_ordinal = 9 WHERE lane = 1".into(), "other ordinals"),
        ("UPDATE journal SET lane = 2 WHERE lane = 1".into(), "another lane"),
        ("UPDATE journal SET stream = 2 WHERE lane = 1".into(), "another stream"),
        (format!("DELETE FROM {money}"), "its head stands at 1"),
        (format!("DELETE FROM {money}"), "1 batches"),
        ("UPDATE streams SET last_ordinal = 7 WHERE lane = 1".into(), "its head stands at 7"),
        (
            format!("UPDATE edges SET batch_public_key = {}", raw.flipped("batch_public_key", 3)),
            "not signed by this edge",
        ),
        (format!("UPDATE sidecar SET value = {}", raw.flipped("value", 4)), "not the one committed to"),
        (format!("UPDATE sidecar SET salt = {}", raw.flipped("salt", 4)), "not the one committed to"),
        (format!("UPDATE sidecar_batches SET packed = {}", raw.flipped("packed", 1)), "cannot be read"),
        (format!("UPDATE sidecar_batches SET packed = {}", raw.flipped("packed", 5)), "cannot be read"),
        (
            format!("UPDATE sidecar_batches SET packed = {}", raw.flipped("packed", 12)),
            "not the one committed to",
        ),
        (
            format!("UPDATE sidecar_batches SET packed = {}", raw.flipped("packed", 60)),
            "not the one committed to",
        ),
        ("UPDATE sidecar_batches SET held = 2".into(), "cannot be read"),
        ("UPDATE sidecar_batches SET first_ordinal = 8, last_ordinal = 8".into(), "no batch holds"),
        ("UPDATE sidecar_batches SET stream = 4000000000".into(), "no batch holds"),
        ("UPDATE sidecar SET ordinal = 8".into(), "no batch holds"),
        ("UPDATE sidecar SET stream = 4000000000".into(), "no batch holds"),
        ("DELETE FROM journal WHERE lane = 1".into(), "no batch holds"),
        ("DELETE FROM journal WHERE lane = 2".into(), "no batch holds"),
    ];
    let clean = world.verify().await;
    assert!(clean.ok(), "{clean:?}");
    assert_eq!((clean.streams, clean.batches, clean.events, clean.values), (2, 2, 2, 2));
    let tables = ["journal", "streams", "edges", "sidecar", "sidecar_batches"];
    for table in tables {
        raw.run(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    for (sql, expected) in cases {
        // `stream = 2` collides unless the traffic batch makes room.
        if sql.contains("stream = 2") {
            raw.run("UPDATE journal SET first_ordinal = 50, last_ordinal = 50 WHERE lane = 2").await;
        }
        raw.run(&sql).await;
        let found = world.verify().await;
        assert!(!found.ok(), "{sql}");
        assert!(found.problems.iter().any(|problem| problem.what.contains(expected)), "{sql}: {found:?}");
        for table in tables {
            raw.run(&format!("DELETE FROM {table}")).await;
            raw.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
        assert!(world.verify().await.ok());
    }
    drop(raw);
    world.plane.stop().await;
}

#[tokio::test]
async fn a_replay_finds_what_is_extra_missing_or_changed() {
    let world = World::settled().await;
    let mut raw = world.database().await;
    let random = raw.random_id();
    let extra = |table: &str, change: &str| {
        format!(
            "CREATE TEMP TABLE extra AS SELECT * FROM {table} LIMIT 1; \
             UPDATE extra SET id = {random}, seq = seq + 1000 {change}; \
             INSERT INTO {table} SELECT * FROM extra; DROP TABLE extra"
        )
    };
    let (no_cause, differs) = ("has no cause in the intake", "differs from its replay");
    let [statement, payout, transaction] = [
        extra("statements", ", through = through + 1"),
        extra("payouts", ""),
        extra("ledger_transactions", ", sequence = sequence + 1000"),
    ];
    let cases = [
        (statement.as_str(), no_cause),
        ("UPDATE statements SET closing_minor = closing_minor + 1", differs),
        ("DELETE FROM statements", "is missing"),
        ("DELETE FROM statement_lines", differs),
        (payout.as_str(), no_cause),
        ("UPDATE payouts SET amount_minor = amount_minor + 1", differs),
        ("DELETE FROM payouts", "is missing"),
        (transaction.as_str(), no_cause),
        ("DELETE FROM ledger_transactions WHERE sequence = 1", "is missing"),
        ("UPDATE ledger_entries SET minor = minor * 2", differs),
        ("UPDATE ledger_transactions SET intake_ordinal = intake_ordinal + 100", differs),
    ];
    assert_eq!(world.differences().await, [None, None]);
    let tables = ["statements", "statement_lines", "payouts", "ledger_transactions", "ledger_entries"];
    for table in tables {
        raw.run(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    for (sql, expected) in cases {
        raw.run(sql).await;
        let found = world.differences().await;
        let told = found.iter().flatten().any(|difference| difference.contains(expected));
        assert!(told, "{sql}: {found:?}");
        for table in tables {
            raw.run(&format!("DELETE FROM {table}")).await;
            raw.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
        assert_eq!(world.differences().await, [None, None], "{sql}");
    }
    drop(raw);
    world.plane.stop().await;
}
