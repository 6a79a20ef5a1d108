//! A conversion: whether it is well-formed and vouched for, what is written down, and whether this node
//! has seen it before. What it is worth is decided by the control plane.

use super::params::ConversionParams;
use super::privacy::Privacy;
use super::{Subject, allowed, judge};
use crate::enrich::{Client, Origin};
use crate::snapshot::{AdvertiserEntry, Snapshot, TenantEntry};
use crate::state::SeenKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use proto_model::event::Authority;
use proto_model::postback::ConversionStatus;
use proto_model::{
    AdvertiserId, Amount, ClickFacts, Currency, DerivedId, LinkId, OfferId, PartnerId, PostbackAuth, Reason,
    TenantId, UnixMicros,
};
use proto_rules::{HitKind, Verdict};
use proto_wire::convert::{BodyRef, ConversionRef, HitRef, PersonalRef, RefusedRef};
use proto_wire::keys::sha256;
use proto_wire::postback::{self, PostbackKey};
use std::net::IpAddr;

/// Which way a conversion came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A shopper's browser, which anybody can imitate: by an image, by a page in a frame, or by `/t.js`.
    Pixel,
    Frame,
    Page,
    /// The advertiser's server, which knows a secret or has an address of its own.
    Postback,
}

/// What keys of nonces are marked with, where those of reports have their authority.
const NONCE: u8 = 0;
const NONCE_MIN: usize = 8;

/// An advertiser with all that is needed to judge its conversions.
#[derive(Clone, Copy)]
pub struct Receiver<'s> {
    pub id: AdvertiserId,
    pub advertiser: &'s AdvertiserEntry,
    pub tenant: &'s TenantEntry,
    snapshot: &'s Snapshot,
}

impl Receiver<'_> {
    /// Whether this is the id of a click that led to this advertiser, and that its offer keeps: a cookie may be older
    /// than what the offer says now.
    pub fn keeps_click(&self, click_id: &str, now: UnixMicros) -> bool {
        let Ok(click) = open_click(*self, click_id) else { return false };
        let offer = self.snapshot.offer(self.advertiser.tenant, click.offer);
        let days = offer.map_or(0, |offer| offer.routing.cookie_days);
        days > 0 && now <= click.at().plus_days(days)
    }

    pub(super) fn partner_of(&self, link: LinkId) -> Option<PartnerId> {
        self.snapshot.link(link).map(|link| link.partner)
    }

    /// Whether a page on this origin is one of the offer's own.
    pub(super) fn owns_page(&self, offer: OfferId, origin: &str) -> bool {
        self.snapshot.offer(self.advertiser.tenant, offer).is_some_and(|offer| offer.owns(origin))
    }

    /// What is written down of any hit that came to this advertiser: nobody is named in it.
    pub(super) fn recorded<'a>(
        self,
        body: BodyRef<'a>,
        verdict: Verdict<'a>,
        client: &'a Client<'_>,
        origin: &'a Origin,
        now: UnixMicros,
    ) -> HitRef<'a> {
        HitRef {
            tenant: self.advertiser.tenant,
            occurred_at: now,
            facts: client.recorded(),
            verdict,
            body,
            personal: PersonalRef { network: client.network(origin), ..PersonalRef::default() },
        }
    }
}

pub fn resolve(snapshot: &Snapshot, id: AdvertiserId) -> Option<Receiver<'_>> {
    let advertiser = snapshot.advertiser(id)?;
    let tenant = snapshot.tenant(advertiser.tenant)?;
    Some(Receiver { id, advertiser, tenant, snapshot })
}

/// A conversion in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted<'q> {
    pub hit: ConversionRef<'q>,
    pub customer_id: Option<&'q str>,
    pub visitor_id: Option<&'q str>,
}

impl<'q> Accepted<'q> {
    /// In good order by itself, and refused all the same.
    pub fn refused(&self, reason: Reason) -> RefusedRef<'q> {
        let ConversionRef { advertiser, authority, order_id, click, .. } = self.hit;
        let link = click.map(|click| click.link);
        RefusedRef { advertiser, authority, reason, order_id: Some(order_id), link }
    }
}

