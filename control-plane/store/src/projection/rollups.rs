//! Hits of a batch, summed up cube by cube before they come to the database: thousands of hits are a few hundred
//! rows.

use super::HitKind;
use crate::StoreError;
use crate::dialect;
use crate::row::{Id, big};
use crate::sql::{Connection, Sql, query};
use proto_model::{
    AdvertiserId, Country, DeviceClass, LinkId, OfferId, PartnerId, TenantId, UnixMicros, VerdictKind,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where a hit falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RollupKey<'a> {
    pub tenant: TenantId,
    /// Start of the hour in which the hit happened.
    pub hour: UnixMicros,
    pub kind: HitKind,
    pub advertiser: AdvertiserId,
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
    pub link: Option<LinkId>,
    pub country: Country,
    pub device: DeviceClass,
    pub verdict: VerdictKind,
    pub rule_id: Option<&'a str>,
    pub rule_set_version: u32,
    /// No key of its own: unique hits are summed beside all hits.
    pub unique: bool,
}

/// How often a link was hit, and how often by somebody new to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    hits: u64,
    unique: u64,
}

/// The keys are columns: tenant, hour and kind come first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rollups {
    /// ..., link, offer, partner, advertiser, verdict.
    links: BTreeMap<[i64; 8], Counts>,
    /// ..., device, verdict; then the country.
    facts: BTreeMap<([i64; 5], Country), u64>,
    /// ..., rule set version, verdict; then the rule, or an empty text.
    rules: BTreeMap<[i64; 5], BTreeMap<String, u64>>,
}

const HOUR: usize = 1;
const KIND: usize = 2;

impl Rollups {
    pub fn add(&mut self, key: &RollupKey<'_>, hits: u64) {
        let [tenant, hour, kind] = [key.tenant.column(), key.hour.0, key.kind.code()];
        let verdict = i64::from(key.verdict.code());
        let [link, offer, partner] = [
            key.link.map_or(0, Id::column),
            key.offer.map_or(0, Id::column),
            key.partner.map_or(0, Id::column),
        ];
        let links = [tenant, hour, kind, link, offer, partner, key.advertiser.column(), verdict];
        let counts = self.links.entry(links).or_default();
        counts.hits += hits;
        counts.unique += if key.unique { hits } else { 0 };
        let facts = [tenant, hour, kind, i64::from(key.device.code()), verdict];
        *self.facts.entry((facts, key.country)).or_default() += hits;
        let rules = self.rules.entry([tenant, hour, kind, key.rule_set_version.into(), verdict]).or_default();
        let rule = key.rule_id.unwrap_or_default();
        match rules.get_mut(rule) {
            Some(sum) => *sum += hits,
            None => drop(rules.insert(rule.to_owned(), hits)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The hours in which something falls, each at least once.
    pub(crate) fn hours(&self) -> impl Iterator<Item = UnixMicros> {
        self.rules.keys().map(|key| UnixMicros(key[HOUR]))
    }

    /// In the order of [`dialect::FOLD_LINKS`].
    fn link_rows(&self) -> Vec<Value> {
        self.links
            .iter()
            .map(|([a, b, c, d, e, f, g, h], Counts { hits, unique })| {
                json!([a, b, c, d, e, f, g, h, hits, unique])
            })
            .collect()
    }

    /// In the order of [`dialect::FOLD_FACTS`].
    fn fact_rows(&self) -> Vec<Value> {
        let row = |((key, country), hits): (&([i64; 5], Country), &u64)| {
            let [tenant, hour, kind, device, verdict] = key;
            json!([tenant, hour, kind, country.code(), device, verdict, hits])
        };
        self.facts.iter().map(row).collect()
    }

    /// In the order of [`dialect::FOLD_RULES`].
    fn rule_rows(&self) -> Vec<Value> {
        let rules = |([tenant, hour, kind, version, verdict], rules): (&[i64; 5], &BTreeMap<String, u64>)| {
            let row = |(rule, hits)| json!([tenant, hour, kind, version, rule, verdict, hits]);
            rules.iter().map(row).collect::<Vec<_>>()
        };
        self.rules.iter().flat_map(rules).collect()
    }

    /// Clicks of test links among them: they are looked up like others. In the order of
    /// [`dialect::INSERT_CLICK_BATCHES`].
    fn click_rows(&self) -> Vec<Value> {
        let mut clicks: BTreeMap<i64, [u64; 3]> = BTreeMap::new();
        let listed = [HitKind::Click.code(), HitKind::Test.code()];
        for ([tenant, .., verdict], Counts { hits, .. }) in
            self.links.iter().filter(|(key, _)| listed.contains(&key[KIND]))
        {
            let counts = clicks.entry(*tenant).or_default();
            if let Some(count) = usize::try_from(*verdict).ok().and_then(|verdict| counts.get_mut(verdict)) {
                *count += hits;
            }
        }
        clicks.iter().map(|(tenant, [a, b, c])| json!([tenant, a, b, c])).collect()
    }

    pub(crate) async fn write(&self, conn: &mut Connection, seq: u64) -> Result<(), StoreError> {
        let cubes: [(Sql, Vec<Value>); 3] = [
            (dialect::FOLD_LINKS, self.link_rows()),
            (dialect::FOLD_FACTS, self.fact_rows()),
            (dialect::FOLD_RULES, self.rule_rows()),
        ];
        for (sql, rows) in cubes {
            super::bulk(conn, sql, rows).await?;
        }
        let clicks = self.click_rows();
        if !clicks.is_empty() {
            let rows = Value::Array(clicks).to_string();
            query(dialect::INSERT_CLICK_BATCHES).bind(rows).bind(big(seq)).execute(conn).await?;
        }
        Ok(())
    }
}

impl<'a> Extend<(RollupKey<'a>, u64)> for Rollups {
    fn extend<T: IntoIterator<Item = (RollupKey<'a>, u64)>>(&mut self, hits: T) {
        for (key, hits) in hits {
            self.add(&key, hits);
        }
    }
}

impl<'a> FromIterator<(RollupKey<'a>, u64)> for Rollups {
    fn from_iter<T: IntoIterator<Item = (RollupKey<'a>, u64)>>(hits: T) -> Self {
        let mut rollups = Self::default();
        rollups.extend(hits);
        rollups
    }
}

impl<'a, const N: usize> From<[(RollupKey<'a>, u64); N]> for Rollups {
    fn from(hits: [(RollupKey<'a>, u64); N]) -> Self {
        hits.into_iter().collect()
    }
}
