//! Reports over roll-ups that stand for a hundred million clicks.

use super::BenchError;
use super::bare::Bare;
use super::report::Latency;
use super::world::World;
use control_plane_server::app::clock;
use control_plane_store::reports::{ReportFilter, RuleFilter};
use hdrhistogram::Histogram;
use proto_model::time::{DAY_US, HOUR_US};
use proto_model::{LinkId, UnixMicros};
use std::time::Instant;

const DAYS: i64 = 90;
const LINKS: i64 = 200;
const FIRST_LINK: i64 = 1_000_000;
/// Allowed, flagged and blocked clicks of one link in one hour.
const HITS: [i64; 3] = [222, 6, 4];
const CONVERSIONS: i64 = 100_000;
const GOAL_US: u64 = 20_000;
/// Rows of one page, as a client asks for them at most.
const PAGE: u32 = 1_000;

pub struct Reports<'a> {
    pub world: &'a World,
    pub measured: Bare,
    pub runs: u32,
}

/// $1 tenant, $2 first hour, $3 hours, $4 links, $5 first link, $6 advertiser.
const FILL_LINKS: [&str; 2] = [
    "WITH RECURSIVE hours(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < $3 - 1), \
     links(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM links WHERE n < $4 - 1), \
     verdicts(v, hits) AS (VALUES (0, 222), (1, 6), (2, 4)) \
     INSERT INTO rollup_links (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict, hits) \
     SELECT $1, $2 + hours.n * 3600000000, 1, $5 + links.n, 1 + links.n % 8, 1 + links.n % 25, $6, v, hits \
     FROM hours, links, verdicts",
    "INSERT INTO rollup_links (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict, hits) \
     SELECT $1, $2 + h * 3600000000, 1, $5 + l, 1 + l % 8, 1 + l % 25, $6, v, hits \
     FROM generate_series(0, $3 - 1) h, generate_series(0, $4 - 1) l, \
     (VALUES (0, 222), (1, 6), (2, 4)) verdicts(v, hits)",
];

/// $1 tenant, $2 first hour, $3 hours, $4 rules.
const FILL_RULES: [&str; 2] = [
    "WITH RECURSIVE hours(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < $3 - 1), \
     rules(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM rules WHERE n < $4 - 1) \
     INSERT INTO rollup_rules (tenant_id, hour, kind, rule_set_version, rule_id, verdict, hits) \
     SELECT $1, $2 + hours.n * 3600000000, 1, 3, CASE rules.n WHEN 0 THEN '' ELSE 'rule-' || rules.n END, \
     min(rules.n, 2), 5000 FROM hours, rules",
    "INSERT INTO rollup_rules (tenant_id, hour, kind, rule_set_version, rule_id, verdict, hits) \
     SELECT $1, $2 + h * 3600000000, 1, 3, CASE r WHEN 0 THEN '' ELSE 'rule-' || r END, least(r, 2), 5000 \
     FROM generate_series(0, $3 - 1) h, generate_series(0, $4 - 1) r",
];

/// $1 tenant, $2 advertiser, $3 first hour, $4 hours, $5 how many, $6 links, $7 first link.
const FILL_CONVERSIONS: [[&str; 3]; 2] = [
    [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $5) \
         INSERT INTO orders (tenant_id, advertiser_id, order_id, seq, events, refused_pixels, updated_ordinal, \
         updated_at) SELECT $1, $2, 'old-' || n, 1000000000 + n, '[]', 0, 0, $3 + $4 + $6 + $7 - $4 - $6 - $7 FROM c",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $5) \
         INSERT INTO conversions (tenant_id, id, seq, advertiser_id, order_id, goal, authority, amount_minor, \
         currency, occurred_at, hour, status, link_id, offer_id, partner_id, decision, conflicts, more_conflicts, \
         duplicates, first_ordinal, last_ordinal, recorded_at) \
         SELECT $1, unhex(printf('%032x', n)), 1000000000 + n, $2, 'old-' || n, 'sale', 2, 1000 + n % 9000, 'EUR', \
         $3 + (n * 7919 % $4) * 3600000000, $3 + (n * 7919 % $4) * 3600000000, 'attributed', $7 + n % $6, \
         1 + n % $6 % 8, 1 + n % $6 % 25, '{}', '[]', 0, 0, 0, 0, $3 FROM c",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $5) \
         INSERT INTO commissions (tenant_id, id, seq, advertiser_id, conversion_id, order_id, partner_id, offer_id, \
         terms_version, basis, amount_minor, currency, status, reason, postings, recorded_at, updated_at) \
         SELECT $1, unhex(printf('%032x', n)), 1000000000 + n, $2, unhex(printf('%032x', n)), 'old-' || n, \
         1 + n % $6 % 25, 1 + n % $6 % 8, 1, '{}', 100 + n % 900, 'EUR', 'approved', 'held', 1, $3, \
         $3 + $4 + $7 - $4 - $7 FROM c",
    ],
    [
        "INSERT INTO orders (tenant_id, advertiser_id, order_id, seq, events, refused_pixels, updated_ordinal, \
         updated_at) SELECT $1, $2, 'old-' || n, 1000000000 + n, '[]', 0, 0, $3 + $4 + $6 + $7 - $4 - $6 - $7 \
         FROM generate_series(1, $5) n",
        "INSERT INTO conversions (tenant_id, id, seq, advertiser_id, order_id, goal, authority, amount_minor, \
         currency, occurred_at, hour, status, link_id, offer_id, partner_id, decision, conflicts, more_conflicts, \
         duplicates, first_ordinal, last_ordinal, recorded_at) \
         SELECT $1, decode(lpad(to_hex(n), 32, '0'), 'hex'), 1000000000 + n, $2, 'old-' || n, 'sale', 2, \
         1000 + n % 9000, 'EUR', $3 + (n * 7919 % $4) * 3600000000, $3 + (n * 7919 % $4) * 3600000000, \
         'attributed', $7 + n % $6, 1 + n % $6 % 8, 1 + n % $6 % 25, '{}', '[]', 0, 0, 0, 0, $3 \
         FROM generate_series(1, $5) n",
        "INSERT INTO commissions (tenant_id, id, seq, advertiser_id, conversion_id, order_id, partner_id, offer_id, \
         terms_version, basis, amount_minor, currency, status, reason, postings, recorded_at, updated_at) \
         SELECT $1, decode(lpad(to_hex(n), 32, '0'), 'hex'), 1000000000 + n, $2, \
         decode(lpad(to_hex(n), 32, '0'), 'hex'), 'old-' || n, 1 + n % $6 % 25, 1 + n % $6 % 8, 1, '{}', \
         100 + n % 900, 'EUR', 'approved', 'held', 1, $3, $3 + $4 + $7 - $4 - $7 FROM generate_series(1, $5) n",
    ],
];

