//! How long a text may be in an event, in bytes of UTF-8. An edge checks what it takes from a request
//! against these limits; the control plane refuses a batch whose events exceed them.

use std::borrow::Cow;

pub const ORDER_ID_MAX: usize = 128;
pub const GOAL_MAX: usize = 64;
pub const EVENT_ID_MAX: usize = 128;
pub const COUPON_MAX: usize = 64;
pub const CUSTOMER_ID_MAX: usize = 128;
/// A random number of a site, or whatever the site calls its visitors.
pub const VISITOR_ID_MAX: usize = 64;
pub const SUB_ID_MAX: usize = 256;
pub const SUB_IDS: usize = 8;
pub const USER_AGENT_MAX: usize = 512;
pub const REFERRER_MAX: usize = 1024;
pub const IP_PREFIX_MAX: usize = 64;
pub const OS_MAX: usize = 64;
pub const BROWSER_MAX: usize = 64;
pub const REGION_MAX: usize = 64;
pub const CITY_MAX: usize = 64;
pub const LANGUAGE_MAX: usize = 8;
pub const CONNECTION_MAX: usize = 8;
pub const RULE_ID_MAX: usize = 64;

/// One encoded event, and all sidecar entries of one event, stay below these. The texts above add up
/// to less, so only a peer that ignores them reaches these limits.
pub const EVENT_LEN_MAX: usize = 4 * 1024;
pub const SIDECAR_ENTRY_LEN_MAX: usize = 4 * 1024;

/// True when `text` may stand in an event as it is: not empty, not too long, no control characters
/// (a database may refuse NUL, a terminal or a log obeys the others).
pub fn fits(text: &str, max: usize) -> bool {
    !text.is_empty() && fits_or_empty(text, max)
}

/// As [`fits`], but empty is fine too.
pub fn fits_or_empty(text: &str, max: usize) -> bool {
    text.len() <= max && (is_plain(text.as_bytes()) || !text.chars().any(char::is_control))
}

/// Printable ASCII: what nearly every text is. Looking at all of it without a branch is quicker than to stop early.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & (0x20..0x7f).contains(byte))
}

/// The nearest text that [`fits_or_empty`]: control characters become spaces, the end is cut at a
/// character boundary. For texts that describe a hit (a user agent, a referrer), never for ids.
pub fn clean(text: &str, max: usize) -> Cow<'_, str> {
    if fits_or_empty(text, max) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_at_characters() {
        assert_eq!(clean("中文", 4), "中");
        assert_eq!(clean("a\0b\nc", 4), "a b ");
        assert!(matches!(clean("plain", 5), Cow::Borrowed("plain")));
        assert!(!fits("", 5) && fits_or_empty("", 5) && !fits("a\u{7f}", 5) && !fits("abcdef", 5));
    }

    proptest! {
        #[test]
        fn what_was_cleaned_fits(text in any::<String>(), max in 0usize..40) {
            prop_assert!(fits_or_empty(&clean(&text, max), max));
        }
    }
}
