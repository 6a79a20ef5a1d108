//! Events to the wire, with the sidecar entries their commitments bind.

use crate::edge_v1::{self, Commitment, Event, SidecarEntry, Skipped, event};
use crate::limits::{
    BROWSER_MAX, CITY_MAX, CONNECTION_MAX, LANGUAGE_MAX, ORDER_ID_MAX, OS_MAX, REGION_MAX, clean,
};
use crate::personal;
use proto_model::event::{
    Body, Click, ConversionHit, Impression, Personal, RecordedFacts, RecordedVerdict, RefusedHit, TouchHit,
    TrackingEvent,
};
use proto_model::{ClickFacts, LinkId, StreamNo};

/// `salts` must give 16 fresh random bytes each time: a salt that repeats lets equal values be seen.
pub fn event_to_wire(
    tracked: &TrackingEvent,
    stream: StreamNo,
    ordinal: u64,
    personal: &Personal,
    mut salts: impl FnMut() -> [u8; personal::SALT_LEN],
) -> (Event, Vec<SidecarEntry>) {
    let mut commitments = Vec::new();
    let mut sidecar = Vec::new();
    for (class, value) in personal::encode(personal) {
        let (salt, personal_class) = (salts(), u32::from(class.code()));
        let digest = personal::commit(stream, ordinal, class, &salt, &value).to_vec();
        commitments.push(Commitment { personal_class, digest });
        sidecar.push(SidecarEntry { ordinal, personal_class, salt: salt.to_vec(), value });
    }
    let event = Event {
        ordinal,
        tenant: tracked.tenant.get(),
        occurred_at_micros: tracked.occurred_at.0,
        facts: Some(facts(&tracked.facts)),
        verdict: Some(verdict(&tracked.verdict)),
        commitments,
        body: Some(match &tracked.body {
            Body::Click(hit) => event::Body::Click(click(hit)),
            Body::Conversion(hit) => event::Body::Conversion(conversion(hit)),
            Body::Refused(hit) => event::Body::Refused(refused(hit)),
            Body::Impression(hit) => event::Body::Impression(impression(hit)),
            Body::Touch(hit) => event::Body::Touch(touch(hit)),
        }),
    };
    (event, sidecar)
}

/// Why ordinals hold no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Given up after a stop or a write that went wrong; whether they were ever used is not known, but no
    /// reply left that counts on them.
    Unclean,
    /// Hits that had been answered are gone.
    Lost,
    /// The power went, or the disk failed, on an edge that answers clicks before they are durable: as many as these
    /// may have been answered, and are gone if they were.
    Bounded,
}

impl SkipReason {
    pub const fn code(self) -> u32 {
        match self {
            Self::Unclean => 1,
            Self::Lost => 2,
            Self::Bounded => 3,
        }
    }

    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Unclean),
            2 => Some(Self::Lost),
            3 => Some(Self::Bounded),
            _ => None,
        }
    }
}

/// Declares that the ordinals `from..=through` will never hold an event.
pub fn skipped_to_wire(from: u64, through: u64, reason: SkipReason) -> Event {
    let body = Some(event::Body::Skipped(Skipped { through, reason: reason.code() }));
    Event { ordinal: from, body, ..Event::default() }
}

fn facts(facts: &RecordedFacts) -> edge_v1::Facts {
    edge_v1::Facts {
        country: facts.country.code().to_owned(),
        device: facts.device.code().into(),
        os: clean(&facts.os, OS_MAX).into_owned(),
        browser: clean(&facts.browser, BROWSER_MAX).into_owned(),
        geo_version: facts.geo_version,
        region: clean(&facts.fine.region, REGION_MAX).into_owned(),
        city: clean(&facts.fine.city, CITY_MAX).into_owned(),
        asn: facts.fine.asn.unwrap_or_default(),
        language: clean(&facts.fine.language, LANGUAGE_MAX).into_owned(),
        connection: clean(&facts.fine.connection, CONNECTION_MAX).into_owned(),
        privacy: facts.privacy.code().into(),
        privacy_policy: facts.privacy_policy,
    }
}

fn verdict(verdict: &RecordedVerdict) -> edge_v1::Verdict {
    edge_v1::Verdict {
        kind: verdict.kind.code().into(),
        rule_id: verdict.rule_id.clone().unwrap_or_default(),
        rule_set_version: verdict.rule_set_version,
    }
}

fn click(click: &Click) -> edge_v1::Click {
    edge_v1::Click {
        link: click.link.get(),
        offer: click.offer.get(),
        partner: click.partner.get(),
        program: click.program.get(),
        advertiser: click.advertiser.get(),
        flags: click.flags.0.into(),
        uniqueness: click.uniqueness.code().into(),
    }
}

fn impression(shown: &Impression) -> edge_v1::Impression {
    edge_v1::Impression {
        link: shown.link.get(),
        offer: shown.offer.get(),
        partner: shown.partner.get(),
        program: shown.program.get(),
        advertiser: shown.advertiser.get(),
        flags: shown.flags.0.into(),
    }
}

fn touch(touch: &TouchHit) -> edge_v1::Touch {
    edge_v1::Touch { advertiser: touch.advertiser.get(), click: Some(click_reference(&touch.click)) }
}

fn conversion(hit: &ConversionHit) -> edge_v1::Conversion {
    edge_v1::Conversion {
        advertiser: hit.advertiser.get(),
        authority: hit.authority.code().into(),
        click: hit.click.as_ref().map(click_reference),
        order_id: hit.order_id.clone(),
        goal: hit.goal.clone(),
        event_id: hit.event_id.clone().unwrap_or_default(),
        amount_minor: hit.amount.map(|amount| amount.minor).unwrap_or_default(),
        currency: hit.amount.map(|amount| amount.currency.code().to_owned()).unwrap_or_default(),
        coupon: hit.coupon.clone().unwrap_or_default(),
    }
}

/// The tenant is left out: it is the event's own, since no other tenant's key opens the id.
fn click_reference(click: &ClickFacts) -> edge_v1::ClickReference {
    edge_v1::ClickReference {
        link: click.link.get(),
        offer: click.offer.get(),
        at_secs: click.at_secs,
        stream: click.address.stream.0,
        ordinal: click.address.ordinal,
        country: click.country.code().to_owned(),
        device: click.device.code().into(),
        verdict: click.verdict.code().into(),
        rule_set_version: click.rule_set_version,
        flags: click.flags.0.into(),
    }
}

/// The order id may be the very thing that was refused: what of it can be kept, is.
fn refused(hit: &RefusedHit) -> edge_v1::Refused {
    let order_id = hit.order_id.as_deref().unwrap_or_default();
    edge_v1::Refused {
        advertiser: hit.advertiser.get(),
        authority: hit.authority.code().into(),
        reason: hit.reason.code().into(),
        order_id: clean(order_id, ORDER_ID_MAX).into_owned(),
        link: hit.link.map_or(0, LinkId::get),
    }
}
