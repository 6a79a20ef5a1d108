//! Which conversions credit which clicks, to be compared with the journal.

use crate::dialect::Scope;
use crate::intake::read_shard;
use crate::row::{Columns, big};
use crate::sql::{Row, query};
use crate::{Store, StoreError};
use control_plane_domain::intake::{Input, ShardKey};
use proto_model::StreamNo;
use std::ops::RangeInclusive;

impl Store {
    /// Inputs that credit a click at one of these ordinals of `stream`, oldest first, at most `limit`.
    pub async fn claims_on(
        &self,
        stream: StreamNo,
        ordinals: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(ShardKey, Input)>, StoreError> {
        let sql = "SELECT tenant_id, advertiser_id, input FROM intake \
            WHERE click_stream = $1 AND click_ordinal BETWEEN $2 AND $3 \
            ORDER BY recorded_at, tenant_id, advertiser_id, ordinal LIMIT $4";
        let rows = query(sql)
            .bind(i64::from(stream.0))
            .bind(big(*ordinals.start()))
            .bind(big(*ordinals.end()))
            .bind(i64::from(limit))
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        let claim = |row: &Row| Ok((read_shard(row)?, crate::codec::input_from_json(row.col("input")?)?));
        rows.iter().map(claim).collect()
    }
}
