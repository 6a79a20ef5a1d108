//! From a hit to the bytes of its protobuf messages, without messages in between: this runs for every request of
//! an edge, and allocates nothing once its buffer has grown.
//!
//! The bytes are those that `prost` makes of [`super::event_to_wire`]; `tests/it/events.rs` compares them.

use super::hit::{BodyRef, ConversionRef, FactsRef, HitRef, NetworkRef, PersonalRef, RefusedRef};
use crate::keys::sha256;
use crate::limits::{
    BROWSER_MAX, CITY_MAX, CONNECTION_MAX, EVENT_LEN_MAX, IP_PREFIX_MAX, LANGUAGE_MAX, ORDER_ID_MAX, OS_MAX,
    REFERRER_MAX, REGION_MAX, SIDECAR_ENTRY_LEN_MAX, SUB_ID_MAX, USER_AGENT_MAX, clean,
};
use crate::personal::{COMMIT_DOMAIN, SALT_LEN};
use proto_model::event::{Click, Impression, PersonalClass, TouchHit};
use proto_model::{Address, ClickFacts, LinkId};
use proto_rules::Verdict;
use std::ops::Range;

/// Where a commitment's preimage has the address, the salt and the value.
const STREAM_AT: usize = COMMIT_DOMAIN.len();
const ORDINAL_AT: usize = STREAM_AT + 4;
const SALT_AT: usize = ORDINAL_AT + 8 + 1;
const VALUE_AT: usize = SALT_AT + SALT_LEN;

/// A hit in bytes that has everything but its address. Made to be used again.
#[derive(Debug, Default)]
pub struct Unplaced {
    bytes: Vec<u8>,
    /// Of the event: what stands between ordinal and commitments, and what follows them.
    middle: Range<usize>,
    body: Range<usize>,
    /// Of each personal class: the preimage of its commitment, with room for the address.
    preimages: [Range<usize>; PersonalClass::ALL.len()],
}

impl Unplaced {
    /// Takes `hit` in the place of what was there. `salts` must give 16 fresh random bytes each time: a salt
    /// that repeats lets equal values be seen.
    pub fn write(&mut self, hit: &HitRef<'_>, mut salts: impl FnMut() -> [u8; SALT_LEN]) {
        let out = &mut self.bytes;
        out.clear();
        number(out, 2, hit.tenant.get().into());
        number(out, 3, hit.occurred_at.0.cast_unsigned());
        message(out, 4, |out| facts(out, &hit.facts));
        message(out, 5, |out| verdict(out, &hit.verdict));
        self.middle = 0..out.len();
        match &hit.body {
            BodyRef::Click(hit) => message(out, 10, |out| click(out, hit)),
            BodyRef::Conversion(hit) => message(out, 11, |out| conversion(out, hit)),
            BodyRef::Refused(hit) => message(out, 12, |out| refused(out, hit)),
            BodyRef::Impression(hit) => message(out, 14, |out| impression(out, hit)),
            BodyRef::Touch(hit) => message(out, 15, |out| touch(out, hit)),
        }
        self.body = self.middle.end..out.len();
        for (preimage, &class) in self.preimages.iter_mut().zip(PersonalClass::ALL) {
            *preimage = write_preimage(out, class, &hit.personal, &mut salts);
        }
    }

