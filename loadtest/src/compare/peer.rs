//! `name=url,pid[+pid...]`.

use http::Uri;
use std::str::FromStr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    pub name: String,
    pub url: Uri,
    /// The processes that answer; their CPU time is summed up.
    pub pids: Vec<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not name=url,pid (several processes: pid+pid)")]
pub struct PeerError(String);

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let parts = || {
            let (name, rest) = text.split_once('=')?;
            let (url, pids) = rest.rsplit_once(',')?;
            let pids: Option<Vec<u32>> = pids.split('+').map(|pid| pid.parse().ok()).collect();
            Some(Self { name: name.to_owned(), url: url.parse().ok()?, pids: pids? })
        };
        parts().filter(|peer| !peer.name.is_empty()).ok_or_else(|| PeerError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read() {
        let peer: Peer = "edge=http://127.0.0.1:8080/p/a.gif?order_id={n}&coupon=a,b,17+18".parse().unwrap();
        assert_eq!((peer.name.as_str(), peer.pids.as_slice()), ("edge", &[17, 18][..]));
        assert_eq!(peer.url.query(), Some("order_id={n}&coupon=a,b"));
        for wrong in ["", "edge", "edge=http://x/", "edge=http://x/,", "=http://x/,1", "edge=http://x/,1+"] {
            assert_eq!(wrong.parse::<Peer>(), Err(PeerError(wrong.to_owned())), "{wrong}");
        }
    }
}
