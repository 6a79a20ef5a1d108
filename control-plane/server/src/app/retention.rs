//! What is not kept for ever goes when its days are over, and days to come are made ready.

use super::health::Status;
use super::{App, click_caps, clock, erase};
use crate::config::Config;
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use control_plane_store::StoreError;
use control_plane_store::retention::Dropped;
use proto_model::UnixMicros;
use proto_model::time::DAY_US;
use std::sync::Arc;
use std::time::Duration;

/// The part in the health report.
pub const PART: &str = "retention";
/// A day is over at midnight UTC; nobody waits for it.
const EVERY: Duration = Duration::from_secs(600);
/// Two hours.
const PATIENCE: u32 = 12;
/// Conversions are compared with the clicks that they name while these are in the journal.
const FEWEST_DAYS: u32 = 2;
/// A century; more is a slip of the pen, or "for ever".
const MOST_DAYS: u32 = 36_500;

/// Whole days beside today; `None` = for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    journal_days: Option<u32>,
    rollup_days: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{option} is {days}: {why}; leave it out to keep everything")]
pub struct UnfitDays {
    option: &'static str,
    days: u32,
    why: &'static str,
}

/// The messages name the bounds.
const TOO_FEW: &str = "keep at least 2 days, since what edges send late belongs to days that are over";
const TOO_MANY: &str = "keep at most 36500 days";

impl Keep {
    pub fn of(config: &Config) -> Result<Self, UnfitDays> {
        let fit = |option, days: Option<u32>| match days {
            Some(days) if days < FEWEST_DAYS => Err(UnfitDays { option, days, why: TOO_FEW }),
            Some(days) if days > MOST_DAYS => Err(UnfitDays { option, days, why: TOO_MANY }),
            days => Ok(days),
        };
        Ok(Self {
            journal_days: fit("keep_journal_days", config.keep_journal_days)?,
            rollup_days: fit("keep_rollup_days", config.keep_rollup_days)?,
        })
    }
}

/// What is older than so many days, today not counted. A number that is too large keeps everything.
fn older_than(days: u32, now: UnixMicros) -> UnixMicros {
    UnixMicros(now.0.saturating_sub(i64::from(days).saturating_mul(DAY_US)))
}

/// Without a lease: two at once do no harm, what one has dropped is not there for the other.
pub async fn run(app: Arc<App>, mut stop: Stop, keep: Keep) -> Result<(), AppError> {
    // Whatever there is to do: nobody need wait for it in order to begin.
    app.health.set(PART, Status::Ok);
    let mut in_vain = 0;
    loop {
        let status = match turn_days(&app, keep, clock::now()).await {
            Ok(()) => {
                in_vain = 0;
                Status::Ok
            }
            Err(error) => {
                in_vain += 1;
                let why = chain(&error);
                tracing::warn!(
                    in_vain,
                    "days could not be made ahead or dropped, or erased values not all, trying again later: {why}"
                );
                // Everything else works; and a backup that reads for long is no trouble.
                let waits = matches!(error, StoreError::Busy(_)) && in_vain < PATIENCE;
                if waits { Status::Ok } else { Status::Degraded(why) }
            }
        };
        app.health.set(PART, status);
        if !stop.sleep(EVERY).await {
            return Ok(());
        }
    }
}

/// Makes what is to come and drops what is over or erased; none of it waits for the other.
async fn turn_days(app: &App, keep: Keep, now: UnixMicros) -> Result<(), StoreError> {
    let ahead = app.store.make_days_ahead(now).await;
    let scrubbed = erase::scrub(app).await;
    let caps = click_caps::forget(app).await;
    let journal = drop_journal(app, keep, now).await;
    drop_rollups(app, keep, now).await.and(journal).and(ahead).and(scrubbed).and(caps)
}

async fn drop_journal(app: &App, keep: Keep, now: UnixMicros) -> Result<(), StoreError> {
    // When all is kept, at least what was begun before is ended.
    let before = keep.journal_days.map_or(UnixMicros(0), |days| older_than(days, now));
    let Dropped { batches, through_seq, values } = app.store.drop_journal_before(before, now).await?;
    if batches > 0 || values > 0 {
        tracing::info!(batches, through_seq, values, "days of the journal were dropped");
    }
    Ok(())
}

async fn drop_rollups(app: &App, keep: Keep, now: UnixMicros) -> Result<(), StoreError> {
    let Some(days) = keep.rollup_days else { return Ok(()) };
    let dropped = app.store.drop_rollups_before(older_than(days, now), now).await?;
    if dropped > 0 {
        tracing::info!(dropped, "days of the roll-ups were dropped");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_edges_may_still_need_is_kept_and_a_slip_of_the_pen_is_refused() {
        let cases = [
            (None, true),
            (Some(0), false),
            (Some(1), false),
            (Some(2), true),
            (Some(36_500), true),
            (Some(36_501), false),
            (Some(200_000_000), false),
            (Some(999_999_999), false),
            (Some(u32::MAX), false),
        ];
        for (days, fit) in cases {
            let journal = Config { keep_journal_days: days, ..Config::default() };
            let rollups = Config { keep_rollup_days: days, ..Config::default() };
            for config in [journal, rollups] {
                assert_eq!(Keep::of(&config).is_ok(), fit, "{days:?}");
            }
        }
        for (why, bound) in [(TOO_FEW, FEWEST_DAYS), (TOO_MANY, MOST_DAYS)] {
            assert!(why.contains(&bound.to_string()), "{why}");
        }
    }

    #[test]
    fn more_days_never_drop_more() {
        let now = UnixMicros::from_secs(1_800_000_000);
        let mut last = now;
        for days in [0, 1, 90, MOST_DAYS, 106_751_991, 200_000_000, 999_999_999, u32::MAX] {
            let before = older_than(days, now);
            assert!(before <= last, "{days}: {before:?}");
            last = before;
        }
    }
}