/// Who sent a report, and when it came.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub channel: Channel,
    pub ip: IpAddr,
    pub at: UnixMicros,
}

/// Checks in the order in which a sender would want to hear of it: the form, who they are, the fields.
pub fn check<'q>(
    to: Receiver<'_>,
    sender: Sender,
    params: &'q ConversionParams<'_>,
) -> Result<Accepted<'q>, RefusedRef<'q>> {
    let authority = authority(to, sender);
    match fields(to, sender, params) {
        Ok((order_id, amount, click)) => Ok(Accepted {
            hit: ConversionRef {
                advertiser: to.id,
                authority,
                click,
                order_id,
                goal: params.goal.as_deref().unwrap_or("sale"),
                event_id: params.event_id.as_deref(),
                amount,
                coupon: params.coupon.as_deref(),
            },
            customer_id: params.customer_id.as_deref(),
            visitor_id: params.visitor_id.as_deref(),
        }),
        Err(reason) => {
            let order_id = params.order_id.as_deref();
            // So that whoever follows a link sees why its sales do not count.
            let click = params.click_id.as_deref().and_then(|text| open_click(to, text).ok());
            let link = click.map(|click| click.link);
            Err(RefusedRef { advertiser: to.id, authority, reason, order_id, link })
        }
    }
}

type Fields<'q> = (&'q str, Option<Amount>, Option<ClickFacts>);

fn fields<'q>(
    to: Receiver<'_>,
    sender: Sender,
    params: &'q ConversionParams<'_>,
) -> Result<Fields<'q>, Reason> {
    if let Some(problem) = params.problem {
        return Err(problem);
    }
    let is_test = sender.channel == Channel::Postback
        && token_is(to.advertiser.test_token_sha256.as_ref(), params.token.as_deref());
    if sender.channel == Channel::Postback && !is_test {
        vouched_for(to.advertiser, sender, params)?;
    }
    let order_id = params.order_id.as_deref().ok_or(Reason::MissingOrderId)?;
    let amount = amount(params.amount.as_deref(), params.currency.as_deref())?;
    let click = params.click_id.as_deref().map(|text| open_click(to, text)).transpose()?;
    // Only now: who tests hears of every other mistake first.
    if is_test || click.is_some_and(|click| click.flags.test()) {
        return Err(Reason::Test);
    }
    if sender.channel == Channel::Postback {
        has_a_sale(to.advertiser, params.status.as_deref())?;
    }
    Ok((order_id, amount, click))
}

/// A word that nobody knows may mean that there is no sale.
fn has_a_sale(advertiser: &AdvertiserEntry, word: Option<&str>) -> Result<(), Reason> {
    let Some(word) = word else { return Ok(()) };
    match advertiser.postback.statuses.status(word) {
        None => Err(Reason::UnknownStatus),
        Some(ConversionStatus::Rejected) => Err(Reason::RejectedByAdvertiser),
        // Whether it is paid out is for the terms and the order's journey to say.
        Some(ConversionStatus::Approved | ConversionStatus::Pending | ConversionStatus::Hold) => Ok(()),
    }
}

/// How far a report in good order is believed.
fn authority(to: Receiver<'_>, sender: Sender) -> Authority {
    match (sender.channel, to.advertiser.postback.auth) {
        (Channel::Pixel | Channel::Frame | Channel::Page, _) => Authority::Pixel,
        (Channel::Postback, PostbackAuth::Hmac) => Authority::Signed,
        (Channel::Postback, PostbackAuth::Token | PostbackAuth::IpList) => Authority::TokenPostback,
    }
}

