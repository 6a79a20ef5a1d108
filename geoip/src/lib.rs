//! Country, region, city and autonomous system of an address, from MaxMind DB files that can be replaced while hits
//! are served; and what makes such files, checks them and puts them in place.
//!
//! Whatever is missing (no database, no record, a private address, a damaged record) means
//! [`Country::UNKNOWN`](proto_model::Country::UNKNOWN): geography never costs a click.

mod about;
mod cache;
pub mod check;
mod database;
mod error;
mod geo;
pub mod install;
pub mod merge;
mod place;
pub mod ranges;
mod survey;
pub mod testing;
pub mod writer;

pub use about::{About, Attribution, Publisher};
pub use database::GeoDatabase;
pub use error::GeoError;
pub use geo::{Files, Geo};
pub use place::{Facts, Place};
pub use survey::Survey;
