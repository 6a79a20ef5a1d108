//! Where a database file came from, and what its publisher wants to be said. It stands beside the file as
//! `FILE.json`.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// A name and version, or an address; never a secret.
    pub source: String,
    pub licence: Option<String>,
    /// To be shown where results are.
    pub attribution: Option<Attribution>,
    /// RFC 3339, UTC.
    pub fetched_at: String,
    /// Of the file, in lower hex.
    pub sha256: String,
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attribution {
    pub text: String,
    pub url: String,
}

impl About {
    pub fn path_for(database: &Path) -> PathBuf {
        with_more(database, ".json")
    }

    /// `None` where there is nothing that can be read: a database works without it.
    pub(crate) fn beside(database: &Path) -> Option<Self> {
        let text = std::fs::read(Self::path_for(database)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Somebody may have replaced the file by hand. The digest takes too long for every start.
    pub(crate) fn is_of(&self, file: &[u8]) -> bool {
        u64::try_from(file.len()) == Ok(self.bytes)
    }
}

pub(crate) fn with_more(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// Those whose terms are known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publisher {
    DbIp,
    MaxMind,
    IpInfo,
}

impl Publisher {
    /// By what the metadata calls the database.
    pub fn of_type(database_type: &str) -> Option<Self> {
        let known = [
            ("dbip", Self::DbIp),
            ("geolite2", Self::MaxMind),
            ("geoip2", Self::MaxMind),
            ("ipinfo", Self::IpInfo),
        ];
        let name = database_type.to_ascii_lowercase();
        known.into_iter().find(|(start, _)| name.starts_with(start)).map(|(_, publisher)| publisher)
    }

    pub fn licence(self) -> &'static str {
        match self {
            Self::DbIp => "CC BY 4.0",
            Self::MaxMind => "MaxMind's terms (GeoLite EULA, or your contract)",
            Self::IpInfo => "CC BY-SA 4.0",
        }
    }

    pub fn attribution(self) -> Attribution {
        let (text, url) = match self {
            Self::DbIp => ("IP Geolocation by DB-IP", "https://db-ip.com"),
            Self::MaxMind => {
                ("This product includes GeoLite Data created by MaxMind", "https://www.maxmind.com")
            }
            Self::IpInfo => ("IP address data is powered by IPinfo", "https://ipinfo.io"),
        };
        Attribution { text: text.to_owned(), url: url.to_owned() }
    }
}
