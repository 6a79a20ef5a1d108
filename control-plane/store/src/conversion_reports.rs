//! What was reported of one conversion, straight from the intake: also the reports that changed nothing.

use crate::codec::input_from_json;
use crate::intake::advertiser_column;
use crate::row::{Columns, Id};
use crate::{Store, StoreError};
use control_plane_domain::intake::{ConversionKey, ConversionReport, Input, ShardKey};
use proto_model::UnixMicros;

/// Of one order; more than any honest sender needs.
const MAX_REPORTS: i64 = 1_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedReport {
    pub ordinal: u64,
    pub recorded_at: UnixMicros,
    pub report: ConversionReport,
}

impl Store {
    /// Oldest first.
    pub async fn conversion_reports(
        &self,
        shard: ShardKey,
        key: &ConversionKey,
    ) -> Result<Vec<RecordedReport>, StoreError> {
        let sql = "SELECT ordinal, recorded_at, input FROM intake \
            WHERE tenant_id = $1 AND advertiser_id = $2 AND subject = $3 AND kind = 'conversion' \
            ORDER BY ordinal LIMIT $4";
        let rows = sqlx::query(sql)
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .bind(&key.order_id)
            .bind(MAX_REPORTS)
            .fetch_all(self.read())
            .await?;
        let mut reports = Vec::with_capacity(rows.len());
        for row in &rows {
            let Input::Conversion(report) = input_from_json(row.col("input")?)? else {
                return Err(StoreError::corrupt("intake item", "its kind is not the one of its row"));
            };
            if report.key == *key {
                let (ordinal, recorded_at) = (row.number("ordinal")?, row.time("recorded_at")?);
                reports.push(RecordedReport { ordinal, recorded_at, report });
            }
        }
        Ok(reports)
    }
}
