//! Events from the wire: an edge is outside input.

use super::{ConvertError, SkipReason};
use crate::edge_v1::{self, Event, Skipped, event};
use crate::limits::{
    BROWSER_MAX, CITY_MAX, CONNECTION_MAX, COUPON_MAX, EVENT_ID_MAX, GOAL_MAX, LANGUAGE_MAX, ORDER_ID_MAX,
    OS_MAX, REGION_MAX, RULE_ID_MAX, fits, fits_or_empty,
};
use crate::personal;
use proto_model::event::{
    Authority, Body, Click, ConversionHit, FineFacts, Impression, ORDINAL_MAX, Privacy, RecordedFacts,
    RecordedVerdict, RefusedHit, TouchHit, TrackingEvent, Uniqueness,
};
use proto_model::money::MAX_MINOR;
use proto_model::{
    Address, AdvertiserId, Amount, ClickFacts, ClickFlags, Country, Currency, DeviceClass, LinkId, OfferId,
    PartnerId, ProgramId, Reason, StreamNo, TenantId, UnixMicros, VerdictKind,
};

/// What stands at one place of a stream.
// Skipped ranges are rare: a box would cost every event an allocation to make those few smaller.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalEvent {
    Tracking {
        ordinal: u64,
        event: TrackingEvent,
    },
    /// No event has these ordinals and none ever will.
    Skipped {
        from: u64,
        through: u64,
        reason: SkipReason,
    },
}

/// Checks and converts one event of an opened batch. An event that fails is no reason to lose the others
/// of its batch: the caller sets it apart and counts it.
pub fn event_from_wire(event: &Event) -> Result<JournalEvent, ConvertError> {
    let reader = Reader { ordinal: event.ordinal };
    reader.require("ordinal", (1..=ORDINAL_MAX).contains(&event.ordinal))?;
    if let Some(event::Body::Skipped(skipped)) = &event.body {
        return reader.skipped(event, skipped);
    }
    let tenant = reader.need("tenant", TenantId::new(event.tenant))?;
    reader.commitments(event)?;
    let tracked = TrackingEvent {
        tenant,
        occurred_at: reader.occurred_at(event.occurred_at_micros)?,
        facts: reader.facts(reader.need("facts", event.facts.as_ref())?)?,
        verdict: reader.verdict(reader.need("verdict", event.verdict.as_ref())?)?,
        body: match &event.body {
            Some(event::Body::Click(click)) => Body::Click(reader.click(click)?),
            Some(event::Body::Conversion(hit)) => Body::Conversion(reader.conversion(tenant, hit)?),
            Some(event::Body::Refused(hit)) => Body::Refused(reader.refused(hit)?),
            Some(event::Body::Impression(hit)) => Body::Impression(reader.impression(hit)?),
            Some(event::Body::Touch(hit)) => Body::Touch(reader.touch(tenant, hit)?),
            Some(event::Body::Skipped(_)) | None => return Err(reader.error("body")),
        },
    };
    Ok(JournalEvent::Tracking { ordinal: event.ordinal, event: tracked })
}

/// Reads fields of the event with this ordinal, so that an error can name it.
#[derive(Clone, Copy)]
struct Reader {
    ordinal: u64,
}

impl Reader {
    fn error(self, field: &'static str) -> ConvertError {
        ConvertError::Field { ordinal: self.ordinal, field }
    }

    fn need<T>(self, field: &'static str, value: Option<T>) -> Result<T, ConvertError> {
        value.ok_or_else(|| self.error(field))
    }

    fn require(self, field: &'static str, holds: bool) -> Result<(), ConvertError> {
        if holds { Ok(()) } else { Err(self.error(field)) }
    }

    fn code<T>(self, field: &'static str, code: u32, of: fn(u8) -> Option<T>) -> Result<T, ConvertError> {
        self.need(field, u8::try_from(code).ok().and_then(of))
    }

    fn text(self, field: &'static str, text: &str, max: usize) -> Result<String, ConvertError> {
        if fits(text, max) { Ok(text.to_owned()) } else { Err(self.error(field)) }
    }

