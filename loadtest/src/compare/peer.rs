//! `name[:option...]=url,pid[+pid...]`.

use crate::requests::Crowd;
use crate::run::Transport;
use http::Uri;
use std::str::FromStr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    pub name: String,
    pub transport: Transport,
    /// If not that of the whole comparison.
    pub crowd: Option<Crowd>,
    pub url: Uri,
    /// The processes that answer; their CPU time is summed up.
    pub pids: Vec<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is not name[:option...]=url,pid (several processes: pid+pid; options: h1, each, resumed, h2, h3; \
     direct, passing, regulars, flood)"
)]
pub struct PeerError(String);

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let peer = || {
            let (name, rest) = text.split_once('=')?;
            let (url, pids) = rest.rsplit_once(',')?;
            let pids: Option<Vec<u32>> = pids.split('+').map(|pid| pid.parse().ok()).collect();
            let mut options = name.split(':');
            let name = options.next().filter(|name| !name.is_empty())?.to_owned();
            let (transport, crowd) = (Transport::default(), None);
            let mut peer = Self { name, transport, crowd, url: url.parse().ok()?, pids: pids? };
            options.try_for_each(|option| peer.set(option))?;
            Some(peer)
        };
        peer().ok_or_else(|| PeerError(text.to_owned()))
    }
}

impl Peer {
    fn set(&mut self, option: &str) -> Option<()> {
        match (option.parse(), option.parse()) {
            (Ok(transport), _) => self.transport = transport,
            (_, Ok(crowd)) => self.crowd = Some(crowd),
            _ => return None,
        }
        Some(())
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
        assert_eq!((peer.transport, peer.crowd), (Transport::H1, None));
        let peer: Peer = "edge:h2:flood=https://localhost/,1".parse().unwrap();
        assert_eq!(
            (peer.name.as_str(), peer.transport, peer.crowd),
            ("edge", Transport::H2, Some(Crowd::Flood))
        );
        for wrong in [
            "",
            "edge",
            "edge=http://x/",
            "edge=http://x/,",
            "=http://x/,1",
            "edge=http://x/,1+",
            "e:h4=http://x/,1",
        ] {
            assert_eq!(wrong.parse::<Peer>(), Err(PeerError(wrong.to_owned())), "{wrong}");
        }
    }
}