impl Reports<'_> {
    pub async fn run(&mut self) -> Result<Vec<Latency>, BenchError> {
        let now = clock::now().0;
        let until = UnixMicros(now - now.rem_euclid(DAY_US));
        let from = UnixMicros(until.0 - DAYS * DAY_US);
        self.fill(from).await?;
        let all = ReportFilter { from, until, advertiser: None, offer: None, partner: None, link: None };
        let back = |days: i64| UnixMicros(until.0 - days * DAY_US);
        let link = LinkId::new(u64::try_from(FIRST_LINK + 7).unwrap_or_default());
        let partner = proto_model::PartnerId::new(3);
        let filters = [
            ("hour and link, a day", ReportFilter { from: back(1), ..all }),
            ("hour and link, a week", ReportFilter { from: back(7), ..all }),
            ("hour and link, 90 days", all),
            ("one partner, 90 days", ReportFilter { partner, ..all }),
            ("one link, a week", ReportFilter { link, from: back(7), ..all }),
            ("one link, 90 days", ReportFilter { link, ..all }),
            ("a link without clicks, 90 days", ReportFilter { link: LinkId::new(4_711), ..all }),
        ];
        let (store, tenant) = (self.world.store(), self.world.catalog.tenant);
        let mut measured = Vec::new();
        for (what, filter) in filters {
            let mut times = histogram()?;
            let mut rows = 0;
            for _ in 0..self.runs {
                let start = Instant::now();
                rows = store.report_links(tenant, &filter, PAGE).await?.len();
                record(&mut times, start);
            }
            measured.push(Latency { what: what.to_owned(), rows, times, goal_us: GOAL_US });
        }
        for (what, days, period_us) in
            [("rules by hour, a week", 7, HOUR_US), ("rules by day, 90 days", DAYS, DAY_US)]
        {
            let filter = RuleFilter { from: back(days), until, period_us };
            let mut times = histogram()?;
            let mut rows = 0;
            for _ in 0..self.runs {
                let start = Instant::now();
                rows = store.report_rules(tenant, &filter, 0, PAGE).await?.len();
                record(&mut times, start);
            }
            measured.push(Latency { what: what.to_owned(), rows, times, goal_us: GOAL_US });
        }
        Ok(measured)
    }

    /// Clicks that one tenant's roll-ups stand for.
    pub const fn clicks() -> i64 {
        DAYS * 24 * LINKS * (HITS[0] + HITS[1] + HITS[2])
    }

    async fn fill(&mut self, from: UnixMicros) -> Result<(), BenchError> {
        let postgres = usize::from(self.measured.is_postgres());
        let other =
            control_plane_server::app::catalog::create_tenant(self.world.app(), "Other", None).await?.id;
        let tenant = i64::from(self.world.catalog.tenant.get());
        let advertiser = self.world.catalog.advertiser.get();
        let advertiser = i64::try_from(advertiser).unwrap_or_default();
        let hours = DAYS * 24;
        self.measured.begin().await?;
        if postgres == 1 {
            for day in 0..DAYS {
                let start = from.0 + day * DAY_US;
                for table in ["rollup_links", "rollup_rules"] {
                    self.measured
                        .fetch("SELECT 1 FROM ensure_day($1, $2)", &[table.into(), start.into()])
                        .await?;
                }
            }
        }
        for (tenant, links) in [(tenant, LINKS), (i64::from(other.get()), LINKS / 2)] {
            let args = [tenant, from.0, hours, links, FIRST_LINK, advertiser].map(Into::into);
            self.measured.execute(FILL_LINKS[postgres], &args).await?;
        }
        self.measured.execute(FILL_RULES[postgres], &[tenant, from.0, hours, 12].map(Into::into)).await?;
        for sql in FILL_CONVERSIONS[postgres] {
            let args = [tenant, advertiser, from.0, hours, CONVERSIONS, LINKS, FIRST_LINK].map(Into::into);
            self.measured.execute(sql, &args).await?;
        }
        self.measured.commit().await?;
        if postgres == 1 { self.measured.run("ANALYZE").await } else { Ok(()) }
    }
}

fn histogram() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| BenchError::Unexpected(error.to_string()))
}

fn record(times: &mut Histogram<u64>, start: Instant) {
    times.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
}
