//! What a click asks for beside its link: the partner's tags, a page of the offer's own choosing, and whatever else
//! stands in its query. Nothing of it costs the click: what is wrong is left out and named.

use super::params::{SubIds, pairs, sub_id};
use crate::snapshot::{Destination, OfferEntry, TenantEntry};
use proto_model::{LinkId, Reason, UnixMicros};
use proto_wire::deep_link::DeepLinkError;
use proto_wire::limits::{SUB_ID_MAX, fits};
use std::borrow::Cow;

/// The query of a click.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked<'q> {
    pub sub_ids: SubIds<'q>,
    /// The partner's own name for where the click came from.
    pub source: Cow<'q, str>,
    pub page: Option<AskedPage<'q>>,
}

/// A deep link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AskedPage<'q> {
    pub url: Cow<'q, str>,
    pub expires: Option<Cow<'q, str>>,
    pub signature: Option<Cow<'q, str>>,
    /// One of its parameters stands twice: somebody may have added the second.
    pub repeated: bool,
}

/// What our own parameters are called. They are never handed on to a landing page.
const OWN: &[&str] =
    &["source", "url", "exp", "sig", "consent", "gdpr", "gdpr_consent", "us_privacy", "click_id"];

impl<'q> Asked<'q> {
    pub fn read(query: &'q str) -> Self {
        let mut asked = Self { sub_ids: SubIds::read(query), ..Self::default() };
        if !query.contains("url=") && !query.contains("source=") {
            return asked;
        }
        let mut page = AskedPage::default();
        let mut asks = false;
        for (name, value) in pairs(query).flatten() {
            match &*name {
                "url" if asks => page.repeated = true,
                "url" => (asks, page.url) = (true, value),
                "exp" => page.repeated |= page.expires.replace(value).is_some(),
                "sig" => page.repeated |= page.signature.replace(value).is_some(),
                "source" if asked.source.is_empty() && fits(&value, SUB_ID_MAX) => asked.source = value,
                _ => {}
            }
        }
        asked.page = asks.then_some(page);
        asked
    }
}

impl AskedPage<'_> {
    /// The page, if this offer's clicks may go there: to one of its hosts, or, signed, anywhere until it expires.
    pub fn allowed(
        &self,
        tenant: &TenantEntry,
        link: LinkId,
        offer: &OfferEntry,
        now: UnixMicros,
    ) -> Result<Destination, Reason> {
        if self.repeated {
            return Err(Reason::ParameterRepeated);
        }
        let signed = match &self.signature {
            None => false,
            Some(signature) => {
                let expires = self.expires.as_deref().and_then(|text| text.parse().ok());
                let expires = expires.ok_or(Reason::BadSignature)?;
                tenant.deep_links.verify(link, &self.url, expires, signature, now).map_err(|error| {
                    match error {
                        DeepLinkError::Expired => Reason::StaleTimestamp,
                        DeepLinkError::Malformed | DeepLinkError::Forged => Reason::BadSignature,
                    }
                })?;
                true
            }
        };
        offer.deep_link(&self.url, signed).ok_or(Reason::DeepLinkNotAllowed)
    }
}

/// Hands on to the landing page in `url` what the click's query holds that we have no name for. What the page's own query
/// says stands; a URL that would grow beyond `max` gets no more.
pub fn pass_through(query: &str, click_id_parameter: &str, url: &mut String, max: usize) {
    let hash = url.find('#').unwrap_or(url.len());
    let fragment = url.split_off(hash);
    let own = url.split_once('?').map_or(String::new(), |(_, own)| own.to_owned());
    let has = |wanted: &str| pairs(&own).flatten().any(|(name, _)| name == wanted);
    for (name, value) in pairs(query).flatten() {
        let ours = OWN.contains(&&*name) || sub_id(&name).is_some() || name == click_id_parameter;
        if name.is_empty() || ours {
            continue;
        }
        let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let fits = url.len() + encoded.len() + value.len() + fragment.len() + 2 <= max;
        if has(&name) || !fits {
            continue;
        }
        let joint = if url.contains('?') { '&' } else { '?' };
        url.push(joint);
        url.extend([encoded.as_str(), "=", value.as_str()]);
    }
    url.push_str(&fragment);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_is_asked() {
        let asked =
            Asked::read("sub1=a&source=news&url=https%3A%2F%2Fshop.example%2Fa%3Fb%3D1&exp=5&sig=x&utm=1");
        assert_eq!((asked.sub_ids.tags[0].as_ref(), asked.source.as_ref()), ("a", "news"));
        let page = asked.page.unwrap();
        assert_eq!(page.url, "https://shop.example/a?b=1");
        assert_eq!(
            (page.expires.as_deref(), page.signature.as_deref(), page.repeated),
            (Some("5"), Some("x"), false)
        );
        for query in ["url=a&url=b", "url=a&sig=x&sig=y", "exp=1&url=a&exp=2"] {
            assert!(Asked::read(query).page.unwrap().repeated, "{query}");
        }
        for query in ["", "sub1=a", "curl=1", "exp=1&sig=2", "source=%00"] {
            let asked = Asked::read(query);
            assert_eq!((asked.page, asked.source.as_ref()), (None, ""), "{query}");
        }
    }

    #[test]
    fn hands_on_what_nobody_knows() {
        let cases = [
            ("https://a.example/", "utm=x%20y", "https://a.example/?utm=x+y"),
            ("https://a.example/?b=1&id=I#top", "utm=x&b=2", "https://a.example/?b=1&id=I&utm=x#top"),
            (
                "https://a.example/?b=1",
                "sub1=a&url=x&sig=1&exp=2&source=s&gdpr=1&id=forged&=1&&",
                "https://a.example/?b=1",
            ),
            ("https://a.example/?b=1", "c=%0d%0aX: y&d=#e", "https://a.example/?b=1&c=%0D%0AX%3A+y&d=%23e"),
            ("https://a.example/?b=1", "c=%zz&d=1", "https://a.example/?b=1&d=1"),
            (
                "https://a.example/?a[b]=1&x%5fy=1",
                "a%5Bb%5D=2&x_y=2&z=3",
                "https://a.example/?a[b]=1&x%5fy=1&z=3",
            ),
        ];
        for (url, query, expected) in cases {
            let mut url = url.to_owned();
            pass_through(query, "id", &mut url, 8192);
            assert_eq!(url, expected, "{query}");
        }
        let mut url = "https://a.example/#top".to_owned();
        pass_through("long=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&s=1", "id", &mut url, 40);
        assert_eq!(url, "https://a.example/?s=1#top");
    }

    proptest! {
        #[test]
        fn what_is_handed_on_stays_in_the_query(query in "\\PC{0,80}") {
            let mut url = "https://a.example/p?b=1#top".to_owned();
            pass_through(&query, "id", &mut url, 8192);
            prop_assert!(url.is_ascii() && url.starts_with("https://a.example/p?b=1") && url.ends_with("#top"));
            let read = url::Url::parse(&url).unwrap();
            prop_assert_eq!((read.host_str(), read.path(), read.fragment()), (Some("a.example"), "/p", Some("top")));
            let _ = Asked::read(&query);
        }
    }
}
