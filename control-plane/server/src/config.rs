//! What an operator decides about one control-plane process.

use control_plane_store::DatabaseUrl;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys, certificates and (by default) the database.
    pub data_dir: PathBuf,
    /// `None` = an embedded one, `tributary.db` in the data directory.
    pub database: Option<DatabaseUrl>,
    /// REST API and pages.
    pub api_listen: SocketAddr,
    /// Edges connect here.
    pub grpc_listen: SocketAddr,
    /// What edges are told to connect to, when that is not the address listened on.
    pub grpc_public_url: Option<String>,
    /// Days of the journal that are kept, and with them the personal values of clicks and conversions; `None` =
    /// all of them, for ever.
    pub keep_journal_days: Option<u32>,
    /// Days of the hourly roll-ups that are kept; `None` = all of them, for ever.
    pub keep_rollup_days: Option<u32>,
    /// How long an edge that is cut off goes on with its shares of click caps: from 1 second to a day.
    pub click_lease_secs: u32,
    /// What publishers of the edges' geo databases want to be said where countries are shown.
    pub geo_credits: Vec<GeoCredit>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeoCredit {
    pub text: String,
    pub url: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("tributary-data/control-plane"),
            database: None,
            api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            grpc_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            grpc_public_url: None,
            keep_journal_days: None,
            keep_rollup_days: None,
            click_lease_secs: 120,
            geo_credits: Vec::new(),
        }
    }
}

impl Config {
    /// Everything under `data_dir`, on free loopback ports.
    pub fn local(data_dir: &Path) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { data_dir: data_dir.to_path_buf(), api_listen: free, grpc_listen: free, ..Self::default() }
    }

    pub fn database_url(&self) -> DatabaseUrl {
        let embedded =
            || DatabaseUrl::Sqlite(format!("sqlite://{}", self.data_dir.join("tributary.db").display()));
        self.database.clone().unwrap_or_else(embedded)
    }

    /// Within its bounds.
    pub fn click_lease(&self) -> Duration {
        Duration::from_secs(self.click_lease_secs.clamp(1, 86_400).into())
    }

    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }
}
