//! Settings: the defaults, then a TOML file, then the environment, then flags.

use crate::forward::ForwardConfig;
use crate::spool::{Durability, SpoolConfig, Window};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Every key with a comment and its default, for people to read and copy.
pub const DEFAULT_FILE: &str = include_str!("../edge.default.toml");

pub const ENV_PREFIX: &str = "TRIBUTARY_EDGE__";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    /// Connections to `listen` begin with a PROXY header.
    pub proxy_protocol: bool,
    /// HTTP/2 without TLS from everybody, not only from trusted proxies.
    pub h2c: bool,
    /// Metrics and the state of the node; `None` = nowhere.
    pub admin_listen: Option<SocketAddr>,
    pub tls: TlsConfig,
    /// 0 = one per core.
    pub workers: usize,
    pub max_connections: usize,
    /// How long hits are still accepted after `/readyz` began to say that the node stops.
    pub unready_secs: u64,
    /// Of one client address (IPv6: a /64).
    pub max_connections_per_ip: usize,
    pub trusted_proxies: Vec<IpNet>,
    /// Countries, and whatever else of a place it has.
    pub geo_database: Option<PathBuf>,
    /// Autonomous systems, when they are not in the other.
    pub geo_asn_database: Option<PathBuf>,
    /// Another address of the control plane than the join bundle's.
    pub control_plane_url: Option<String>,
    pub rate_limit: RateLimit,
    pub forward: ForwardConfig,
    pub spool: SpoolConfig,
}

/// TLS is on when there is a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    pub listen: SocketAddr,
    pub proxy_protocol: bool,
    /// Certificate chain and key, PEM.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub http3: bool,
    /// The port at which browsers reach `listen`; 0 = the same.
    pub public_port: u16,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            proxy_protocol: false,
            certificate: None,
            key: None,
            http3: true,
            public_port: 0,
        }
    }
}

impl TlsConfig {
    /// The files, when TLS is on.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        self.certificate.as_deref().zip(self.key.as_deref())
    }
}