    fn optional_text(
        self,
        field: &'static str,
        text: &str,
        max: usize,
    ) -> Result<Option<String>, ConvertError> {
        if text.is_empty() { Ok(None) } else { self.text(field, text, max).map(Some) }
    }

    fn country(self, text: &str) -> Result<Country, ConvertError> {
        let country = Country::parse(text);
        if country.code() == text { Ok(country) } else { Err(self.error("country")) }
    }

    /// A skipped range carries nothing else, so that nothing can hide in it.
    fn skipped(self, event: &Event, skipped: &Skipped) -> Result<JournalEvent, ConvertError> {
        let through = skipped.through;
        let reason = self.need("skip reason", SkipReason::from_code(skipped.reason))?;
        let expected = super::skipped_to_wire(event.ordinal, through, reason);
        let in_range = (event.ordinal..=ORDINAL_MAX).contains(&through);
        self.require("skipped", in_range && *event == expected)?;
        Ok(JournalEvent::Skipped { from: event.ordinal, through, reason })
    }

    /// Clicks carry their time as 32 bits of seconds, so no event lies outside of them.
    fn occurred_at(self, micros: i64) -> Result<UnixMicros, ConvertError> {
        let at = UnixMicros(micros);
        self.require("occurred_at", micros > 0 && u32::try_from(at.secs()).is_ok())?;
        Ok(at)
    }

    fn commitments(self, event: &Event) -> Result<(), ConvertError> {
        let mut seen = Vec::new();
        for commitment in &event.commitments {
            let class = personal::class_from_wire(commitment.personal_class);
            let class = class.map_err(|_| self.error("personal class"))?;
            self.require("commitment", commitment.digest.len() == 32 && !seen.contains(&class))?;
            seen.push(class);
        }
        Ok(())
    }

    fn facts(self, facts: &edge_v1::Facts) -> Result<RecordedFacts, ConvertError> {
        self.require("os", fits_or_empty(&facts.os, OS_MAX))?;
        self.require("browser", fits_or_empty(&facts.browser, BROWSER_MAX))?;
        Ok(RecordedFacts {
            country: self.country(&facts.country)?,
            device: self.code("device", facts.device, DeviceClass::from_code)?,
            os: facts.os.clone(),
            browser: facts.browser.clone(),
            geo_version: facts.geo_version,
            fine: self.fine(facts)?,
            privacy: self.code("privacy", facts.privacy, Privacy::from_code)?,
            privacy_policy: facts.privacy_policy,
        })
    }

    fn fine(self, facts: &edge_v1::Facts) -> Result<FineFacts, ConvertError> {
        let text =
            |field, text: &String, max| self.require(field, fits_or_empty(text, max)).map(|()| text.clone());
        Ok(FineFacts {
            region: text("region", &facts.region, REGION_MAX)?,
            city: text("city", &facts.city, CITY_MAX)?,
            asn: (facts.asn != 0).then_some(facts.asn),
            language: text("language", &facts.language, LANGUAGE_MAX)?,
            connection: text("connection", &facts.connection, CONNECTION_MAX)?,
        })
    }

    fn verdict(self, verdict: &edge_v1::Verdict) -> Result<RecordedVerdict, ConvertError> {
        Ok(RecordedVerdict {
            kind: self.code("verdict", verdict.kind, VerdictKind::from_code)?,
            rule_id: self.optional_text("rule_id", &verdict.rule_id, RULE_ID_MAX)?,
            rule_set_version: verdict.rule_set_version,
        })
    }

    fn flags(self, flags: u32) -> Result<ClickFlags, ConvertError> {
        self.code("flags", flags, |flags| Some(ClickFlags(flags)))
    }

