//! Reports over the roll-ups and the decided conversions.

use crate::projection::HitKind;
use crate::row::{Columns, Id};
use crate::sql::{Connection, Query, Row, query};
use crate::{Store, StoreError};
use proto_model::time::HOUR_US;
use proto_model::{
    AdvertiserId, Amount, LinkId, OfferId, PartnerId, Reason, TenantId, UnixMicros, VerdictKind,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Hours from `from` on and before `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportFilter {
    pub from: UnixMicros,
    pub until: UnixMicros,
    pub advertiser: Option<AdvertiserId>,
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
    pub link: Option<LinkId>,
}

/// One link in one hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkHour {
    pub hour: UnixMicros,
    pub advertiser: AdvertiserId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub link: LinkId,
    /// Counted clicks: allowed and flagged.
    pub clicks: u64,
    /// The flagged ones among `clicks`.
    pub flagged: u64,
    /// Not counted, but visible.
    pub blocked: u64,
    /// Those among `clicks` whose visitor was new to the offer, within its window and on the edge that took the click.
    pub unique_clicks: u64,
    /// Allowed and flagged.
    pub impressions: u64,
    /// Attributed conversions that happened in this hour.
    pub conversions: u64,
    /// Their amounts, one per currency.
    pub sales: Vec<Amount>,
    /// Their commissions that are pending or approved, one per currency.
    pub commissions: Vec<Amount>,
}

/// Hours from `from` on and before `until`, taken together in periods of whole hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleFilter {
    pub from: UnixMicros,
    pub until: UnixMicros,
    pub period_us: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleHits {
    /// Of the period.
    pub start: UnixMicros,
    /// `None` = no rule matched.
    pub rule_id: Option<String>,
    pub rule_set_version: u32,
    pub verdict: VerdictKind,
    pub clicks: u64,
    /// As edges heard them: what a rule blocks never reaches the money engine.
    pub conversions: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedHits {
    pub hour: UnixMicros,
    pub advertiser: AdvertiserId,
    pub reason: Reason,
    pub hits: u64,
}

/// Newest hour first, then by link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    hour: Reverse<UnixMicros>,
    link: LinkId,
    offer: OfferId,
    partner: PartnerId,
    advertiser: AdvertiserId,
}

impl Key {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            hour: Reverse(row.time("hour")?),
            link: row.id("link_id")?,
            offer: row.id("offer_id")?,
            partner: row.id("partner_id")?,
            advertiser: row.id("advertiser_id")?,
        })
    }

    fn empty(self) -> LinkHour {
        LinkHour {
            hour: self.hour.0,
            advertiser: self.advertiser,
            offer: self.offer,
            partner: self.partner,
            link: self.link,
            clicks: 0,
            flagged: 0,
            blocked: 0,
            unique_clicks: 0,
            impressions: 0,
            conversions: 0,
            sales: Vec::new(),
            commissions: Vec::new(),
        }
    }
}

macro_rules! filtered {
    () => {
        " AND c.link_id IS NOT NULL AND c.link_id <> 0 \
        AND ($4 IS NULL OR c.advertiser_id = $4) AND ($5 IS NULL OR c.offer_id = $5) \
        AND ($6 IS NULL OR c.partner_id = $6) AND ($7 IS NULL OR c.link_id = $7) \
        GROUP BY c.hour, c.link_id, c.offer_id, c.partner_id, c.advertiser_id"
    };
}

/// The statements of a report on links. `$which` names the one link or partner once more, in words that the index
/// which begins with it (0012) can serve.
macro_rules! by_hour_and_link {
    ($which:literal) => {
        Statements {
            clicks: concat!(
                "SELECT c.hour, c.link_id, c.offer_id, c.partner_id, c.advertiser_id, \
                CAST(sum(CASE WHEN c.kind = $8 AND c.verdict <> 2 THEN c.hits ELSE 0 END) AS BIGINT) AS clicks, \
                CAST(sum(CASE WHEN c.kind = $8 AND c.verdict = 1 THEN c.hits ELSE 0 END) AS BIGINT) AS flagged, \
                CAST(sum(CASE WHEN c.kind = $8 AND c.verdict = 2 THEN c.hits ELSE 0 END) AS BIGINT) AS blocked, \
                CAST(sum(CASE WHEN c.kind = $8 AND c.verdict <> 2 THEN c.unique_hits ELSE 0 END) AS BIGINT) \
                    AS unique_clicks, \
                CAST(sum(CASE WHEN c.kind = $9 AND c.verdict <> 2 THEN c.hits ELSE 0 END) AS BIGINT) \
                    AS impressions \
                FROM rollup_links c WHERE c.tenant_id = $1 AND c.hour >= $2 AND c.hour < $3 \
                AND c.kind IN ($8, $9)",
                $which,
                filtered!()
            ),
            conversions: concat!(
                "SELECT c.hour, c.link_id, c.offer_id, c.partner_id, c.advertiser_id, \
                count(*) AS conversions, c.currency AS currency, CAST(sum(c.amount_minor) AS BIGINT) AS minor \
                FROM conversions c WHERE c.tenant_id = $1 AND c.hour >= $2 AND c.hour < $3 \
                AND c.status = 'attributed'",
                $which,
                filtered!(),
                ", c.currency"
            ),
            commissions: concat!(
                "SELECT c.hour, c.link_id, c.offer_id, c.partner_id, c.advertiser_id, \
                m.currency AS currency, CAST(sum(m.amount_minor) AS BIGINT) AS minor \
                FROM conversions c JOIN commissions m ON m.tenant_id = c.tenant_id AND m.conversion_id = c.id \
                WHERE c.tenant_id = $1 AND c.hour >= $2 AND c.hour < $3 AND c.status = 'attributed' \
                AND m.status IN ('pending', 'approved') AND m.amount_minor <> 0",
                $which,
                filtered!(),
                ", m.currency"
            ),
        }
    };
}

struct Statements {
    clicks: &'static str,
    conversions: &'static str,
    commissions: &'static str,
}

const OF_ALL: Statements = by_hour_and_link!("");
const OF_PARTNER: Statements = by_hour_and_link!(" AND c.partner_id = $6");
const OF_LINK: Statements = by_hour_and_link!(" AND c.link_id = $7");

impl Statements {
    const fn of(filter: &ReportFilter) -> Self {
        match (filter.link, filter.partner) {
            (Some(_), _) => OF_LINK,
            (None, Some(_)) => OF_PARTNER,
            (None, None) => OF_ALL,
        }
    }
}

const RULES: &str = "SELECT hour - hour % $4 AS start, rule_set_version, rule_id, verdict, \
    CAST(sum(CASE WHEN kind = $5 THEN hits ELSE 0 END) AS BIGINT) AS clicks, \
    CAST(sum(CASE WHEN kind = $6 THEN hits ELSE 0 END) AS BIGINT) AS conversions \
    FROM rollup_rules WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 AND kind IN ($5, $6) \
    GROUP BY start, rule_set_version, rule_id, verdict \
    ORDER BY start DESC, rule_set_version DESC, rule_id, verdict LIMIT $7 OFFSET $8";

/// Newest hours first, since a report shows so many rows and then ends: the first part is an hour long, and each
/// the multiple of the one before it. So what is read follows what is shown, and not how long the period is.
const FIRST_PART: i64 = HOUR_US;
const LONGER: i64 = 6;

/// The next part: no longer than the rows that are missing need if they lie as close as those so far, and an hour.
fn longer(length: i64, read: i64, rows: usize, most: usize) -> i64 {
    let longest = length.saturating_mul(LONGER);
    let (rows, missing) = (i64::try_from(rows).unwrap_or(i64::MAX), most.saturating_sub(rows));
    if rows == 0 {
        return longest;
    }
    let needed = (read / rows).saturating_mul(i64::try_from(missing).unwrap_or(i64::MAX));
    longest.min(needed.saturating_add(FIRST_PART))
}

fn bind_filter<'q>(sql: &'static str, tenant: TenantId, filter: &ReportFilter) -> Query<'q> {
    query(sql)
        .bind(tenant.column())
        .bind(filter.from.0)
        .bind(filter.until.0)
        .bind(filter.advertiser.map(Id::column))
        .bind(filter.offer.map(Id::column))
        .bind(filter.partner.map(Id::column))
        .bind(filter.link.map(Id::column))
}

fn coded<T>(row: &Row, name: &'static str, from_code: impl Fn(u8) -> Option<T>) -> Result<T, StoreError> {
    let code = row.number(name)?;
    from_code(code).ok_or_else(|| StoreError::corrupt(name, code))
}

async fn read_part(
    conn: &mut Connection,
    tenant: TenantId,
    part: &ReportFilter,
    report: &mut BTreeMap<Key, LinkHour>,
) -> Result<(), StoreError> {
    let statements = Statements::of(part);
    let clicks = bind_filter(statements.clicks, tenant, part)
        .bind(HitKind::Click.code())
        .bind(HitKind::Impression.code());
    for row in &clicks.fetch_all(&mut *conn).await? {
        let key = Key::read(row)?;
        let line = report.entry(key).or_insert_with(|| key.empty());
        line.clicks = row.number("clicks")?;
        line.flagged = row.number("flagged")?;
        line.blocked = row.number("blocked")?;
        line.unique_clicks = row.number("unique_clicks")?;
        line.impressions = row.number("impressions")?;
    }
    for row in &bind_filter(statements.conversions, tenant, part).fetch_all(&mut *conn).await? {
        let key = Key::read(row)?;
        let line = report.entry(key).or_insert_with(|| key.empty());
        line.conversions += row.number::<u64>("conversions")?;
        if row.col::<Option<&str>>("currency")?.is_some() {
            line.sales.push(row.amount("minor", "currency")?);
        }
    }
    for row in &bind_filter(statements.commissions, tenant, part).fetch_all(conn).await? {
        let key = Key::read(row)?;
        let line = report.entry(key).or_insert_with(|| key.empty());
        line.commissions.push(row.amount("minor", "currency")?);
    }
    Ok(())
}

impl Store {
    /// By hour and link, newest hour first; at most `limit` rows.
    pub async fn report_links(
        &self,
        tenant: TenantId,
        filter: &ReportFilter,
        limit: u32,
    ) -> Result<Vec<LinkHour>, StoreError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut report: BTreeMap<Key, LinkHour> = BTreeMap::new();
        let mut part = ReportFilter { from: filter.until, ..*filter };
        let mut length = FIRST_PART;
        let mut conn = self.read(tenant).await?;
        while report.len() < most && part.from > filter.from {
            part.until = part.from;
            let from = UnixMicros(part.until.0.saturating_sub(length));
            // On the hour, so that none is split.
            part.from = if from > filter.from { from.hour_start().max(filter.from) } else { filter.from };
            read_part(&mut conn, tenant, &part, &mut report).await?;
            length = longer(length, filter.until.0.saturating_sub(part.from.0), report.len(), most);
        }
        Ok(report.into_values().take(most).collect())
    }

    /// What each rule of each version did in each period, newest period first; the rows from `skip` on.
    pub async fn report_rules(
        &self,
        tenant: TenantId,
        filter: &RuleFilter,
        skip: i64,
        limit: u32,
    ) -> Result<Vec<RuleHits>, StoreError> {
        let rows = query(RULES)
            .bind(tenant.column())
            .bind(filter.from.0)
            .bind(filter.until.0)
            .bind(filter.period_us.max(1))
            .bind(HitKind::Click.code())
            .bind(HitKind::Conversion.code())
            .bind(i64::from(limit))
            .bind(skip)
            .fetch_all(&mut self.read(tenant).await?)
            .await?;
        let hits = |row: &Row| {
            let rule: String = row.col("rule_id")?;
            Ok(RuleHits {
                start: row.time("start")?,
                rule_id: (!rule.is_empty()).then_some(rule),
                rule_set_version: row.number("rule_set_version")?,
                verdict: coded(row, "verdict", VerdictKind::from_code)?,
                clicks: row.number("clicks")?,
                conversions: row.number("conversions")?,
            })
        };
        rows.iter().map(hits).collect()
    }

    pub async fn report_refused(
        &self,
        tenant: TenantId,
        from: UnixMicros,
        until: UnixMicros,
    ) -> Result<Vec<RefusedHits>, StoreError> {
        let sql = "SELECT hour, advertiser_id, reason, hits FROM rollup_refused \
            WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 ORDER BY hour DESC, advertiser_id, reason";
        let query = query(sql).bind(tenant.column()).bind(from.0).bind(until.0);
        let hits = |row: &Row| {
            Ok(RefusedHits {
                hour: row.time("hour")?,
                advertiser: row.id("advertiser_id")?,
                reason: coded(row, "reason", Reason::from_code)?,
                hits: row.number("hits")?,
            })
        };
        query.fetch_all(&mut self.read(tenant).await?).await?.iter().map(hits).collect()
    }
}