/// By what the advertiser has chosen, and by nothing else.
fn vouched_for(
    advertiser: &AdvertiserEntry,
    sender: Sender,
    params: &ConversionParams<'_>,
) -> Result<(), Reason> {
    let postback = &advertiser.postback;
    match postback.auth {
        PostbackAuth::Token
            if token_is(advertiser.postback_token_sha256.as_ref(), params.token.as_deref()) =>
        {
            Ok(())
        }
        PostbackAuth::Token => Err(Reason::BadToken),
        PostbackAuth::IpList if postback.networks.contains(sender.ip) => Ok(()),
        PostbackAuth::IpList => Err(Reason::ForbiddenAddress),
        PostbackAuth::Hmac => signed(&postback.keys, sender.at, params),
    }
}

fn signed(keys: &[PostbackKey], now: UnixMicros, params: &ConversionParams<'_>) -> Result<(), Reason> {
    let text = postback::signed_text(|field| params.get(field)).ok_or(Reason::BadSignature)?;
    let signature = params.signature.as_deref().ok_or(Reason::BadSignature)?;
    let at: i64 = params.timestamp.as_deref().and_then(|at| at.parse().ok()).ok_or(Reason::BadSignature)?;
    let has_nonce = params.nonce.as_deref().is_some_and(|nonce| nonce.len() >= NONCE_MIN);
    if !has_nonce || !keys.iter().any(|key| key.verify(&text, signature)) {
        return Err(Reason::BadSignature);
    }
    // Said only to whoever knows the key: it may be the clock.
    let fresh = now.secs().saturating_sub(at).saturating_abs() <= postback::MAX_AGE_SECS;
    if fresh { Ok(()) } else { Err(Reason::StaleTimestamp) }
}

/// Under which the nonce of a signed postback is remembered; `None` when nobody needs to.
pub fn nonce_key(to: Receiver<'_>, channel: Channel, params: &ConversionParams<'_>) -> Option<SeenKey> {
    let signed = channel == Channel::Postback && to.advertiser.postback.auth == PostbackAuth::Hmac;
    let nonce = params.nonce.as_deref().filter(|_| signed)?;
    let hash = sha256(&[b"tributary-nonce-v1\0", &to.id.get().to_be_bytes()[..], nonce.as_bytes()].concat());
    let mut words = [0; SeenKey::WORDS];
    words.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    Some(SeenKey::new(words, NONCE))
}

/// Where none is expected, none is right.
fn token_is(expected: Option<&[u8; 32]>, token: Option<&str>) -> bool {
    match (expected, token) {
        (Some(expected), Some(token)) => verify_slices_are_equal(expected, &sha256(token.as_bytes())).is_ok(),
        _ => false,
    }
}

fn amount(amount: Option<&str>, currency: Option<&str>) -> Result<Option<Amount>, Reason> {
    let currency =
        currency.map(|code| Currency::parse(code).map_err(|_| Reason::InvalidCurrency)).transpose()?;
    let Some(text) = amount else { return Ok(None) };
    let currency = currency.ok_or(Reason::InvalidCurrency)?;
    Amount::parse_decimal(text, currency).map(Some).map_err(|_| Reason::InvalidAmount)
}

/// The tenant's keys open no other tenant's ids. An id of another advertiser in the same tenant is as
/// wrong as a forged one; if its offer is not in the snapshot any more, the control plane knows it.
pub(super) fn open_click(to: Receiver<'_>, text: &str) -> Result<ClickFacts, Reason> {
    let click = to.tenant.keys.open(text).map_err(|_| Reason::InvalidClickId)?;
    match to.snapshot.offer(to.advertiser.tenant, click.offer) {
        Some(offer) if offer.advertiser != to.id => Err(Reason::InvalidClickId),
        _ => Ok(click),
    }
}

