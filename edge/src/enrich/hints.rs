//! What a browser says of itself beside its user agent: client hints of low entropy, and the language it prefers.

use proto_model::DeviceClass;
use std::borrow::Cow;

/// Longest primary language subtag (RFC 5646).
const LANGUAGE_MAX: usize = 8;

/// Headers as they came; empty = absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'r> {
    /// `Sec-CH-UA-Mobile`: `?1` or `?0`.
    pub mobile: &'r [u8],
    /// `Sec-CH-UA-Platform`: a quoted name.
    pub platform: &'r [u8],
    pub accept_language: &'r [u8],
    /// `ECT`: the effective connection type.
    pub ect: &'r [u8],
}

/// A browser on a phone may ask for the desktop page: its user agent then says desktop, its hint does not.
pub fn device(headers: Headers<'_>, by_agent: DeviceClass) -> DeviceClass {
    match (headers.mobile, by_agent) {
        (b"?1", DeviceClass::Unknown | DeviceClass::Desktop | DeviceClass::Other) => DeviceClass::Mobile,
        (b"?0", DeviceClass::Unknown) if !headers.platform.is_empty() => DeviceClass::Desktop,
        _ => by_agent,
    }
}

/// The operating system by its hint, in the words of the user agent's catalogue; `None` = no hint that is known.
pub fn os(headers: Headers<'_>) -> Option<&'static str> {
    let name = headers.platform.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    const KNOWN: &[(&[u8], &str)] = &[
        (b"Android", "Android"),
        (b"Chrome OS", "ChromeOS"),
        (b"Chromium OS", "ChromeOS"),
        (b"iOS", "iPhone"),
        (b"Linux", "Linux"),
        (b"macOS", "Mac OSX"),
        (b"Windows", "Windows"),
    ];
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, os)| *os)
}

/// The primary subtag of the language that is wanted most, in lower case: `zh` of `zh-CN,en;q=0.8`. Empty when there is
/// none.
pub fn language(accept: &[u8]) -> Cow<'_, str> {
    let accept = std::str::from_utf8(accept).unwrap_or_default();
    let mut best = ("", 0);
    for part in accept.split(',').take(16) {
        let mut fields = part.split(';');
        let tag = fields.next().unwrap_or_default().trim();
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        let weight = fields.find_map(|field| field.trim().strip_prefix("q=")).map_or(1000, thousandths);
        let is_language =
            (2..=LANGUAGE_MAX).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_alphabetic());
        if is_language && weight > best.1 {
            best = (primary, weight);
        }
    }
    match best.0.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(best.0.to_ascii_lowercase()),
        false => Cow::Borrowed(best.0),
    }
}

/// `0.85` is 850; what is no quality is none.
fn thousandths(text: &str) -> u32 {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let mut digits = fraction.bytes().chain(*b"000").take(3);
    let fraction = digits.try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')));
    match (whole, fraction) {
        ("0", Some(fraction)) => fraction,
        ("1", _) => 1000,
        _ => 0,
    }
}

/// `4g`, `3g`, `2g`, `slow-2g`; empty when the browser does not say.
pub fn connection(ect: &[u8]) -> &'static str {
    ["4g", "3g", "2g", "slow-2g"].into_iter().find(|known| known.as_bytes() == ect).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hints_refine_what_the_user_agent_says() {
        let headers = |mobile, platform| Headers { mobile, platform, ..Headers::default() };
        let cases: &[(Headers<'_>, DeviceClass, DeviceClass)] = &[
            (headers(b"", b""), DeviceClass::Desktop, DeviceClass::Desktop),
            (headers(b"?1", b"\"Android\""), DeviceClass::Desktop, DeviceClass::Mobile),
            (headers(b"?1", b""), DeviceClass::Tablet, DeviceClass::Tablet),
            (headers(b"?0", b"\"Windows\""), DeviceClass::Unknown, DeviceClass::Desktop),
            (headers(b"?0", b"\"Android\""), DeviceClass::Tablet, DeviceClass::Tablet),
            (headers(b"?1", b""), DeviceClass::Crawler, DeviceClass::Crawler),
            (headers(b"1", b""), DeviceClass::Desktop, DeviceClass::Desktop),
        ];
        for (headers, by_agent, expected) in cases {
            assert_eq!(device(*headers, *by_agent), *expected, "{headers:?}");
        }
        assert_eq!(os(headers(b"", b"\"macOS\"")), Some("Mac OSX"));
        for odd in [&b"macOS"[..], b"\"", b"\"\"", b"\"Plan 9\"", b""] {
            assert_eq!(os(headers(b"", odd)), None);
        }
    }

    #[test]
    fn the_language_wanted_most() {
        let cases: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"zh-CN,zh;q=0.9,en;q=0.8", "zh"),
            (b"en;q=0.5, ZH-Hans;q=0.95", "zh"),
            (b"de", "de"),
            (b"*", ""),
            (b"*,fr;q=0.1", "fr"),
            (b"en;q=0", ""),
            (b"en;q=banana,fr;q=0.3", "fr"),
            (b"en;q=1.0;x=1,fr", "en"),
            (b"x,toolonglanguage", ""),
            (b"\xff", ""),
        ];
        for (accept, expected) in cases {
            assert_eq!(language(accept), *expected, "{accept:?}");
        }
        assert_eq!((connection(b"4g"), connection(b"slow-2g"), connection(b"5g")), ("4g", "slow-2g", ""));
    }

    proptest! {
        #[test]
        fn any_header_has_a_language_or_none(accept: Vec<u8>) {
            let language = language(&accept);
            prop_assert!(language.len() <= LANGUAGE_MAX && language.bytes().all(|b| b.is_ascii_lowercase()));
        }
    }
}
