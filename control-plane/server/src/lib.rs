//! The control plane: use cases, the gRPC service of the edges, the REST API, background work.
//!
//! [`start`] opens the store and the keys, binds both listeners and runs everything until
//! [`ControlPlane::shutdown`]. The use cases live in [`app`]; gRPC and REST only translate.

pub mod app;
pub mod ca;
pub mod config;
pub mod error;
pub mod grpc;
pub mod jobs;
mod listen;
pub mod live;
pub mod rest;
mod start;
pub mod supervise;

pub use app::App;
pub use config::{Config, GeoCredit};
pub use control_plane_store::DatabaseUrl;
pub use error::AppError;
pub use start::{ControlPlane, StartError, start};
