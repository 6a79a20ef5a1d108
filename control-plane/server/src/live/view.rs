//! Reads what the live page shows.

use super::Asked;
use super::language::{Language, Words};
use super::page::{
    Anchor, ClickRow, ConversionRow, EdgeRow, LivePage, Moment, Pill, StatementRow, TenantPart, Tile,
};
use super::why::{money, sentences};
use crate::AppError;
use crate::app::health::Status;
use crate::app::recent::{self, RecentClick};
use crate::app::{App, clock};
use crate::rest::ids::{Time, hex};
use control_plane_store::catalog::Tenant;
use control_plane_store::conversions::{ConversionFilter, ConversionRow as Record};
use control_plane_store::reports::ReportFilter;
use fluent_bundle::FluentArgs;
use jiff::Timestamp;
use proto_model::time::HOUR_US;
use proto_model::{Amount, Country, Currency, OfferId, PartnerId, TenantId, UnixMicros, VerdictKind};
use std::collections::BTreeMap;

const ROWS: u32 = 20;
/// Names of what is on the page; beyond, ids are shown.
const NAMES: u32 = 1_000;
const REPORT_ROWS: u32 = 10_000;

/// Names by id, for people.
struct Names {
    partners: BTreeMap<PartnerId, String>,
    offers: BTreeMap<OfferId, String>,
}

impl Names {
    async fn load(app: &App, tenant: TenantId) -> Result<Self, AppError> {
        let partners = app.store.list_partners(tenant, None, NAMES).await?.items;
        let offers = app.store.list_offers(tenant, None, None, NAMES).await?.items;
        Ok(Self {
            partners: partners.into_iter().map(|partner| (partner.id, partner.name)).collect(),
            offers: offers.into_iter().map(|offer| (offer.id, offer.name)).collect(),
        })
    }

