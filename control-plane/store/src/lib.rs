//! All SQL of the control plane: catalog, fleet, journal, projection, intake, money.
//!
//! [`Store`] is concrete and cheap to clone. Reads run on a pool; every change is one transaction, on SQLite
//! one after the other, and its [`Signals`] fire after the commit. Every tenant-scoped function takes
//! the tenant first and cannot see another tenant's rows.
//!
//! Lists come newest first: [`Page::next`] goes back in as `after`.

mod aggregate;
pub mod alerts;
pub mod backup;
pub mod catalog;
mod claims;
mod click_batches;
pub mod click_leases;
mod clock;
mod clones;
mod codec;
pub mod commissions;
pub mod conversion_reports;
pub mod conversions;
mod days;
mod db;
pub mod deployment;
mod dialect;
pub mod doctor;
pub mod edge_reports;
pub mod erase;
mod error;
pub mod fleet;
pub mod gaps;
pub mod idempotency;
pub mod intake;
pub mod journal;
pub mod leases;
pub mod ledger;
pub mod money;
pub mod order_events;
pub mod outbox;
mod page;
pub mod place;
pub mod projection;
pub mod reports;
pub mod restore;
pub mod retention;
mod retry;
mod row;
mod schema;
mod signals;
mod slots;
mod sql;
pub mod statements;
mod trap;
mod trouble;
mod url;
pub mod verify;

pub use clock::CLOCKS_APART;
pub use db::Store;
pub use error::StoreError;
pub use page::Page;
pub use signals::{Signal, Signals};
pub use slots::Slots;
pub use trap::Dies;
pub use trouble::Trouble;
pub use url::{DatabaseUrl, NotADatabase};
