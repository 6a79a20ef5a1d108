use crate::StoreError;
use crate::dialect::{BEGIN_WRITE, Connection, Db, MIGRATIONS, Pools, Transaction, connect};
use crate::signals::{Owed, Signals};
use sqlx::Pool;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The control plane's database. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pools: Pools,
    signals: Signals,
}

impl Store {
    /// Opens `sqlite://path` (created when missing) or `sqlite::memory:` and brings the schema up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let pools = connect(url).await.map_err(StoreError::Open)?;
        MIGRATIONS.run(&pools.writer).await.map_err(StoreError::Migrate)?;
        Ok(Self { inner: Arc::new(Inner { pools, signals: Signals::default() }) })
    }

    pub fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    /// Waits for what is under way and closes the connections; clones fail from then on.
    pub async fn close(self) {
        self.inner.pools.readers.close().await;
        self.inner.pools.writer.close().await;
    }

    pub(crate) fn read(&self) -> &Pool<Db> {
        &self.inner.pools.readers
    }

    /// Outside of any transaction.
    pub(crate) async fn on_writer(&self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&self.inner.pools.writer).await?;
        Ok(())
    }

    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        let transaction = self.inner.pools.writer.begin_with(BEGIN_WRITE).await?;
        Ok(Write { transaction, owed: Owed::default(), store: self.clone() })
    }
}

/// A transaction on the writer connection; rolled back when dropped.
pub(crate) struct Write {
    transaction: Transaction,
    pub owed: Owed,
    store: Store,
}

impl Write {
    /// Every catalog write makes a new snapshot due.
    pub async fn commit_catalog(mut self) -> Result<(), StoreError> {
        sqlx::query("UPDATE catalog_version SET version = version + 1").execute(&mut *self).await?;
        self.owed.catalog = true;
        self.commit().await
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        self.store.signals().pay(self.owed);
        Ok(())
    }
}

impl Deref for Write {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.transaction
    }
}
