//! What partners and operators are told, as rows of the outbox.

pub const CONVERSION_ATTRIBUTED: &str = "conversion.attributed";
pub const COMMISSION_AMENDED: &str = "commission.amended";
pub const COMMISSION_APPROVED: &str = "commission.approved";
pub const COMMISSION_REVERSED: &str = "commission.reversed";
pub const COMMISSION_CLAWED_BACK: &str = "commission.clawed_back";
pub const COMMISSION_RESTORED: &str = "commission.restored";
pub const PAYOUT_CREATED: &str = "payout.created";

pub const KINDS: &[&str] = &[
    CONVERSION_ATTRIBUTED,
    COMMISSION_AMENDED,
    COMMISSION_APPROVED,
    COMMISSION_REVERSED,
    COMMISSION_CLAWED_BACK,
    COMMISSION_RESTORED,
    PAYOUT_CREATED,
];
