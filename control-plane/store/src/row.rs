//! Reading columns: numbers become ids, blobs become hashes, and what does not fit is `Corrupt`.

use crate::sql::{Connection, Readable, Row, query};
use crate::{Page, StoreError};
use proto_model::{
    AdvertiserId, Amount, Currency, DerivedId, EdgeId, LinkId, OfferId, PartnerId, ProgramId, StreamNo,
    TenantId, UnixMicros,
};

pub(crate) trait Columns {
    fn col<'r, T: Readable<'r>>(&'r self, name: &'static str) -> Result<T, StoreError>;

    fn number<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, StoreError> {
        T::try_from(self.col::<i64>(name)?).map_err(|_| StoreError::corrupt(name, "out of range"))
    }

    fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        let blob: &[u8] = self.col(name)?;
        blob.try_into().map_err(|_| StoreError::corrupt(name, "wrong length"))
    }

    fn bytes_opt<const N: usize>(&self, name: &'static str) -> Result<Option<[u8; N]>, StoreError> {
        let blob: Option<&[u8]> = self.col(name)?;
        blob.map(|b| b.try_into().map_err(|_| StoreError::corrupt(name, "wrong length"))).transpose()
    }

    fn id<T: Id>(&self, name: &'static str) -> Result<T, StoreError> {
        T::from_column(self.col(name)?).ok_or_else(|| StoreError::corrupt(name, "not an id"))
    }

    /// 0 and NULL stand for none.
    fn id_opt<T: Id>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        match self.col::<Option<i64>>(name)? {
            None | Some(0) => Ok(None),
            Some(value) => {
                T::from_column(value).map(Some).ok_or_else(|| StoreError::corrupt(name, "not an id"))
            }
        }
    }

    fn derived(&self, name: &'static str) -> Result<DerivedId, StoreError> {
        self.bytes(name).map(DerivedId)
    }

    fn time(&self, name: &'static str) -> Result<UnixMicros, StoreError> {
        self.col(name).map(UnixMicros)
    }

    fn stream(&self, name: &'static str) -> Result<StreamNo, StoreError> {
        self.number(name).map(StreamNo)
    }

    fn amount(&self, minor: &'static str, currency: &'static str) -> Result<Amount, StoreError> {
        Ok(Amount::new(self.col(minor)?, self.currency(currency)?))
    }

    fn currency(&self, name: &'static str) -> Result<Currency, StoreError> {
        Currency::parse_stored(self.col(name)?).map_err(|error| StoreError::corrupt(name, error))
    }

    /// A text column through a `parse` function.
    fn word<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: &str = self.col(name)?;
        parse(text).ok_or_else(|| StoreError::corrupt(name, text))
    }
}

impl Columns for Row {
    fn col<'r, T: Readable<'r>>(&'r self, name: &'static str) -> Result<T, StoreError> {
        self.get(name).map_err(|error| StoreError::corrupt(name, error))
    }
}

/// An entity id as a BIGINT column.
pub(crate) trait Id: Sized {
    fn from_column(value: i64) -> Option<Self>;
    fn column(self) -> i64;
}

macro_rules! id_columns {
    ($($name:ident),+) => {$(
        impl Id for $name {
            fn from_column(value: i64) -> Option<Self> {
                value.try_into().ok().and_then(Self::new)
            }
            fn column(self) -> i64 {
                // At most 40 bits.
                self.get() as i64
            }
        }
    )+};
}

id_columns!(TenantId, AdvertiserId, ProgramId, OfferId, PartnerId, LinkId, EdgeId);

/// Counts and ordinals (at most 48 bits) as a BIGINT column; what could not be stored saturates, and so
/// fails a check instead of wrapping.
pub(crate) fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The next `count` numbers of one of a tenant's lists; returns the last of them. Taken in the inserting
/// transaction, so that numbers become visible in order and a reader never skips one.
pub(crate) async fn take_seq(
    conn: &mut Connection,
    tenant: i64,
    name: &'static str,
    count: i64,
) -> Result<i64, StoreError> {
    let sql = "INSERT INTO sequences (tenant_id, name, last) VALUES ($1, $2, $3) \
        ON CONFLICT (tenant_id, name) DO UPDATE SET last = sequences.last + excluded.last RETURNING last";
    query(sql).bind(tenant).bind(name).bind(count).fetch_one(conn).await?.col("last")
}

/// The lists of the deployment are numbered under this tenant, which no real one has.
pub(crate) const DEPLOYMENT: i64 = 0;

/// Rows that were read with [`Page::bounds`] and have a `seq`.
pub(crate) fn page<T>(
    rows: &[Row],
    limit: u32,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let items =
        rows.iter().map(|row| Ok((row.col("seq")?, read(row)?))).collect::<Result<_, StoreError>>()?;
    Ok(Page::of(items, limit))
}

/// A change that must have found its row.
pub(crate) fn found(rows_affected: u64) -> Result<(), StoreError> {
    if rows_affected == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}
