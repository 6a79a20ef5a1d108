//! How a click goes on: words that the control plane writes and the edge acts on.

use crate::facts::coded_enum;

coded_enum!(
    /// How the browser is sent to the landing page.
    RedirectKind {
        Found = 1 "found",
        /// 301. Browsers keep it, and then come without asking: for links that are not counted click by click.
        Moved = 2 "moved",
        /// 307: the method is kept.
        Temporary = 3 "temporary",
        /// A page that refreshes to the landing page.
        Meta = 4 "meta",
        /// A page whose script goes to the landing page.
        Js = 5 "js",
        /// A page that goes on without telling the landing page where the shopper came from.
        NoReferrer = 6 "no_referrer",
    }
);

coded_enum!(
    /// Why an offer takes no clicks although nobody has switched it off for good.
    PauseReason {
        ByHand = 1 "by_hand",
        /// As many conversions as its terms allow.
        ConversionCap = 2 "conversion_cap",
        /// As much money as its terms allow.
        SpendCap = 3 "spend_cap",
    }
);

/// What a messenger or a social network shows of a link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preview {
    pub title: String,
    pub description: String,
    /// An absolute https URL; empty = no picture.
    pub image: String,
}

pub const PREVIEW_TITLE_MAX: usize = 120;
pub const PREVIEW_DESCRIPTION_MAX: usize = 300;

/// The path of a vanity link, `https://go.example/{slug}`: 1-64 of `a-z`, `0-9`, `-`, `_`, `.`, beginning with
/// a letter or digit.
pub fn is_slug(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let allowed = |b: u8| plain(b) || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len())
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(plain)
        && !RESERVED.contains(&text)
}

/// First segments of paths that an edge serves itself, or that the web has given a meaning.
const RESERVED: [&str; 12] = [
    "c",
    "p",
    "v",
    "i",
    "t.js",
    "postback",
    "livez",
    "readyz",
    "metrics",
    "robots.txt",
    "favicon.ico",
    "sitemap.xml",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_and_leave_our_paths_alone() {
        for slug in ["robots", "a", "spring-sale_2026", "v1.2", "0"] {
            assert!(is_slug(slug), "{slug}");
        }
        let long = "a".repeat(65);
        for slug in ["", "-a", ".well-known", "A", "a/b", "a b", "ä", "postback", "c", "robots.txt", &long] {
            assert!(!is_slug(slug), "{slug}");
        }
    }

    #[test]
    fn codes_read_back() {
        for kind in RedirectKind::ALL {
            assert_eq!(RedirectKind::from_code(kind.code()), Some(*kind));
            assert_eq!(RedirectKind::parse(kind.as_str()), Some(*kind));
        }
        for reason in PauseReason::ALL {
            assert_eq!(PauseReason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(
            (RedirectKind::from_code(0), PauseReason::from_code(0)),
            (None, None),
            "0 stands for absent"
        );
    }
}