    /// Appends the event, then its sidecar, and returns the length of the event; `None` if they could not
    /// be sealed, and then what was appended is of no use. All that is left to compute is one SHA-256 for
    /// each personal class: cheap enough to run under a lock.
    pub fn place(&mut self, address: Address, out: &mut Vec<u8>) -> Option<usize> {
        let start = out.len();
        number(out, 1, address.ordinal);
        out.extend_from_slice(self.bytes.get(self.middle.clone())?);
        for (preimage, class) in self.preimages.iter().zip(PersonalClass::ALL) {
            let preimage = self.bytes.get_mut(preimage.clone())?;
            if preimage.is_empty() {
                continue;
            }
            preimage[STREAM_AT..ORDINAL_AT].copy_from_slice(&address.stream.0.to_be_bytes());
            preimage[ORDINAL_AT..ORDINAL_AT + 8].copy_from_slice(&address.ordinal.to_be_bytes());
            let digest = sha256(preimage);
            message(out, 6, |out| {
                number(out, 1, class.code().into());
                bytes(out, 2, &digest);
            });
        }
        out.extend_from_slice(self.bytes.get(self.body.clone())?);
        let event_len = out.len() - start;
        let mut fits = event_len <= EVENT_LEN_MAX;
        for (preimage, class) in self.preimages.iter().zip(PersonalClass::ALL) {
            let preimage = self.bytes.get(preimage.clone())?;
            if preimage.is_empty() {
                continue;
            }
            let before = out.len();
            message(out, 1, |out| {
                number(out, 1, address.ordinal);
                number(out, 2, class.code().into());
                bytes(out, 3, &preimage[SALT_AT..VALUE_AT]);
                bytes(out, 4, &preimage[VALUE_AT..]);
            });
            fits &= out.len() - before <= SIDECAR_ENTRY_LEN_MAX;
        }
        fits.then_some(event_len)
    }
}

/// Nothing for a class without a value.
fn write_preimage(
    out: &mut Vec<u8>,
    class: PersonalClass,
    personal: &PersonalRef<'_>,
    salts: &mut impl FnMut() -> [u8; SALT_LEN],
) -> Range<usize> {
    let start = out.len();
    let absent = match class {
        PersonalClass::Network => personal.network.is_none(),
        PersonalClass::Subject => personal.customer_id.is_none_or(str::is_empty),
        PersonalClass::Tags => personal.sub_ids.iter().all(|tag| tag.is_empty()),
        PersonalClass::Visitor => personal.visitor_id.is_none_or(str::is_empty),
    };
    if absent {
        return start..start;
    }
    out.extend_from_slice(COMMIT_DOMAIN);
    out.extend_from_slice(&[0; 4 + 8]);
    out.push(class.code());
    out.extend_from_slice(&salts());
    match class {
        PersonalClass::Network => personal.network.iter().for_each(|value| network(out, value)),
        PersonalClass::Subject => text(out, 1, personal.customer_id.unwrap_or_default()),
        PersonalClass::Tags => tags(out, &personal.sub_ids),
        PersonalClass::Visitor => text(out, 1, personal.visitor_id.unwrap_or_default()),
    }
    start..out.len()
}

fn facts(out: &mut Vec<u8>, facts: &FactsRef<'_>) {
    text(out, 1, facts.country.code());
    number(out, 2, facts.device.code().into());
    text(out, 3, &clean(facts.os, OS_MAX));
    text(out, 4, &clean(facts.browser, BROWSER_MAX));
    number(out, 5, facts.geo_version);
    let fine = &facts.fine;
    text(out, 6, &clean(fine.region, REGION_MAX));
    text(out, 7, &clean(fine.city, CITY_MAX));
    number(out, 8, fine.asn.unwrap_or_default().into());
    text(out, 9, &clean(fine.language, LANGUAGE_MAX));
    text(out, 10, &clean(fine.connection, CONNECTION_MAX));
    number(out, 11, facts.privacy.code().into());
    number(out, 12, facts.privacy_policy.into());
}

fn verdict(out: &mut Vec<u8>, verdict: &Verdict<'_>) {
    number(out, 1, verdict.kind.code().into());
    text(out, 2, verdict.rule_id.unwrap_or_default());
    number(out, 3, verdict.rule_set_version.into());
}

fn click(out: &mut Vec<u8>, click: &Click) {
    number(out, 1, click.link.get());
    number(out, 2, click.offer.get());
    number(out, 3, click.partner.get());
    number(out, 4, click.program.get());
    number(out, 5, click.advertiser.get());
    number(out, 6, click.flags.0.into());
    number(out, 7, click.uniqueness.code().into());
}

