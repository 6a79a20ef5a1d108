//! Why a hit was refused or set apart: stable codes for `X-Tributary-Reason`, events and counters.

use crate::facts::coded_enum;

coded_enum!(
    Reason {
        UnknownLink = 1 "unknown_link",
        UnknownAdvertiser = 2 "unknown_advertiser",
        MalformedQuery = 3 "malformed_query",
        MissingOrderId = 4 "missing_order_id",
        InvalidAmount = 5 "invalid_amount",
        InvalidCurrency = 6 "invalid_currency",
        InvalidClickId = 7 "invalid_click_id",
        BadToken = 8 "bad_token",
        FieldTooLong = 9 "field_too_long",
        BlockedByRule = 10 "blocked_by_rule",
        RateLimited = 11 "rate_limited",
        Duplicate = 12 "duplicate",
        BodyTooLarge = 13 "body_too_large",
        MethodNotAllowed = 14 "method_not_allowed",
        NotFound = 15 "not_found",
        SpoolUnavailable = 16 "spool_unavailable",
        NoSnapshot = 17 "no_snapshot",
        ParameterRepeated = 18 "parameter_repeated",
        UnsupportedMediaType = 19 "unsupported_media_type",
        /// The click was blocked by a rule, so the conversion cannot be credited to it.
        BlockedClick = 20 "blocked_click",
        /// A browser fetching ahead of a click that may never come.
        Prefetch = 21 "prefetch",
        HeadersTooLarge = 22 "headers_too_large",
        /// Not HTTP as RFC 9112 wants it.
        MalformedRequest = 23 "malformed_request",
        /// The link or its offer is switched off.
        InactiveLink = 24 "inactive_link",
        /// The request body did not arrive in time.
        RequestTimeout = 25 "request_timeout",
        /// A deep link leads to a host that the offer does not allow, or is no https page.
        DeepLinkNotAllowed = 26 "deep_link_not_allowed",
        /// The signature of a postback or of a deep link is missing, malformed or made with another key.
        BadSignature = 27 "bad_signature",
        /// A signed postback whose time is more than five minutes off; a signed deep link that is over.
        StaleTimestamp = 28 "stale_timestamp",
        /// A signed postback that came before.
        ReplayedNonce = 29 "replayed_nonce",
        /// A postback from an address that is not on the advertiser's list.
        ForbiddenAddress = 30 "forbidden_address",
        /// A status word that the advertiser's profile does not know.
        UnknownStatus = 31 "unknown_status",
        /// The link or the offer has ended.
        Expired = 32 "expired",
        /// The link was used as often as it may be.
        UsedUp = 33 "used_up",
        /// The offer takes no more clicks, conversions or money in this period.
        CapReached = 34 "cap_reached",
        /// The offer is for others: another country, device, hour.
        NotTargeted = 35 "not_targeted",
        /// Offers that fall back on each other in a circle.
        TooManyHops = 36 "too_many_hops",
        /// A program that shows links in a chat or a timeline.
        Preview = 37 "preview",
        /// A body that is not the JSON it should be.
        MalformedBody = 38 "malformed_body",
        /// A test, which is visible and moves no money.
        Test = 39 "test",
        /// The advertiser reports a sale that it does not accept.
        RejectedByAdvertiser = 40 "rejected_by_advertiser",
        /// What a page asked to be kept needs its visitor's consent.
        NoConsent = 41 "no_consent",
        /// A page that is none of the offer's.
        ForeignPage = 42 "foreign_page",
        /// A touch from a page that is none of the offer's, or that does not say from which page it is.
        ForeignTouch = 43 "foreign_touch",
    }
);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