    fn click(self, click: &edge_v1::Click) -> Result<Click, ConvertError> {
        Ok(Click {
            link: self.need("link", LinkId::new(click.link))?,
            offer: self.need("offer", OfferId::new(click.offer))?,
            partner: self.need("partner", PartnerId::new(click.partner))?,
            program: self.need("program", ProgramId::new(click.program))?,
            advertiser: self.need("advertiser", AdvertiserId::new(click.advertiser))?,
            flags: self.flags(click.flags)?,
            uniqueness: self.code("uniqueness", click.uniqueness, Uniqueness::from_code)?,
        })
    }

    fn impression(self, shown: &edge_v1::Impression) -> Result<Impression, ConvertError> {
        Ok(Impression {
            link: self.need("link", LinkId::new(shown.link))?,
            offer: self.need("offer", OfferId::new(shown.offer))?,
            partner: self.need("partner", PartnerId::new(shown.partner))?,
            program: self.need("program", ProgramId::new(shown.program))?,
            advertiser: self.need("advertiser", AdvertiserId::new(shown.advertiser))?,
            flags: self.flags(shown.flags)?,
        })
    }

    fn touch(self, tenant: TenantId, touch: &edge_v1::Touch) -> Result<TouchHit, ConvertError> {
        Ok(TouchHit {
            advertiser: self.need("advertiser", AdvertiserId::new(touch.advertiser))?,
            click: self.click_reference(tenant, self.need("click", touch.click.as_ref())?)?,
        })
    }

    fn conversion(self, tenant: TenantId, hit: &edge_v1::Conversion) -> Result<ConversionHit, ConvertError> {
        let click = hit.click.as_ref().map(|click| self.click_reference(tenant, click)).transpose()?;
        Ok(ConversionHit {
            advertiser: self.need("advertiser", AdvertiserId::new(hit.advertiser))?,
            authority: self.code("authority", hit.authority, Authority::from_code)?,
            click,
            order_id: self.text("order_id", &hit.order_id, ORDER_ID_MAX)?,
            goal: self.text("goal", &hit.goal, GOAL_MAX)?,
            event_id: self.optional_text("event_id", &hit.event_id, EVENT_ID_MAX)?,
            amount: self.amount(hit.amount_minor, &hit.currency)?,
            coupon: self.optional_text("coupon", &hit.coupon, COUPON_MAX)?,
        })
    }

    fn amount(self, minor: i64, currency: &str) -> Result<Option<Amount>, ConvertError> {
        if currency.is_empty() {
            self.require("amount", minor == 0)?;
            return Ok(None);
        }
        let currency = Currency::parse(currency).map_err(|_| self.error("currency"))?;
        self.require("amount", (0..=MAX_MINOR).contains(&minor))?;
        Ok(Some(Amount::new(minor, currency)))
    }

    fn click_reference(
        self,
        tenant: TenantId,
        click: &edge_v1::ClickReference,
    ) -> Result<ClickFacts, ConvertError> {
        self.require("click ordinal", click.ordinal <= ORDINAL_MAX)?;
        Ok(ClickFacts {
            tenant,
            link: self.need("click link", LinkId::new(click.link))?,
            offer: self.need("click offer", OfferId::new(click.offer))?,
            at_secs: click.at_secs,
            address: Address { stream: StreamNo(click.stream), ordinal: click.ordinal },
            country: self.country(&click.country)?,
            device: self.code("click device", click.device, DeviceClass::from_code)?,
            verdict: self.code("click verdict", click.verdict, VerdictKind::from_code)?,
            rule_set_version: click.rule_set_version,
            flags: self.flags(click.flags)?,
        })
    }

    fn refused(self, hit: &edge_v1::Refused) -> Result<RefusedHit, ConvertError> {
        Ok(RefusedHit {
            advertiser: self.need("advertiser", AdvertiserId::new(hit.advertiser))?,
            authority: self.code("authority", hit.authority, Authority::from_code)?,
            reason: self.code("reason", hit.reason, Reason::from_code)?,
            order_id: self.optional_text("order_id", &hit.order_id, ORDER_ID_MAX)?,
            link: match hit.link {
                0 => None,
                link => Some(self.need("link", LinkId::new(link))?),
            },
        })
    }
}
