//! The schema's level, and who may work with it.
//!
//! Migrations only add (append-only files, expand before contract), so that a version before this one goes on
//! working while a deploy rolls. One that takes something away raises the floor in `schema_floor` (0008): the
//! oldest level of a Tributary that may still open the database.

use crate::StoreError;
use crate::dialect::{Database, Scope, is_missing_table};
use crate::row::Columns;
use crate::sql::query;
use sqlx::migrate::Migrator;

/// What is applied, and the oldest level that may work with it. A database from before there was a floor
/// has none.
async fn found(database: &Database) -> Result<Option<(i64, i64)>, StoreError> {
    let mut conn = database.read(Scope::Deployment).await?;
    let sql = "SELECT max(m.version) AS found, f.oldest FROM schema_floor f, _sqlx_migrations m \
        GROUP BY f.oldest";
    match query(sql).fetch_optional(&mut conn).await {
        Ok(row) => row.map(|row| Ok((row.col("found")?, row.col("oldest")?))).transpose(),
        Err(error) if is_missing_table(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a newer Tributary has been at work, and left it good for this one.
async fn is_newer(database: &Database, known: i64) -> Result<bool, StoreError> {
    match found(database).await? {
        Some((found, oldest)) if found > known && oldest > known => {
            Err(StoreError::NewerSchema { found, oldest, known })
        }
        Some((found, _)) if found > known => {
            tracing::warn!(
                found,
                known,
                "the database has a newer schema; a newer Tributary is at work on it"
            );
            Ok(true)
        }
        _ => Ok(false),
    }
}

pub(crate) fn level(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or_default()
}

pub(crate) async fn bring_up_to_date(database: &Database) -> Result<(), StoreError> {
    let migrator = database.migrations();
    let known = level(migrator);
    if is_newer(database, known).await? {
        return Ok(());
    }
    let Err(error) = database.migrate(migrator).await else { return Ok(()) };
    // A newer one that started at the same moment may have been faster.
    match is_newer(database, known).await {
        Ok(false) => Err(StoreError::Migrate(error)),
        Ok(true) => Ok(()),
        Err(newer @ StoreError::NewerSchema { .. }) => Err(newer),
        Err(_) => Err(StoreError::Migrate(error)),
    }
}
