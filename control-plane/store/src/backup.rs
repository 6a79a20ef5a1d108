//! Copies of an embedded database, made while it is in use. A database server has tools of its own for that.

use crate::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};
use std::path::{Path, PathBuf};

/// Where a restore makes what will be this database. While it is there and the database is not, a restore was
/// interrupted.
pub fn restoring(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".restoring");
    PathBuf::from(name)
}

async fn connect(file: &Path) -> Result<SqliteConnection, StoreError> {
    // No schema is brought up to date here: the copy is what the running version works with.
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// About how large a copy of the database will be.
pub async fn size_of(file: &Path) -> Result<u64, StoreError> {
    let mut conn = connect(file).await?;
    let sql = "SELECT (c.page_count - f.freelist_count) * s.page_size \
        FROM pragma_page_count() c, pragma_freelist_count() f, pragma_page_size() s";
    let bytes: i64 = sqlx::query(sql).fetch_one(&mut conn).await?.try_get(0)?;
    conn.close().await?;
    Ok(bytes.unsigned_abs())
}

/// Writes a copy of the database as of one instant into the new file `to`. Whoever works on the database goes on
/// meanwhile; its log beside the file grows until the copy is made.
pub async fn copy_file(file: &Path, to: &Path) -> Result<(), StoreError> {
    let mut conn = connect(file).await?;
    let to = to.to_string_lossy().into_owned();
    sqlx::query("VACUUM INTO $1").bind(to).execute(&mut conn).await?;
    Ok(conn.close().await?)
}

/// The level of the schema in a file, once every page of it was read and made sense.
pub async fn check_file(file: &Path) -> Result<i64, StoreError> {
    let mut conn = connect(file).await?;
    let found: String = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut conn).await?.try_get(0)?;
    if found != "ok" {
        return Err(StoreError::Corrupt { what: "database", detail: found });
    }
    let sql = "SELECT max(version) FROM _sqlx_migrations";
    let level: Option<i64> = sqlx::query(sql).fetch_one(&mut conn).await?.try_get(0)?;
    conn.close().await?;
    level.ok_or(StoreError::Corrupt { what: "schema", detail: "no migration was ever applied".into() })
}