/// Per client address. `per_second` 0 = no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub per_second: u32,
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("edge-data"),
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            proxy_protocol: false,
            h2c: false,
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 7302))),
            tls: TlsConfig::default(),
            workers: 0,
            max_connections: 20_000,
            max_connections_per_ip: 512,
            unready_secs: 0,
            trusted_proxies: Vec::new(),
            geo_database: None,
            geo_asn_database: None,
            control_plane_url: None,
            rate_limit: RateLimit::default(),
            forward: ForwardConfig::default(),
            spool: SpoolConfig::default(),
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { per_second: 500, burst: 2000 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not valid TOML", path.display())]
    Syntax {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("unknown setting `{key}` in {origin}{}", hint(*.nearest))]
    UnknownKey { key: String, origin: String, nearest: Option<&'static str> },
    #[error("setting `{key}` in {origin}: expected {expected}, found `{found}`")]
    Invalid { key: &'static str, origin: String, expected: &'static str, found: String },
    #[error("settings do not fit together: {0}")]
    Inconsistent(&'static str),
}

fn hint(nearest: Option<&'static str>) -> String {
    nearest.map(|key| format!(" (did you mean `{key}`?)")).unwrap_or_default()
}

impl Config {
    /// Layers `file`, `env` (all variables of the process; those without our prefix are left alone) and
    /// `flags` (key and text) over the defaults.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
            let table: Table =
                text.parse().map_err(|source| ConfigError::Syntax { path: path.into(), source })?;
            config.apply_table("", &table, &path.display().to_string())?;
        }
        for (name, text) in env {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            config.apply(&key, &Value::String(text), &format!("the environment variable {name}"))?;
        }
        for (key, text) in flags {
            config.apply(key, &Value::String(text), "the command line")?;
        }
        config.check()?;
        Ok(config)
    }

    /// The number of serving threads, with 0 resolved.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }

    fn apply_table(&mut self, prefix: &str, table: &Table, origin: &str) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) if is_section(&key) => self.apply_table(&key, inner, origin)?,
                value => self.apply(&key, value, origin)?,
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: &str, value: &Value, origin: &str) -> Result<(), ConfigError> {
        let Some(field) = KEYS.iter().find(|known| known.name == key) else {
            let (key, origin) = (key.to_owned(), origin.to_owned());
            return Err(ConfigError::UnknownKey { nearest: nearest(&key), key, origin });
        };
        (field.set)(self, value).ok_or_else(|| ConfigError::Invalid {
            key: field.name,
            origin: origin.to_owned(),
            expected: field.expected,
            found: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |why| Err(ConfigError::Inconsistent(why));
        if self.worker_count() > 1024 {
            return refuse("`workers` is above 1024 (one per core is best; 0 chooses that)");
        }
        if self.max_connections == 0 || self.max_connections_per_ip == 0 {
            return refuse("`max_connections` or `max_connections_per_ip` is 0, which turns everybody away");
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return refuse("`tls.certificate` and `tls.key` belong together: give both files, or neither");
        }
        if (self.proxy_protocol || self.tls.proxy_protocol) && self.trusted_proxies.is_empty() {
            return refuse(
                "`proxy_protocol` is on, but `trusted_proxies` is empty: PROXY headers are taken from \
                 trusted proxies only, so nobody could connect",
            );
        }
        if self.rate_limit.per_second > 0 && self.rate_limit.burst == 0 {
            return refuse(
                "`rate_limit.burst` is 0, which refuses everything (1 or more, or set \
                 `rate_limit.per_second` to 0 for no limit)",
            );
        }
        if self.spool.segment_bytes < 1 << 20 {
            return refuse("`spool.segment_bytes` is below 1 MiB (1048576)");
        }
        if self.spool.max_bytes < self.spool.segment_bytes.saturating_mul(4) {
            return refuse("`spool.max_bytes` is below four segments (4 x `spool.segment_bytes`)");
        }
        let Window { window_ms, window_hits } = self.spool.bounded;
        if !(1..=Window::MS_MAX).contains(&window_ms) || !(1..=Window::HITS_MAX).contains(&window_hits) {
            return refuse(
                "`spool.bounded.window_ms` goes from 1 to 1000, `spool.bounded.window_hits` from 1 to 16384",
            );
        }
        Ok(())
    }
}

struct Key {
    name: &'static str,
    expected: &'static str,
    set: fn(&mut Config, &Value) -> Option<()>,
}

const KEYS: &[Key] = &[
    Key { name: "data_dir", expected: "a directory", set: |c, v| set(&mut c.data_dir, path(v)) },
    Key {
        name: "listen",
        expected: "an address and port such as 0.0.0.0:8080 or [::]:8080",
        set: |c, v| set(&mut c.listen, v.as_str()?.trim().parse().ok()),
    },
    Key {
        name: "proxy_protocol",
        expected: "true or false",
        set: |c, v| set(&mut c.proxy_protocol, boolean(v)),
    },
    Key { name: "h2c", expected: "true or false", set: |c, v| set(&mut c.h2c, boolean(v)) },
    Key {
        name: "admin_listen",
        expected: "an address and port such as 127.0.0.1:7302, or off",
        set: |c, v| set(&mut c.admin_listen, address_or_off(v)),
    },
    Key {
        name: "tls.listen",
        expected: "an address and port such as 0.0.0.0:8443",
        set: |c, v| set(&mut c.tls.listen, v.as_str()?.trim().parse().ok()),
    },
    Key {
        name: "tls.certificate",
        expected: "the path of a PEM file: the certificate, then its chain",
        set: |c, v| set(&mut c.tls.certificate, path(v).map(Some)),
    },
    Key {
        name: "tls.key",
        expected: "the path of a PEM file",
        set: |c, v| set(&mut c.tls.key, path(v).map(Some)),
    },
    Key {
        name: "tls.proxy_protocol",
        expected: "true or false",
        set: |c, v| set(&mut c.tls.proxy_protocol, boolean(v)),
    },
    Key { name: "tls.http3", expected: "true or false", set: |c, v| set(&mut c.tls.http3, boolean(v)) },
    Key {
        name: "tls.public_port",
        expected: "a port (0 = that of `tls.listen`)",
        set: |c, v| set(&mut c.tls.public_port, number(v)),
    },
    Key { name: "workers", expected: "a whole number", set: |c, v| set(&mut c.workers, number(v)) },
    Key {
        name: "max_connections",
        expected: "a whole number",
        set: |c, v| set(&mut c.max_connections, number(v)),
    },
    Key {
        name: "max_connections_per_ip",
        expected: "a whole number",
        set: |c, v| set(&mut c.max_connections_per_ip, number(v)),
    },
    Key {
        name: "unready_secs",
        expected: "a number of seconds",
        set: |c, v| set(&mut c.unready_secs, number(v)),
    },
    Key {
        name: "trusted_proxies",
        expected: "networks such as 10.0.0.0/8 (a list; in a variable or flag, separated by commas)",
        set: |c, v| set(&mut c.trusted_proxies, networks(v)),
    },
    Key {
        name: "geo_database",
        expected: "the path of an MMDB file",
        set: |c, v| set(&mut c.geo_database, path(v).map(Some)),
    },
    Key {
        name: "geo_asn_database",
        expected: "the path of an MMDB file",
        set: |c, v| set(&mut c.geo_asn_database, path(v).map(Some)),
    },
    Key {
        name: "control_plane_url",
        expected: "an address such as https://control.example:7303",
        set: |c, v| set(&mut c.control_plane_url, v.as_str().map(|url| Some(url.to_owned()))),
    },
    Key {
        name: "rate_limit.per_second",
        expected: "a whole number (0 = no limit)",
        set: |c, v| set(&mut c.rate_limit.per_second, number(v)),
    },
    Key {
        name: "rate_limit.burst",
        expected: "a whole number",
        set: |c, v| set(&mut c.rate_limit.burst, number(v)),
    },
    Key {
        name: "forward.declare_gap_after_secs",
        expected: "a number of seconds",
        set: |c, v| set(&mut c.forward.declare_gap_after_secs, number(v)),
    },
    Key {
        name: "spool.max_bytes",
        expected: "a number of bytes",
        set: |c, v| set(&mut c.spool.max_bytes, number(v)),
    },
    Key {
        name: "spool.segment_bytes",
        expected: "a number of bytes",
        set: |c, v| set(&mut c.spool.segment_bytes, number(v)),
    },
    Key {
        name: "spool.retain_secs",
        expected: "a number of seconds",
        set: |c, v| set(&mut c.spool.retain_secs, number(v)),
    },
    Key {
        name: "spool.retain_bytes",
        expected: "a number of bytes",
        set: |c, v| set(&mut c.spool.retain_bytes, number(v)),
    },
    Key {
        name: "spool.durability",
        expected: "strict or bounded",
        set: |c, v| set(&mut c.spool.durability, durability(v)),
    },
    Key {
        name: "spool.bounded.window_ms",
        expected: "a number of milliseconds",
        set: |c, v| set(&mut c.spool.bounded.window_ms, number(v)),
    },
    Key {
        name: "spool.bounded.window_hits",
        expected: "a whole number",
        set: |c, v| set(&mut c.spool.bounded.window_hits, number(v)),
    },
];

fn set<T>(field: &mut T, value: Option<T>) -> Option<()> {
    *field = value?;
    Some(())
}

fn path(value: &Value) -> Option<PathBuf> {
    value.as_str().filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(value) => Some(*value),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn durability(value: &Value) -> Option<Durability> {
    match value.as_str()?.trim() {
        "strict" => Some(Durability::Strict),
        "bounded" => Some(Durability::Bounded),
        _ => None,
    }
}

fn address_or_off(value: &Value) -> Option<Option<SocketAddr>> {
    match value.as_str()?.trim() {
        "off" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

fn number<N: TryFrom<i64>>(value: &Value) -> Option<N> {
    let number = match value {
        Value::Integer(number) => *number,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    N::try_from(number).ok()
}

fn networks(value: &Value) -> Option<Vec<IpNet>> {
    match value {
        Value::Array(items) => items.iter().map(|item| network(item.as_str()?)).collect(),
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect()
        }
        _ => None,
    }
}

/// A bare address is a network of one.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| IpNet::from(ip)))
}

fn is_section(key: &str) -> bool {
    KEYS.iter().any(|known| known.name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// The known key with the smallest edit distance, when that is small enough to be a slip of the hand.
fn nearest(key: &str) -> Option<&'static str> {
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    KEYS.iter()
        .map(|known| (distance(key, known.name).min(distance(key, last(known.name))), known.name))
        .min()
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .map(|(_, name)| name)
}

/// Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
