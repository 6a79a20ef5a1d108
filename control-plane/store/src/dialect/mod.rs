//! Everything that differs between databases: connecting, beginning, migrating, bulk sources, error codes.

mod bulk;
mod failure;
mod postgres;
mod sqlite;

pub(crate) use bulk::*;
pub(crate) use failure::{Failure, failure, is_missing_table};
pub(crate) use postgres::{Bus, PER_PROCESS};

use crate::signals::Signals;
use crate::sql::Connection;
use crate::{DatabaseUrl, StoreError};
use control_plane_domain::intake::ShardKey;
use proto_model::TenantId;
use sqlx::migrate::{MigrateError, Migrator};
use std::sync::Arc;

/// Others lack letters, or compare and measure texts in other ways than SQLite.
const ENCODING: &str = "UTF8";

/// Whose rows a transaction may touch: on PostgreSQL the database itself sees to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Tenant(TenantId),
    /// Every tenant's: the projector, the fleet, and what operators ask.
    Deployment,
}

impl From<TenantId> for Scope {
    fn from(tenant: TenantId) -> Self {
        Self::Tenant(tenant)
    }
}

impl From<ShardKey> for Scope {
    fn from(shard: ShardKey) -> Self {
        Self::Tenant(shard.tenant)
    }
}

/// The open database.
pub(crate) enum Database {
    Sqlite(sqlite::Pools),
    Postgres(Box<postgres::Pools>),
}

impl Database {
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let connected = match url {
            DatabaseUrl::Sqlite(url) => sqlite::connect(url).await.map(Self::Sqlite),
            DatabaseUrl::Postgres(url) => {
                postgres::connect(url).await.map(|pools| Self::Postgres(Box::new(pools)))
            }
        };
        let failed = |source| StoreError::Open { database: url.to_string(), source };
        let connected = connected.map_err(failed)?;
        match connected.encoding().await.map_err(failed)? {
            Some(found) if found != ENCODING => {
                Err(StoreError::Encoding { database: url.to_string(), found })
            }
            _ => Ok(connected),
        }
    }

    /// Of its texts, where there is a choice.
    async fn encoding(&self) -> Result<Option<String>, sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(pools) => pools.encoding().await.map(Some),
        }
    }

    /// To look at, as it is: makes nothing and changes nothing.
    pub async fn look(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let connected = match url {
            DatabaseUrl::Sqlite(url) => sqlite::look(url).await.map(Self::Sqlite),
            DatabaseUrl::Postgres(url) => {
                postgres::look(url).await.map(|pools| Self::Postgres(Box::new(pools)))
            }
        };
        connected.map_err(|source| StoreError::Open { database: url.to_string(), source })
    }

    /// Of one statement; several need not see the same state.
    pub async fn read(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.read().await,
            Self::Postgres(pools) => pools.read(scope).await,
        }
    }

    /// The same for who cannot wait until reports let go of a connection.
    pub async fn read_beside_reports(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.read().await,
            Self::Postgres(pools) => pools.read_beside_reports(scope).await,
        }
    }

    /// All statements see the same state.
    pub async fn read_snapshot(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.read_snapshot().await,
            Self::Postgres(pools) => pools.read(scope).await,
        }
    }

    pub async fn write(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.write().await,
            Self::Postgres(pools) => pools.write(scope).await,
        }
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite(pools) => pools.close().await,
            Self::Postgres(pools) => pools.close().await,
        }
    }

    pub fn migrations(&self) -> &'static Migrator {
        match self {
            Self::Sqlite(_) => &sqlite::MIGRATIONS,
            Self::Postgres(_) => &postgres::MIGRATIONS,
        }
    }

    pub async fn migrate(&self, migrator: &Migrator) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite(pools) => migrator.run(&pools.writer).await,
            Self::Postgres(pools) => pools.migrate(migrator).await,
        }
    }

    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// To other processes on the same database; an embedded one has none.
    pub fn bus(&self, signals: &Arc<Signals>) -> Option<Bus> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(pools) => Some(pools.bus(signals)),
        }
    }

    /// Values are being erased; to be called before the commit, so that [`Self::forget_log`] is not forgotten.
    pub fn owe_log(&self) {
        if let Self::Sqlite(pools) = self {
            pools.owe_log();
        }
    }

    /// After values were erased: takes them out of the log beside the database file, too, or leaves that to the next
    /// time. PostgreSQL's own vacuum and the recycling of its log see to it there.
    pub async fn forget_log(&self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.forget_log().await,
            Self::Postgres(_) => Ok(()),
        }
    }
}
