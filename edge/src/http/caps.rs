//! How many connections may be open: in all, and of one client.
//!
//! The table of clients has a fixed size: clients that meet in a slot share one allowance, are turned away
//! too early and never too late, and cannot know whom they share with.

use crate::ip::rate_key;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SLOTS: usize = 1 << 16;

pub struct Caps {
    open: AtomicUsize,
    max: usize,
    by_client: Box<[AtomicUsize]>,
    max_by_client: usize,
    seed: RandomState,
}

/// Room for one connection, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    caps: Arc<Caps>,
    slot: Option<usize>,
}

impl std::fmt::Debug for Caps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caps").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Caps {
    pub fn new(max: usize, max_by_client: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            max,
            by_client: std::iter::repeat_with(AtomicUsize::default).take(SLOTS).collect(),
            max_by_client,
            seed: RandomState::new(),
        })
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Room among all connections.
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        take(&self.open, self.max).then(|| Permit { caps: Arc::clone(self), slot: None })
    }
}

impl Permit {
    /// Room among the connections of `client`, once it is known who that is.
    pub fn claim(&mut self, client: IpAddr) -> bool {
        // The remainder of a power of two: always in range.
        let slot = self.caps.seed.hash_one(rate_key(client)) as usize & (SLOTS - 1);
        let free = self.slot.is_none() && take(&self.caps.by_client[slot], self.caps.max_by_client);
        if free {
            self.slot = Some(slot);
        }
        free
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(slot) = self.slot {
            self.caps.by_client[slot].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn take(counter: &AtomicUsize, max: usize) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_all_and_by_client() {
        let caps = Caps::new(5, 2);
        let enter = |ip: &str| {
            let mut permit = caps.enter()?;
            permit.claim(ip.parse().unwrap()).then_some(permit)
        };
        let first = [enter("203.0.113.1"), enter("203.0.113.1")];
        assert!(first.iter().all(Option::is_some));
        assert!(enter("203.0.113.1").is_none(), "of one client");
        assert!(enter("::ffff:203.0.113.1").is_none(), "the same client");
        assert_eq!(caps.open(), 2, "who was turned away takes no room");
        let network = [enter("2001:db8::1"), enter("2001:db8::ffff")];
        assert!(network.iter().all(Option::is_some));
        assert!(enter("2001:db8::2").is_none(), "an IPv6 network is one client");
        let last = enter("198.51.100.1");
        assert!(last.is_some() && enter("198.51.100.2").is_none(), "in all");
        drop(first);
        assert!(enter("203.0.113.1").is_some());
        drop((network, last));
        assert_eq!(caps.open(), 0);
        assert!(caps.by_client.iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
    }
}
