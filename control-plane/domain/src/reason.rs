//! Every reason the domain gives, as stable texts. Status and reason are two fields, always.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        $($(#[$doc])* pub const $name: &str = $text;)+

        /// All of them, each once.
        pub const ALL: &[&str] = &[$($text),+];
    };
}

reasons! {
    // Of a candidate.
    WON = "won",
    /// Could have won, but a later click did.
    OLDER = "older",
    /// Could have won, but an earlier click did: by its terms the first one wins.
    NEWER = "newer",
    /// Has a part of the credit beside the winner.
    SHARED = "shared",
    /// Could have had a part of the credit, but by the model of the terms nothing falls to it.
    NO_SHARE = "no_share",
    /// Could have won as the later click, but only a page vouches for it, and for the winner somebody better does.
    UNVOUCHED = "unvouched",
    OUTSIDE_WINDOW = "outside_window",
    AFTER_CONVERSION = "after_conversion",
    BLOCKED = "blocked",
    TEST = "test",
    /// Of an offer that had no terms in force when it was clicked.
    NO_TERMS = "no_terms",
    OTHER_TENANT = "other_tenant",
    /// Named by a report that a higher authority overruled.
    SUPERSEDED = "superseded",

    // Of a conversion that nobody is credited with (and some of the above).
    NO_CLICK = "no_click",
    BLOCKED_CLICK = "blocked_click",
    TEST_CLICK = "test_click",
    /// The offer pays nothing for this goal. Also of a candidate.
    UNKNOWN_GOAL = "unknown_goal",

    // Of a conflict.
    AMOUNT_DIFFERS = "amount_differs",
    CURRENCY_DIFFERS = "currency_differs",
    CLICK_DIFFERS = "click_differs",
    COUPON_DIFFERS = "coupon_differs",
    /// Negative, above 10^15 minor units, or in no currency.
    INVALID_AMOUNT = "invalid_amount",

    // Of a pending commission.
    AWAITING_AMOUNT = "awaiting_amount",
    AWAITING_CONFIRMATION = "awaiting_confirmation",
    AWAITING_DELIVERY = "awaiting_delivery",
    AWAITING_HOLD = "awaiting_hold",

    // Of a payout.
    PERIOD_CLOSED = "period_closed",

    // Of an approved commission.
    DELIVERED = "delivered",
    HOLD_ELAPSED = "hold_elapsed",
    NO_HOLD = "no_hold",

    // Of a commission that was undone.
    CANCELLED = "cancelled",
    CHARGED_BACK = "charged_back",
    REFUNDED = "refunded",
    RETURNED = "returned",
    /// A higher authority named another click, and that one earns nothing.
    NOT_CREDITED = "not_credited",
    /// The commission would be outside what the ledger takes.
    COMMISSION_OUT_OF_RANGE = "commission_out_of_range",
}

/// The constant with this text: how a stored reason becomes one again.
pub fn parse(text: &str) -> Option<&'static str> {
    ALL.iter().find(|known| **known == text).copied()
}
