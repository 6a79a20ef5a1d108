//! One function for each kind of bytes that strangers send, or a disk gives back: it feeds them to whoever reads them and checks what must
//! hold whatever they are. `edge/fuzz` searches with libFuzzer; `tests/it/corpus.rs` replays what is known and its
//! mutations in each run of the tests.

use crate::decide::beacon::Beacon;
use crate::decide::macros::{self, Values};
use crate::decide::params::{ConversionParams, SubIds};
use crate::decide::privacy::Signals;
use crate::decide::template::Template;
use crate::enrich::hints;
use proto_model::{AdvertiserId, Country, DeviceClass, LinkId, OfferId, PartnerId, TenantId, UnixMicros};
use proto_wire::click_id::{ClickKey, ClickKeys};
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll, Waker};

/// A reader with its name, as its folder in the corpus is called.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const TARGETS: &[Target] = &[
    Target { name: "click_id", run: click_id },
    Target { name: "template", run: template },
    Target { name: "query", run: query },
    Target { name: "beacon", run: beacon },
    Target { name: "headers", run: headers },
    Target { name: "proxy", run: proxy },
    Target { name: "segment", run: segment },
];

/// What a connection begins with where a balancer speaks first: it is read to its end and no further.
pub fn proxy(bytes: &[u8]) {
    let mut left = bytes;
    let outcome = {
        let mut reading = std::pin::pin!(crate::http::proxy_header(&mut left));
        reading.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    let Poll::Ready(outcome) = outcome else { unreachable!("bytes in memory are there") };
    if let Ok(Some(address)) = outcome {
        assert!(!address.is_ipv4() || bytes.len() - left.len() >= 28, "{address} out of nothing");
    }
}

/// A file of the spool, whatever a disk has made of it.
pub fn segment(bytes: &[u8]) {
    let (intact, damaged) = crate::spool::scan_segment(bytes);
    assert!(intact + damaged <= bytes.len(), "no byte is counted twice");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Nobody without the key makes an id that opens; one that does not open is refused, whatever it is.
pub fn click_id(bytes: &[u8]) {
    let Some(tenant) = TenantId::new(1) else { return };
    let key = (ClickKey { key_id: 1, key: [7; 32] }, true);
    let Ok(keys) = ClickKeys::try_new(tenant, &[key]) else { return };
    assert!(keys.open(&text(bytes)).is_err(), "forged");
}

/// The first line is the landing page, the rest is what a stranger says. Where the shopper lands, the page alone decides.
pub fn template(bytes: &[u8]) {
    let text = text(bytes);
    let (page, said) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(template) = Template::parse(page, "click_id") else { return };
    let backwards: String = said.chars().rev().collect();
    let sub_ids = [said, backwards.as_str()];
    let Some(values) = values(&sub_ids, said) else { return };
    let mut out = String::new();
    if template.fill(&values, &mut out).is_err() {
        return;
    }
    assert!(
        out.is_ascii() && !out.bytes().any(|byte| byte <= b' ' || byte == 0x7f),
        "no header is broken: {out:?}"
    );
    let place = |url: &str| {
        let url = url::Url::parse(url).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        Some((url.scheme().to_owned(), url.host()?.to_owned(), url.port(), plain))
    };
    let filled_in = place(&out);
    assert!(filled_in.is_some(), "a filled-in page is a URL: {out:?}");
    assert_eq!(filled_in, place(template.origin()), "{out:?}");
}

fn values<'a>(sub_ids: &'a [&'a str], said: &'a str) -> Option<Values<'a>> {
    Some(Values {
        click_id: "AQIDBAUGBwgJ",
        offer: OfferId::new(1)?,
        partner: PartnerId::new(1)?,
        advertiser: AdvertiserId::new(1)?,
        link: LinkId::new(1)?,
        sub_ids,
        source: said,
        country: Country::UNKNOWN,
        region: said,
        city: said,
        asn: Some(1),
        ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        device: DeviceClass::Unknown,
        os: said,
        browser: said,
        language: said,
        referrer: said,
        user_agent: said,
        at: UnixMicros(1),
        random: 1,
    })
}

/// Query and form; nothing with a control character is ever recorded.
pub fn query(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (query, form) = bytes.split_at(line);
    let query = text(query);
    let sub_ids = SubIds::read(&query);
    let params = ConversionParams::read(&query, form);
    let recorded = [params.order_id, params.goal, params.coupon, params.event_id, params.customer_id];
    let texts = sub_ids.tags.iter().chain(recorded.iter().flatten());
    assert!(!texts.flat_map(|text| text.chars()).any(char::is_control));
}

pub fn beacon(bytes: &[u8]) {
    if let Ok(Beacon::Click(click)) = Beacon::read(bytes) {
        assert!(click.sub_ids.len() <= proto_wire::limits::SUB_IDS);
        assert!(!click.sub_ids.iter().flat_map(|tag| tag.chars()).any(char::is_control));
    }
}

/// Headers and parameters that say who the visitor is and what they agreed to.
pub fn headers(bytes: &[u8]) {
    let language = hints::language(bytes);
    assert!(language.len() <= 8);
    let headers = hints::Headers { mobile: bytes, platform: bytes, accept_language: bytes, ect: bytes };
    let _ = (hints::device(headers, DeviceClass::Unknown), hints::os(headers));
    let text = text(bytes);
    let all = Some(text.as_str());
    let signals = Signals {
        gpc: Some(bytes),
        dnt: Some(bytes),
        consent: all,
        gdpr: all,
        gdpr_consent: all,
        us_privacy: all,
    };
    let _ = signals.privacy();
    let _ = Signals { gdpr: Some("1"), gdpr_consent: all, ..Signals::default() }.privacy();
    let _ = macros::find(&text);
}
