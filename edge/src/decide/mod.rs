//! What to record and what to answer, as values: no clock, no I/O, no randomness in here.

pub mod asked;
pub mod beacon;
pub mod click;
pub mod conversion;
pub mod impression;
pub mod macros;
pub mod params;
pub mod preview;
pub mod privacy;
pub mod template;
pub mod touch;

use crate::enrich::Client;
use proto_model::{UnixMicros, VerdictKind};
use proto_rules::{Facts, HitKind, RuleSet, Verdict, evaluate};

/// What a hit is about, for the rules.
#[derive(Clone, Copy, Default)]
struct Subject {
    link: Option<proto_model::LinkId>,
    offer: Option<proto_model::OfferId>,
    partner: Option<proto_model::PartnerId>,
    advertiser: Option<proto_model::AdvertiserId>,
}

fn judge<'s>(
    rules: Option<&'s RuleSet>,
    client: &Client<'_>,
    subject: Subject,
    hit: HitKind,
    at: UnixMicros,
) -> Verdict<'s> {
    let Some(rules) = rules else { return allowed(None) };
    evaluate(rules, &facts(client, subject, hit, at))
}

/// What rules and routes are asked about.
fn facts<'a>(client: &'a Client<'_>, subject: Subject, hit: HitKind, at: UnixMicros) -> Facts<'a> {
    Facts {
        country: client.place.country,
        region: client.place.region.as_deref().unwrap_or_default(),
        city: client.place.city.as_deref().unwrap_or_default(),
        asn: client.place.asn,
        device: client.device,
        os: &client.agent.os,
        browser: &client.agent.browser,
        language: &client.language,
        connection: client.connection,
        user_agent: &client.user_agent,
        referrer_host: &client.referrer_host,
        link: subject.link,
        offer: subject.offer,
        partner: subject.partner,
        advertiser: subject.advertiser,
        ..Facts::unknown(hit, client.ip, at)
    }
}

/// The verdict on what no rule is asked about.
fn allowed(rules: Option<&RuleSet>) -> Verdict<'_> {
    let rule_set_version = rules.map_or(0, RuleSet::version);
    Verdict { kind: VerdictKind::Allow, rule_id: None, rule_set_version }
}

#[cfg(test)]
pub(crate) mod testing;
