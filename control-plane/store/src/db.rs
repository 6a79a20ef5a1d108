use crate::clock::Clock;
use crate::days::Days;
use crate::dialect::{Bus, Database, Scope};
use crate::signals::{Owed, Signals};
use crate::sql::{Connection, query};
use crate::trap::{Dies, Trap};
use crate::{DatabaseUrl, StoreError, schema};
use proto_model::UnixMicros;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The control plane's database. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    signals: Arc<Signals>,
    days: Days,
    clock: Clock,
    trap: Trap,
    _bus: Option<Bus>,
}

impl Store {
    /// Opens the database (a missing SQLite file is created) and brings its schema up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let database = Database::connect(url).await?;
        schema::bring_up_to_date(&database).await?;
        let signals = Arc::default();
        let bus = database.bus(&signals);
        Ok(Self::of(database, signals, bus))
    }

    /// Opens the database to look at it, whatever its schema: makes nothing and changes nothing.
    pub async fn look(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let database = Database::look(url).await?;
        Ok(Self::of(database, Arc::default(), None))
    }

    fn of(database: Database, signals: Arc<Signals>, bus: Option<Bus>) -> Self {
        let (days, clock, trap) = (Days::default(), Clock::default(), Trap::default());
        Self { inner: Arc::new(Inner { database, signals, days, clock, trap, _bus: bus }) }
    }

    /// Whether other processes may be at work on it: an embedded one has a single control plane.
    pub fn is_shared(&self) -> bool {
        self.inner.database.is_shared()
    }

    pub fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    /// Waits a little for what is under way and closes the connections; clones fail from then on.
    pub async fn close(self) {
        self.inner.database.close().await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn days(&self) -> &Days {
        &self.inner.days
    }

    /// Whoever writes by this clock is stopped while it is far from the database's, as [`Store::database_time`]
    /// last saw that.
    pub fn watch_clock(&self, machine: fn() -> UnixMicros) {
        self.inner.clock.watch(machine);
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(crate) fn trap(&self) -> &Trap {
        &self.inner.trap
    }

    pub(crate) async fn read(&self, scope: impl Into<Scope>) -> Result<Connection, StoreError> {
        Ok(self.inner.database.read(scope.into()).await?)
    }

    /// For who cannot wait until reports let go of a connection.
    pub(crate) async fn read_beside_reports(
        &self,
        scope: impl Into<Scope>,
    ) -> Result<Connection, StoreError> {
        Ok(self.inner.database.read_beside_reports(scope.into()).await?)
    }

    /// Reads that must see one state.
    pub(crate) async fn read_snapshot(&self, scope: impl Into<Scope>) -> Result<Connection, StoreError> {
        Ok(self.inner.database.read_snapshot(scope.into()).await?)
    }

    pub(crate) async fn write(&self, scope: impl Into<Scope>) -> Result<Write, StoreError> {
        self.inner.clock.check()?;
        let conn = self.inner.database.write(scope.into()).await?;
        Ok(Write { conn, owed: Owed::default(), store: self.clone() })
    }
}

/// A transaction that may write; rolled back when dropped.
pub(crate) struct Write {
    conn: Connection,
    pub owed: Owed,
    store: Store,
}

impl Write {
    /// Every catalog write makes a new snapshot due.
    pub async fn commit_catalog(mut self) -> Result<(), StoreError> {
        query("UPDATE catalog_version SET version = version + 1").execute(&mut self).await?;
        self.owed.catalog = true;
        self.commit().await
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { conn, owed, store } = self;
        let dies = store.trap().springs();
        if dies == Some(Dies::BeforeCommit) {
            drop(conn);
            return Err(store.die().await);
        }
        conn.commit().await?;
        if dies == Some(Dies::AfterCommit) {
            return Err(store.die().await);
        }
        store.signals().pay(owed);
        Ok(())
    }
}

impl Deref for Write {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }
}
