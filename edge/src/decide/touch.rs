//! A touch: a page says whose click it was.

use super::conversion::{Receiver, open_click};
use super::{Subject, beacon, judge};
use crate::decide::privacy::Privacy;
use crate::enrich::{Client, Origin};
use proto_model::event::{Authority, TouchHit};
use proto_model::{LinkId, Reason, UnixMicros};
use proto_rules::{HitKind, Verdict};
use proto_wire::convert::{BodyRef, HitRef, PersonalRef, RefusedRef};

/// Why a touch is not born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unborn {
    /// Of who does not agree nothing is kept, not even that.
    NoConsent,
    /// On record, without whom it names: it may be anybody.
    Refused(RefusedRef<'static>),
}

/// Nothing is bound without consent: neither of the visitor's own nor by the page's word. And only by a page of the
/// click's offer: `page` is its origin, which a browser always tells.
pub fn check(
    to: Receiver<'_>,
    privacy: Privacy,
    touch: &beacon::Touch,
    page: Option<&str>,
) -> Result<TouchHit, Unborn> {
    if touch.consent != Some(true) || privacy != Privacy::Full {
        return Err(Unborn::NoConsent);
    }
    let refused = |reason, link: Option<LinkId>| {
        let authority = Authority::Pixel;
        Unborn::Refused(RefusedRef { advertiser: to.id, authority, reason, order_id: None, link })
    };
    let click = open_click(to, &touch.click_id).map_err(|reason| refused(reason, None))?;
    if !page.is_some_and(|page| to.owns_page(click.offer, page)) {
        return Err(refused(Reason::ForeignTouch, Some(click.link)));
    }
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
    let hit = to.recorded(BodyRef::Touch(hit), verdict, client, origin, now);
    HitRef {
        personal: PersonalRef {
            customer_id: touch.customer_id.as_deref(),
            visitor_id: touch.visitor_id.as_deref(),
            ..hit.personal
        },
        ..hit
    }
}
