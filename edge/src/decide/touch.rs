//! A touch: a page says whose click it was.

use super::conversion::{Receiver, open_click};
use super::{Subject, beacon, judge};
use crate::decide::privacy::Privacy;
use crate::enrich::{Client, Origin};
use proto_model::event::{Authority, TouchHit};
use proto_model::{Reason, UnixMicros};
use proto_rules::{HitKind, Verdict};
use proto_wire::convert::{BodyRef, HitRef, PersonalRef, RefusedRef};

/// Nothing is bound without consent: neither of the visitor's own nor by the page's word.
pub fn check(to: Receiver<'_>, privacy: Privacy, touch: &beacon::Touch) -> Result<TouchHit, Reason> {
    if touch.consent != Some(true) || privacy != Privacy::Full {
        return Err(Reason::NoConsent);
    }
    let click = open_click(to, &touch.click_id)?;
    Ok(TouchHit { advertiser: to.id, click })
}

pub fn judge_touch<'s>(
    to: Receiver<'s>,
    hit: &TouchHit,
    client: &Client<'_>,
    now: UnixMicros,
) -> Verdict<'s> {
    let subject = Subject {
        link: Some(hit.click.link),
        offer: Some(hit.click.offer),
        partner: to.partner_of(hit.click.link),
        advertiser: Some(to.id),
    };
    judge(to.tenant.rules.as_ref(), client, subject, HitKind::Touch, now)
}

pub fn record<'a>(
    to: Receiver<'_>,
    hit: TouchHit,
    touch: &'a beacon::Touch,
    verdict: Verdict<'a>,
    client: &'a Client<'_>,
    origin: &'a Origin,
    now: UnixMicros,
) -> HitRef<'a> {
    HitRef {
        tenant: to.advertiser.tenant,
        occurred_at: now,
        facts: client.recorded(),
        verdict,
        body: BodyRef::Touch(hit),
        personal: PersonalRef {
            network: client.network(origin),
            customer_id: touch.customer_id.as_deref(),
            visitor_id: touch.visitor_id.as_deref(),
            ..PersonalRef::default()
        },
    }
}

pub fn refused(to: Receiver<'_>, reason: Reason) -> RefusedRef<'static> {
    RefusedRef { advertiser: to.id, authority: Authority::Pixel, reason, order_id: None, link: None }
}