    fn partner(&self, id: PartnerId) -> String {
        self.partners.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

pub async fn build(app: &App, words: Words, asked: &Asked) -> Result<LivePage, AppError> {
    let tenants = app.store.list_tenants(None, NAMES).await?.items;
    let wanted = asked.tenant.as_deref().and_then(|text| text.parse::<TenantId>().ok());
    let shown = tenants.iter().find(|tenant| Some(tenant.id) == wanted).or(tenants.last());
    let refresh = asked.refresh.as_deref() != Some("0");
    let address = Address { lang: words.0, tenant: shown.map(|tenant| tenant.id), refresh };
    let tenant = match shown {
        Some(tenant) => Some(tenant_part(app, words, tenant.id).await?),
        None => None,
    };
    Ok(LivePage {
        w: words,
        refresh,
        version: env!("CARGO_PKG_VERSION"),
        health: health(app, words),
        controls: controls(words, &address),
        tabs: tabs(&tenants, &address),
        tenant,
        edges: edges(app, words).await?,
        geo_credits: app.geo_credits.clone(),
    })
}

/// Where a link of the page leads.
#[derive(Clone, Copy)]
struct Address {
    lang: Language,
    tenant: Option<TenantId>,
    refresh: bool,
}

impl Address {
    fn href(self) -> String {
        let tenant = self.tenant.map(|id| format!("&tenant={id}")).unwrap_or_default();
        let refresh = if self.refresh { "" } else { "&refresh=0" };
        format!("/?lang={}{tenant}{refresh}", self.lang.code())
    }
}

fn controls(words: Words, address: &Address) -> Vec<Anchor> {
    let other = Address { refresh: !address.refresh, ..*address };
    let text = words.t(if address.refresh { "pause" } else { "resume" });
    let mut controls = vec![Anchor { text, href: other.href(), lang: "", current: false }];
    controls.extend(Language::ALL.map(|lang| Anchor {
        text: lang.own_name().to_owned(),
        href: Address { lang, ..*address }.href(),
        lang: lang.code(),
        current: lang == address.lang,
    }));
    controls
}

fn tabs(tenants: &[Tenant], address: &Address) -> Vec<Anchor> {
    let tab = |tenant: &Tenant| Anchor {
        text: tenant.name.clone(),
        href: Address { tenant: Some(tenant.id), ..*address }.href(),
        lang: "",
        current: address.tenant == Some(tenant.id),
    };
    tenants.iter().map(tab).collect()
}

fn health(app: &App, words: Words) -> Pill {
    let degraded = app.health.parts().iter().any(|(_, status)| matches!(status, Status::Degraded(_)));
    let (key, class) = match (app.health.is_ready(), degraded) {
        (false, _) => ("health-unavailable", "bad"),
        (true, true) => ("health-degraded", "warn"),
        (true, false) => ("health-ok", "good"),
    };
    Pill { text: words.t(key), class }
}

async fn tenant_part(app: &App, words: Words, tenant: TenantId) -> Result<TenantPart, AppError> {
    let names = Names::load(app, tenant).await?;
    let filter = ConversionFilter::default();
    let conversions = app.store.list_conversions(tenant, &filter, None, ROWS).await?.items;
    let clicks = recent::clicks(app, tenant, None, None, usize::try_from(ROWS).unwrap_or(0)).await?.items;
    let statements = app.store.list_statements(tenant, None, None, ROWS).await?.items;
    Ok(TenantPart {
        tiles: tiles(app, words, tenant).await?,
        conversions: conversions.iter().map(|row| conversion_row(words, &names, row)).collect(),
        clicks: clicks.into_iter().map(|click| click_row(words, &names, click)).collect(),
        statements: statements
            .into_iter()
            .map(|row| {
                let statement = row.statement;
                let hash = hex(&statement.hash);
                StatementRow {
                    through: moment(statement.through),
                    partner: names.partner(statement.partner),
                    lines: statement.lines.len(),
                    closing: money(Amount::new(statement.closing_minor, statement.currency)),
                    short_hash: hash.chars().take(12).collect(),
                    hash,
                }
            })
            .collect(),
    })
}

async fn tiles(app: &App, words: Words, tenant: TenantId) -> Result<Vec<Tile>, AppError> {
    let until = UnixMicros(clock::now().hour_start().0.saturating_add(HOUR_US));
    let from = UnixMicros(until.0.saturating_sub(24 * HOUR_US));
    let filter = ReportFilter { from, until, advertiser: None, offer: None, partner: None, link: None };
    let rows = app.store.report_links(tenant, &filter, REPORT_ROWS).await?;
    let sum = |count: fn(&control_plane_store::reports::LinkHour) -> u64| rows.iter().map(count).sum::<u64>();
    let tile = |key: &str, value: u64| Tile {
        label: words.t(key),
        value: value.to_string(),
        note: words.t("tile-day"),
        class: "",
    };
    let mut tiles = vec![
        tile("tile-clicks", sum(|row| row.clicks)),
        tile("tile-blocked", sum(|row| row.blocked)),
        tile("tile-conversions", sum(|row| row.conversions)),
    ];
    tiles.push(ledger_tile(app, words, tenant).await?);
    Ok(tiles)
}

async fn ledger_tile(app: &App, words: Words, tenant: TenantId) -> Result<Tile, AppError> {
    let balances = app.store.balances(tenant).await?;
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    for balance in &balances {
        *sums.entry(balance.amount.currency).or_default() += i128::from(balance.amount.minor);
    }
    let balanced = sums.values().all(|sum| *sum == 0);
    let mut args = FluentArgs::new();
    args.set("accounts", balances.len());
    let off: Vec<_> =
        sums.iter().filter(|(_, sum)| **sum != 0).map(|(code, sum)| format!("{sum} {code}")).collect();
    Ok(Tile {
        label: words.t("tile-ledger"),
        value: words.t(if balanced { "ledger-balanced" } else { "ledger-off" }),
        note: if balanced { words.with("ledger-detail", &args) } else { off.join(", ") },
        class: if balanced { "good" } else { "bad" },
    })
}

fn conversion_row(words: Words, names: &Names, row: &Record) -> ConversionRow {
    let conversion = &row.conversion;
    let winner = conversion.decision.winner.and_then(|index| conversion.decision.candidates.get(index));
    let at = winner.map(|candidate| moment(candidate.credit.click.at()).text);
    let partner = row.partner.map(|id| names.partner(id)).unwrap_or_default();
    let commission = conversion.main_commission();
    let status = commission.map_or("none", |commission| commission.status.as_str());
    ConversionRow {
        at: moment(conversion.occurred_at),
        order: conversion.key.order_id.clone(),
        amount: conversion.amount.map(money).unwrap_or_default(),
        commission: commission.map(|commission| money(commission.amount)).unwrap_or_default(),
        status: words.coded("status", status),
        status_class: match status {
            "approved" => "good",
            "pending" => "warn",
            "reversed" | "clawed_back" => "bad",
            _ => "",
        },
        why: sentences(&words, conversion, &|id| names.partner(id), at.as_deref()),
        partner,
    }
}

fn click_row(words: Words, names: &Names, recent: RecentClick) -> ClickRow {
    let verdict = recent.verdict;
    let mut args = FluentArgs::new();
    args.set("version", verdict.rule_set_version.to_string());
    let rule = verdict.rule_id.map(|rule| {
        args.set("rule", rule);
        words.with("verdict-rule", &args)
    });
    ClickRow {
        at: moment(recent.at),
        link: recent.click.link.to_string(),
        offer: names.offers.get(&recent.click.offer).cloned().unwrap_or_default(),
        partner: names.partner(recent.click.partner),
        country: match recent.facts.country {
            Country::UNKNOWN => words.t("country-unknown"),
            country => country.code().to_owned(),
        },
        device: words.coded("device", recent.facts.device.as_str()),
        verdict: words.coded("verdict", verdict.kind.as_str()),
        verdict_class: match verdict.kind {
            VerdictKind::Allow => "good",
            VerdictKind::Flag => "warn",
            VerdictKind::Block => "bad",
        },
        rule: rule.unwrap_or_default(),
    }
}

async fn edges(app: &App, words: Words) -> Result<Vec<EdgeRow>, AppError> {
    let mut rows = Vec::new();
    for edge in app.store.list_edges(None, ROWS).await?.items {
        let streams = app.store.edge_streams(edge.id).await?;
        let quarantined = streams.iter().any(|stream| stream.quarantined.is_some());
        let (status, class) = match (edge.revoked, quarantined) {
            (true, _) => ("revoked", "bad"),
            (false, true) => ("quarantined", "bad"),
            (false, false) => ("active", "good"),
        };
        rows.push(EdgeRow {
            name: edge.name,
            id: edge.id.to_string(),
            status: words.coded("status", status),
            class,
            events: streams.iter().map(|stream| stream.last_ordinal).sum(),
            seen: edge.last_seen_at.map(moment),
            version: edge.version,
        });
    }
    Ok(rows)
}

fn moment(at: UnixMicros) -> Moment {
    let text = Timestamp::from_microsecond(at.0)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
    Moment { rfc: Time(at).text(), text }
}
