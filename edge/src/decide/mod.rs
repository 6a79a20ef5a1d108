//! What to record and what to answer, as values: no clock, no I/O, no randomness in here.

pub mod beacon;
pub mod click;
pub mod conversion;
pub mod macros;
pub mod params;
pub mod preview;
pub mod privacy;
pub mod template;

use crate::enrich::Client;
use proto_model::event::{Personal, RecordedVerdict, TrackingEvent};
use proto_model::{UnixMicros, VerdictKind};
use proto_rules::{Facts, HitKind, RuleSet, evaluate};

/// One hit for the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub event: TrackingEvent,
    pub personal: Personal,
}

/// What a hit is about, for the rules.
#[derive(Clone, Copy, Default)]
struct Subject {
    link: Option<proto_model::LinkId>,
    offer: Option<proto_model::OfferId>,
    partner: Option<proto_model::PartnerId>,
    advertiser: Option<proto_model::AdvertiserId>,
}

fn judge(
    rules: Option<&RuleSet>,
    client: &Client,
    subject: Subject,
    hit: HitKind,
    at: UnixMicros,
) -> RecordedVerdict {
    let Some(rules) = rules else {
        return RecordedVerdict { kind: VerdictKind::Allow, rule_id: None, rule_set_version: 0 };
    };
    let facts = Facts {
        country: client.country,
        device: client.agent.device,
        os: &client.agent.os,
        browser: &client.agent.browser,
        user_agent: &client.user_agent,
        referrer_host: &client.referrer_host,
        link: subject.link,
        offer: subject.offer,
        partner: subject.partner,
        advertiser: subject.advertiser,
        ..Facts::unknown(hit, client.ip, at)
    };
    let verdict = evaluate(rules, &facts);
    RecordedVerdict {
        kind: verdict.kind,
        rule_id: verdict.rule_id.map(str::to_owned),
        rule_set_version: verdict.rule_set_version,
    }
}

#[cfg(test)]
pub(crate) mod testing;
