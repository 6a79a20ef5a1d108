use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    #[error("cannot read the geo database {path}; check the path and its permissions")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not a sound MaxMind DB file; download it again")]
    Corrupt {
        path: PathBuf,
        #[source]
        source: maxminddb::MaxMindDbError,
    },
    /// An ASN database, most likely: it opens, and would make every country unknown.
    #[error("{path} is a `{database_type}` database and holds no countries; use a country or city database")]
    NoCountries { path: PathBuf, database_type: String },
    #[error("{path} is a `{database_type}` database and holds no autonomous systems; use an ASN database")]
    NoSystems { path: PathBuf, database_type: String },
}

impl GeoError {
    /// The path at which there is no file.
    pub fn missing(&self) -> Option<&Path> {
        match self {
            Self::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => Some(path),
            _ => None,
        }
    }
}
