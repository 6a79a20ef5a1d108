//! What was reported of one conversion, straight from the intake: also the reports that changed nothing.

use crate::codec::input_from_json;
use crate::dialect;
use crate::intake::advertiser_column;
use crate::row::{Columns, Id};
use crate::sql::query;
use crate::{Store, StoreError};
use control_plane_domain::intake::{ConversionKey, ConversionReport, Input, ShardKey};
use proto_model::UnixMicros;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedReport {
    pub ordinal: u64,
    pub recorded_at: UnixMicros,
    pub report: ConversionReport,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversionReports {
    /// Of all there are.
    pub count: u64,
    /// Oldest first.
    pub first: Vec<RecordedReport>,
}

impl Store {
    /// How many reports of the conversion there are, and the first of them.
    pub async fn conversion_reports(
        &self,
        shard: ShardKey,
        key: &ConversionKey,
        limit: u32,
    ) -> Result<ConversionReports, StoreError> {
        let rows = query(dialect::REPORTS_OF)
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .bind(&key.order_id)
            .bind(&key.goal)
            .bind(&key.event_id)
            .bind(i64::from(limit))
            .fetch_all(&mut self.read(shard).await?)
            .await?;
        let count = rows.first().map_or(Ok(0), |row| row.number("reports"))?;
        let mut first = Vec::with_capacity(rows.len());
        for row in &rows {
            let Input::Conversion(report) = input_from_json(row.col("input")?)? else {
                return Err(StoreError::corrupt("intake item", "its kind is not the one of its row"));
            };
            let (ordinal, recorded_at) = (row.number("ordinal")?, row.time("recorded_at")?);
            first.push(RecordedReport { ordinal, recorded_at, report });
        }
        Ok(ConversionReports { count, first })
    }
}
