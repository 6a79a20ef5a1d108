use std::path::PathBuf;

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
