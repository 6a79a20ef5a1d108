//! On what the requests travel.

use std::fmt;
use std::str::FromStr;

/// With an `https://` address all are inside TLS 1.3; `Resumed` and `H3` do without it nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transport {
    /// HTTP/1.1 on connections that stay open.
    #[default]
    H1,
    /// HTTP/1.1, a new connection for each request; in TLS with a full handshake.
    Each,
    /// The same, and each TLS session goes on from an earlier one.
    Resumed,
    /// HTTP/2, several requests at once on connections that stay open; without TLS by prior knowledge.
    H2,
    /// HTTP/3, several requests at once on connections that stay open.
    H3,
}

const NAMES: [(&str, Transport); 5] = [
    ("h1", Transport::H1),
    ("each", Transport::Each),
    ("resumed", Transport::Resumed),
    ("h2", Transport::H2),
    ("h3", Transport::H3),
];

impl Transport {
    pub(super) fn needs_tls(self) -> bool {
        matches!(self, Self::Resumed | Self::H3)
    }

    /// A connection is for one request.
    pub(super) fn hangs_up(self) -> bool {
        matches!(self, Self::Each | Self::Resumed)
    }

    pub(super) fn is_multiplexed(self) -> bool {
        matches!(self, Self::H2 | Self::H3)
    }

    /// Its name in the TLS handshake.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 | Self::Each | Self::Resumed => b"http/1.1",
            Self::H2 => b"h2",
            Self::H3 => b"h3",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, transport)| transport == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Transport {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, transport)| *transport).ok_or("h1, each, resumed, h2 or h3")
    }
}
