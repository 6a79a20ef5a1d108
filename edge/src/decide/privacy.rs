//! What may be kept of a hit: what the browser asks for, and what the page says its visitor has agreed to.
//!
//! Whoever asks for less gets less: a hit of [`Privacy::Reduced`] is counted and can be paid for, but neither address,
//! user agent nor referrer is stored with it, no customer or visitor, and of the place no more than the country.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use proto_model::event::Privacy;

/// Of the rules below, recorded with every hit: a change of what they keep gets the next number.
pub const POLICY: u32 = 1;

/// Purposes of the Transparency and Consent Framework that counting a visitor rests on: to store something on a
/// device, and to measure advertising.
const TCF_PURPOSES: [usize; 2] = [1, 7];

/// Where the 24 purposes with consent begin in the core segment of a TCF 2 string, in bits.
const TCF_CONSENTS_AT: usize = 152;

/// What headers and parameters say, most of them nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signals<'r> {
    /// `Sec-GPC`.
    pub gpc: Option<&'r [u8]>,
    /// `DNT`, which some browsers still send.
    pub dnt: Option<&'r [u8]>,
    /// `consent`: 1 or `granted`, 0 or `denied`.
    pub consent: Option<&'r str>,
    /// `gdpr`: 1 when the visitor is under it.
    pub gdpr: Option<&'r str>,
    /// `gdpr_consent`: a TCF 2 string.
    pub gdpr_consent: Option<&'r str>,
    /// `us_privacy`: `1YNN` and its like.
    pub us_privacy: Option<&'r str>,
}

impl Signals<'_> {
    /// A refusal anywhere outweighs consent elsewhere; what cannot be read where consent is needed is none.
    pub fn privacy(&self) -> Privacy {
        let asks = |header: Option<&[u8]>| header.is_some_and(|value| value.trim_ascii() == b"1");
        let refused = asks(self.gpc)
            || asks(self.dnt)
            || self.consent.and_then(answer) == Some(false)
            || self.us_privacy.is_some_and(opted_out)
            || (self.gdpr == Some("1") && !self.agreed());
        if refused { Privacy::Reduced } else { Privacy::Full }
    }

    fn agreed(&self) -> bool {
        match self.gdpr_consent {
            Some(text) if !text.is_empty() => tcf_agrees(text),
            _ => self.consent.and_then(answer) == Some(true),
        }
    }
}

/// What an advertiser's own parameter says; `None` when it is no answer that is known.
pub fn answer(text: &str) -> Option<bool> {
    match text {
        "1" | "granted" | "true" | "yes" => Some(true),
        "0" | "denied" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// What the `text` of a query or a form says in parameters that an advertiser has named: what is no plain yes keeps
/// less.
pub fn said_as(names: &[String], text: &str) -> Privacy {
    let is_refusal = |(name, value): super::params::Pair<'_>| {
        names.iter().any(|known| *known == name) && answer(&value) != Some(true)
    };
    let refused = !names.is_empty() && super::params::pairs(text).flatten().any(is_refusal);
    if refused { Privacy::Reduced } else { Privacy::Full }
}

/// Who asks for less anywhere gets less.
pub fn least(all: impl IntoIterator<Item = Privacy>) -> Privacy {
    let reduced = all.into_iter().any(|privacy| privacy != Privacy::Full);
    if reduced { Privacy::Reduced } else { Privacy::Full }
}

/// What a request says, in its headers and in its query.
pub fn asked_for(gpc: Option<&[u8]>, dnt: Option<&[u8]>, query: &str) -> Privacy {
    let mut signals = Signals { gpc, dnt, ..Signals::default() };
    // Hardly any query says anything.
    if !["consent", "gdpr", "us_privacy"].iter().any(|name| query.contains(name)) {
        return signals.privacy();
    }
    let said: Vec<_> = super::params::pairs(query).flatten().collect();
    let value = |wanted: &str| said.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
    signals.consent = value("consent");
    signals.gdpr = value("gdpr");
    signals.gdpr_consent = value("gdpr_consent");
    signals.us_privacy = value("us_privacy");
    signals.privacy()
}

/// The third character: `Y` = opted out of sale.
fn opted_out(us_privacy: &str) -> bool {
    us_privacy.as_bytes().get(2).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'Y'))
}

