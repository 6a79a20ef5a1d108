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
    }
);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