fn impression(out: &mut Vec<u8>, shown: &Impression) {
    number(out, 1, shown.link.get());
    number(out, 2, shown.offer.get());
    number(out, 3, shown.partner.get());
    number(out, 4, shown.program.get());
    number(out, 5, shown.advertiser.get());
    number(out, 6, shown.flags.0.into());
}

fn touch(out: &mut Vec<u8>, touch: &TouchHit) {
    number(out, 1, touch.advertiser.get());
    message(out, 2, |out| click_reference(out, &touch.click));
}

fn conversion(out: &mut Vec<u8>, hit: &ConversionRef<'_>) {
    number(out, 1, hit.advertiser.get());
    number(out, 2, hit.authority.code().into());
    if let Some(click) = &hit.click {
        message(out, 3, |out| click_reference(out, click));
    }
    text(out, 4, hit.order_id);
    text(out, 5, hit.goal);
    text(out, 6, hit.event_id.unwrap_or_default());
    if let Some(amount) = hit.amount {
        number(out, 7, amount.minor.cast_unsigned());
        text(out, 8, amount.currency.code());
    }
    text(out, 9, hit.coupon.unwrap_or_default());
}

fn click_reference(out: &mut Vec<u8>, click: &ClickFacts) {
    number(out, 1, click.link.get());
    number(out, 2, click.offer.get());
    number(out, 3, click.at_secs.into());
    number(out, 4, click.address.stream.0.into());
    number(out, 5, click.address.ordinal);
    text(out, 6, click.country.code());
    number(out, 7, click.device.code().into());
    number(out, 8, click.verdict.code().into());
    number(out, 9, click.rule_set_version.into());
    number(out, 10, click.flags.0.into());
}

fn refused(out: &mut Vec<u8>, hit: &RefusedRef<'_>) {
    number(out, 1, hit.advertiser.get());
    number(out, 2, hit.authority.code().into());
    number(out, 3, hit.reason.code().into());
    text(out, 4, &clean(hit.order_id.unwrap_or_default(), ORDER_ID_MAX));
    number(out, 5, hit.link.map_or(0, LinkId::get));
}

fn network(out: &mut Vec<u8>, network: &NetworkRef<'_>) {
    text(out, 1, &clean(network.ip_prefix, IP_PREFIX_MAX));
    bytes(out, 2, &network.ip_hash);
    text(out, 3, &clean(network.user_agent, USER_AGENT_MAX));
    text(out, 4, &clean(network.referrer, REFERRER_MAX));
}

/// As many as the last one that is not empty.
fn tags(out: &mut Vec<u8>, sub_ids: &[&str]) {
    let given = sub_ids.iter().rposition(|tag| !tag.is_empty()).map_or(0, |last| last + 1);
    for tag in sub_ids.iter().take(given) {
        // In a list an empty text has its place, too.
        field(out, 1, clean(tag, SUB_ID_MAX).as_bytes());
    }
}

// ---- protobuf: a field of its default value is left out, lengths and numbers are varints

const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag << 3 | VARINT);
        varint(out, value);
    }
}

fn text(out: &mut Vec<u8>, tag: u8, value: &str) {
    bytes(out, tag, value.as_bytes());
}

fn bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        field(out, tag, value);
    }
}

fn field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag << 3 | LENGTH_DELIMITED);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn message(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag << 3 | LENGTH_DELIMITED);
    let at = out.len();
    out.push(0);
    content(out);
    let len = out.len() - at - 1;
    if let (Ok(short @ ..0x80), Some(room)) = (u8::try_from(len), out.get_mut(at)) {
        *room = short;
        return;
    }
    // Rare: the length takes more than the byte that was kept for it.
    let mut long = Vec::new();
    varint(&mut long, len as u64);
    out.splice(at..=at, long);
}