/// Whether the core segment of a TCF string of version 2 has consent for all of [`TCF_PURPOSES`].
fn tcf_agrees(text: &str) -> bool {
    let core = text.split('.').next().unwrap_or_default();
    // The beginning is enough; 40 characters are 30 bytes, and the consents end with the 22nd.
    let head = core.get(..40).unwrap_or(core);
    let head = head.get(..head.len() - head.len() % 4).unwrap_or_default();
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(head) else { return false };
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let version = (0..6).fold(0, |version, at| version << 1 | u8::from(bit(at)));
    version == 2 && TCF_PURPOSES.iter().all(|purpose| bit(TCF_CONSENTS_AT + purpose - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A core segment of version 2 with consent for these purposes.
    fn tcf(version: u8, purposes: &[usize]) -> String {
        let mut bytes = [0u8; 30];
        bytes[0] = version << 2;
        for purpose in purposes {
            let at = TCF_CONSENTS_AT + purpose - 1;
            bytes[at / 8] |= 1 << (7 - at % 8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn whoever_asks_for_less_gets_less() {
        let (all, some, old) = (tcf(2, &[1, 2, 7]), tcf(2, &[1, 2, 3]), tcf(1, &[1, 7]));
        let vendors =
            format!("{all}.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAA");
        let none = Signals::default();
        let gdpr = Signals { gdpr: Some("1"), ..none };
        let cases = [
            (none, Privacy::Full),
            (Signals { gpc: Some(b"1"), ..none }, Privacy::Reduced),
            (Signals { gpc: Some(b" 1 "), consent: Some("1"), ..none }, Privacy::Reduced),
            (Signals { gpc: Some(b"0"), ..none }, Privacy::Full),
            (Signals { dnt: Some(b"1"), ..none }, Privacy::Reduced),
            (Signals { consent: Some("denied"), ..none }, Privacy::Reduced),
            (Signals { consent: Some("granted"), ..none }, Privacy::Full),
            (Signals { us_privacy: Some("1YYN"), ..none }, Privacy::Reduced),
            (Signals { us_privacy: Some("1YNN"), ..none }, Privacy::Full),
            (Signals { us_privacy: Some("1-"), ..none }, Privacy::Full),
            (gdpr, Privacy::Reduced),
            (Signals { consent: Some("1"), ..gdpr }, Privacy::Full),
            (Signals { gdpr_consent: Some(&all), ..gdpr }, Privacy::Full),
            (Signals { gdpr_consent: Some(&vendors), ..gdpr }, Privacy::Full),
            (Signals { gdpr_consent: Some(&some), ..gdpr }, Privacy::Reduced),
            (Signals { gdpr_consent: Some(&old), ..gdpr }, Privacy::Reduced),
            (Signals { gdpr_consent: Some("garbage!"), consent: Some("1"), ..gdpr }, Privacy::Reduced),
            (Signals { gdpr_consent: Some(&some), gdpr: Some("0"), ..none }, Privacy::Full),
        ];
        for (signals, expected) in cases {
            assert_eq!(signals.privacy(), expected, "{signals:?}");
        }
    }

    #[test]
    fn a_request_is_asked_for_all_of_it() {
        let cases = [
            ("", None, Privacy::Full),
            ("sub1=consent", None, Privacy::Full),
            ("", Some(&b"1"[..]), Privacy::Reduced),
            ("consent=denied", None, Privacy::Reduced),
            ("gdpr=1", None, Privacy::Reduced),
            ("gdpr=1&consent=1", None, Privacy::Full),
            ("gdpr=%31&consent=%30", None, Privacy::Reduced),
            ("us_privacy=1YYN&consent=1", None, Privacy::Reduced),
        ];
        for (query, gpc, expected) in cases {
            assert_eq!(asked_for(gpc, None, query), expected, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text in "\\PC{0,80}") {
            let _ = tcf_agrees(&text);
            let _ = Signals { us_privacy: Some(&text), ..Signals::default() }.privacy();
        }
    }
}
