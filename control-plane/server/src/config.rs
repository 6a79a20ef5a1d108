//! What an operator decides about one control-plane process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys, certificates and (by default) the database.
    pub data_dir: PathBuf,
    /// `sqlite://path`; empty = `tributary.db` in the data directory.
    pub database: String,
    /// REST API and pages.
    pub api_listen: SocketAddr,
    /// Edges connect here.
    pub grpc_listen: SocketAddr,
    /// What edges are told to connect to, when that is not the address listened on.
    pub grpc_public_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("tributary-data/control-plane"),
            database: String::new(),
            api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            grpc_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            grpc_public_url: None,
        }
    }
}

impl Config {
    /// Everything under `data_dir`, on free loopback ports.
    pub fn local(data_dir: &Path) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { data_dir: data_dir.to_path_buf(), api_listen: free, grpc_listen: free, ..Self::default() }
    }

    pub fn database_url(&self) -> String {
        if self.database.is_empty() {
            format!("sqlite://{}", self.data_dir.join("tributary.db").display())
        } else {
            self.database.clone()
        }
    }

    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }
}
