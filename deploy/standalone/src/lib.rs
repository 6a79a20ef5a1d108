//! The standalone node: control plane, edge and demo in one process, and the commands around them.

pub mod commands;
pub mod ctl;
pub mod database;
pub mod demo;
pub mod doctor;
pub mod error;
pub mod geo;
pub mod http_client;
pub mod local;
pub mod logging;
pub mod output;
pub mod seed;
pub mod signal;
pub mod up;
