//! An impression: a partner's material was shown.

use super::click::Live;
use super::{Subject, judge};
use crate::enrich::{Client, Origin};
use proto_model::UnixMicros;
use proto_model::event::Impression;
use proto_rules::{HitKind, Verdict};
use proto_wire::convert::{BodyRef, HitRef, PersonalRef};

pub fn judge_impression<'s>(live: Live<'s>, client: &Client<'_>, now: UnixMicros) -> Verdict<'s> {
    let subject = Subject {
        link: Some(live.id),
        offer: Some(live.link.offer),
        partner: Some(live.link.partner),
        advertiser: Some(live.offer.advertiser),
    };
    judge(live.tenant.rules.as_ref(), client, subject, HitKind::Impression, now)
}

/// For the link's own offer: which one a click would lead to is not known before there is one.
pub fn record<'a>(
    live: Live<'_>,
    verdict: Verdict<'a>,
    client: &'a Client<'_>,
    origin: &'a Origin,
    sub_ids: [&'a str; proto_wire::limits::SUB_IDS],
    now: UnixMicros,
) -> HitRef<'a> {
    let shown = Impression {
        link: live.id,
        offer: live.link.offer,
        partner: live.link.partner,
        program: live.offer.program,
        advertiser: live.offer.advertiser,
        flags: live.flags(),
    };
    HitRef {
        tenant: live.link.tenant,
        occurred_at: now,
        facts: client.recorded(),
        verdict,
        body: BodyRef::Impression(shown),
        personal: PersonalRef { network: client.network(origin), sub_ids, ..PersonalRef::default() },
    }
}