/// Rules see what a browser sends. A postback comes from the advertiser's server: its country and user
/// agent say nothing of the shopper, whose click was judged when it happened.
pub fn judge_conversion<'s>(
    to: Receiver<'s>,
    channel: Channel,
    accepted: &Accepted<'_>,
    client: &Client<'_>,
    now: UnixMicros,
) -> Verdict<'s> {
    if channel == Channel::Postback {
        return allowed(to.tenant.rules.as_ref());
    }
    let click = accepted.hit.click.as_ref();
    let partner = click.and_then(|click| to.partner_of(click.link));
    let subject = Subject {
        link: click.map(|click| click.link),
        offer: click.map(|click| click.offer),
        partner,
        advertiser: Some(to.id),
    };
    judge(to.tenant.rules.as_ref(), client, subject, HitKind::Conversion, now)
}

pub fn record_accepted<'a>(
    to: Receiver<'_>,
    accepted: &Accepted<'a>,
    verdict: Verdict<'a>,
    client: &'a Client<'_>,
    origin: &'a Origin,
    now: UnixMicros,
) -> HitRef<'a> {
    let hit = to.recorded(BodyRef::Conversion(accepted.hit), verdict, client, origin, now);
    HitRef {
        personal: PersonalRef {
            customer_id: accepted.customer_id.filter(|_| client.privacy == Privacy::Full),
            visitor_id: accepted.visitor_id.filter(|_| client.privacy == Privacy::Full),
            ..hit.personal
        },
        ..hit
    }
}

/// Nothing that reached a known advertiser is lost; a refusal carries no customer, since it may be anyone's.
pub fn record_refused<'a>(
    to: Receiver<'a>,
    refused: RefusedRef<'a>,
    client: &'a Client<'_>,
    origin: &'a Origin,
    now: UnixMicros,
) -> HitRef<'a> {
    to.recorded(BodyRef::Refused(refused), allowed(to.tenant.rules.as_ref()), client, origin, now)
}

/// The id the control plane will give to this conversion.
pub fn conversion_id(tenant: TenantId, hit: &ConversionRef<'_>) -> DerivedId {
    DerivedId::of_conversion(tenant, hit.advertiser, hit.order_id, hit.goal, hit.event_id)
}

/// What is remembered of a conversion: everything that was said of it, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    words: [u8; SeenKey::WORDS],
    authority: Authority,
}

impl Fingerprint {
    pub fn of(conversion: DerivedId, accepted: &Accepted<'_>) -> Self {
        let mut words = [0; SeenKey::WORDS];
        for (to, from) in words.iter_mut().zip(content(conversion, accepted)) {
            *to = from;
        }
        Self { words, authority: accepted.hit.authority }
    }

    /// Under which this report is remembered.
    pub fn key(&self) -> SeenKey {
        SeenKey::new(self.words, self.authority.code())
    }

    /// A repetition of what was said before, by somebody believed at least as much. A report that says
    /// something else is none: which of them stands is decided by the control plane.
    pub fn is_repetition(&self, seen: impl Fn(SeenKey) -> bool) -> bool {
        let at_least_as_good = Authority::ALL.iter().filter(|other| **other >= self.authority);
        at_least_as_good.into_iter().any(|authority| seen(SeenKey::new(self.words, authority.code())))
    }
}

/// Hashes what a second report could say differently. The click is its address: two seals of the same
/// click are the same click.
fn content(conversion: DerivedId, accepted: &Accepted<'_>) -> [u8; 32] {
    let hit = &accepted.hit;
    let mut bytes = Vec::with_capacity(256);
    let mut add = |part: &[u8]| {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    add(&conversion.0);
    match &hit.click {
        Some(click) => {
            add(&click.address.stream.0.to_be_bytes());
            add(&click.address.ordinal.to_be_bytes());
        }
        None => add(b""),
    }
    match hit.amount {
        Some(amount) => {
            add(&amount.minor.to_be_bytes());
            add(amount.currency.code().as_bytes());
        }
        None => add(b""),
    }
    add(hit.coupon.unwrap_or_default().as_bytes());
    add(accepted.customer_id.unwrap_or_default().as_bytes());
    if let Some(visitor_id) = accepted.visitor_id {
        add(visitor_id.as_bytes());
    }
    sha256(&bytes)
}

#[cfg(test)]
mod tests;
