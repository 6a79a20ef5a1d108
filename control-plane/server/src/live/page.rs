//! What the templates show: texts that are ready, in the reader's language. The templates escape them.

use super::language::Words;
use crate::config::GeoCredit;
use askama::Template;

#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub w: Words,
    /// A link was followed that does not work.
    pub refused: bool,
}

#[derive(Template)]
#[template(path = "live.html")]
pub struct LivePage {
    pub w: Words,
    pub refresh: bool,
    pub version: &'static str,
    pub health: Pill,
    pub controls: Vec<Anchor>,
    pub tabs: Vec<Anchor>,
    pub tenant: Option<TenantPart>,
    pub edges: Vec<EdgeRow>,
    pub geo_credits: Vec<GeoCredit>,
}

pub struct Pill {
    pub text: String,
    /// `good`, `warn`, `bad` or nothing.
    pub class: &'static str,
}

pub struct Anchor {
    pub text: String,
    pub href: String,
    pub lang: &'static str,
    pub current: bool,
}

pub struct TenantPart {
    pub tiles: Vec<Tile>,
    pub conversions: Vec<ConversionRow>,
    pub clicks: Vec<ClickRow>,
    pub statements: Vec<StatementRow>,
}

pub struct Tile {
    pub label: String,
    pub value: String,
    pub note: String,
    pub class: &'static str,
}

pub struct Moment {
    pub rfc: String,
    pub text: String,
}

pub struct ConversionRow {
    pub at: Moment,
    pub order: String,
    pub amount: String,
    pub partner: String,
    pub commission: String,
    pub status: String,
    pub status_class: &'static str,
    pub why: Vec<String>,
}

pub struct ClickRow {
    pub at: Moment,
    pub link: String,
    pub offer: String,
    pub partner: String,
    pub country: String,
    pub device: String,
    pub verdict: String,
    pub verdict_class: &'static str,
    pub rule: String,
}

pub struct StatementRow {
    pub through: Moment,
    pub partner: String,
    pub lines: usize,
    pub closing: String,
    pub hash: String,
    pub short_hash: String,
}

pub struct EdgeRow {
    pub name: String,
    pub id: String,
    pub status: String,
    pub class: &'static str,
    pub events: u64,
    pub seen: Option<Moment>,
    pub version: String,
}
