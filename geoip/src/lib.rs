//! Country of an address, from a MaxMind DB file that can be replaced while hits are served.
//!
//! Whatever is missing (no database, no record, a private address, a damaged record) means
//! [`Country::UNKNOWN`](proto_model::Country::UNKNOWN): geography never costs a click.

mod database;
mod error;
mod geo;
pub mod testing;

pub use database::GeoDatabase;
pub use error::GeoError;
pub use geo::Geo;
