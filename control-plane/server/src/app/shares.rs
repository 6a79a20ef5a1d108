//! Which slots of the money engine this process works on. Every process decides for itself, from the same rows:
//! nobody holds more than its fair share, and what is free is taken.

use super::App;
use super::lease::{RENEW, RETRY, TTL};
use super::nodes::Presence;
use control_plane_domain::intake::ShardKey;
use control_plane_store::leases::Lease;
use control_plane_store::{Slots, StoreError};
use proto_model::UnixMicros;
use std::collections::BTreeMap;
use tokio::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    Stay,
    /// Up to so many of those that are free.
    Take(usize),
    GiveBack(Slots),
}

/// `live` processes share the slots, and this one holds `held`.
fn decide(held: Slots, free: Slots, live: usize) -> Move {
    let fair = usize::from(Slots::COUNT).div_ceil(live.max(1));
    match held.len() {
        too_many if too_many > fair => Move::GiveBack(held.iter().rev().take(too_many - fair).collect()),
        few if few < fair && !free.is_empty() => Move::Take(fair - few),
        _ => Move::Stay,
    }
}

fn name_of(slot: u8) -> String {
    format!("money/{slot}")
}

/// The leases held, and when to look after them again.
#[derive(Default)]
pub struct Shares {
    held: BTreeMap<u8, Lease>,
    presence: Presence,
    tend_at: Option<Instant>,
    renew_at: Option<Instant>,
}

impl Shares {
    pub fn slots(&self) -> Slots {
        self.held.keys().copied().collect()
    }

    /// By which the shard may be worked on.
    pub fn lease_of(&self, shard: ShardKey) -> Option<&Lease> {
        self.held.get(&Slots::slot_of(shard.tenant))
    }

    /// Another process has taken it over; the other slots go on.
    pub fn lost(&mut self, shard: ShardKey) {
        let slot = Slots::slot_of(shard.tenant);
        tracing::warn!(slot, "another process has taken this part of the money engine over");
        self.held.remove(&slot);
    }

    /// To be called between transactions; looks at the database only when it is time.
    pub async fn tend(&mut self, app: &App) -> Result<(), StoreError> {
        let at = Instant::now();
        if self.tend_at.is_some_and(|next| at < next) {
            return Ok(());
        }
        let now = app.store.database_time().await?;
        self.presence.show(app, now).await?;
        if self.renew_at.is_some_and(|next| at >= next) {
            self.renew(app, now).await?;
        }
        self.renew_at.get_or_insert(at + RENEW);
        if !app.store.is_shared() && self.slots() == Slots::ALL {
            self.tend_at = Some(at + RETRY);
            return Ok(());
        }
        let live = self.presence.live(app, now).await?;
        let free = self.free(app, now).await?;
        match decide(self.slots(), free, live) {
            Move::Stay => {}
            Move::Take(at_most) => self.take(app, free, at_most, now).await?,
            Move::GiveBack(slots) => self.give_back(app, slots).await?,
        }
        self.tend_at = Some(at + RETRY);
        Ok(())
    }

    async fn renew(&mut self, app: &App, now: UnixMicros) -> Result<(), StoreError> {
        let at = Instant::now();
        let leases: Vec<Lease> = self.held.values().cloned().collect();
        let renewed = app.store.renew_leases(&leases, TTL, now).await?;
        if renewed.len() < leases.len() {
            tracing::warn!(lost = leases.len() - renewed.len(), "other processes have taken slots over");
        }
        self.held.retain(|_, lease| {
            let kept = renewed.iter().find(|renewed| renewed.name == lease.name);
            kept.map(|kept| lease.clone_from(kept)).is_some()
        });
        self.renew_at = Some(at + RENEW);
        Ok(())
    }

    /// Those that nobody holds. What stands under this process's name, but is not known to it, is from before
    /// a restart.
    async fn free(&self, app: &App, now: UnixMicros) -> Result<Slots, StoreError> {
        let leases = app.store.leases().await?;
        let is_taken = |slot: &u8| {
            let name = name_of(*slot);
            self.held.contains_key(slot)
                || leases
                    .iter()
                    .any(|lease| lease.name == name && lease.holder != app.node && lease.expires_at > now)
        };
        Ok(Slots::ALL.without(Slots::ALL.iter().filter(is_taken).collect()))
    }

    async fn take(
        &mut self,
        app: &App,
        free: Slots,
        at_most: usize,
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = free.iter().map(name_of).collect();
        let taken = app.store.acquire_leases(&names, at_most, &app.node, TTL, now).await?;
        let taken: BTreeMap<u8, Lease> = free
            .iter()
            .filter_map(|slot| {
                let name = name_of(slot);
                taken.iter().find(|lease| lease.name == name).map(|lease| (slot, lease.clone()))
            })
            .collect();
        if !taken.is_empty() {
            tracing::info!(slots = ?taken.keys(), "takes over parts of the money engine");
        }
        self.held.extend(taken);
        Ok(())
    }

    async fn give_back(&mut self, app: &App, slots: Slots) -> Result<(), StoreError> {
        // Out of hand before anything can fail: a lease that could not be released runs out.
        let leases: Vec<Lease> = slots.iter().filter_map(|slot| self.held.remove(&slot)).collect();
        app.store.release_leases(&leases).await?;
        tracing::info!(?slots, "leaves parts of the money engine to others");
        Ok(())
    }

    /// Lets the others in at once.
    pub async fn end(mut self, app: &App) -> Result<(), StoreError> {
        self.give_back(app, self.slots()).await?;
        self.presence.end(app).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(slots: impl IntoIterator<Item = u8>) -> Slots {
        slots.into_iter().collect()
    }

    #[test]
    fn who_takes_and_who_gives_back() {
        let cases = [
            // Alone: everything.
            (slots([]), Slots::ALL, 1, Move::Take(16)),
            (Slots::ALL, slots([]), 1, Move::Stay),
            (slots(0..15), slots([15]), 1, Move::Take(1)),
            // Nobody at all is seen, which cannot be: this one is there.
            (slots([]), Slots::ALL, 0, Move::Take(16)),
            // Two: half each, whoever was first gives back.
            (Slots::ALL, slots([]), 2, Move::GiveBack(slots(8..16))),
            (slots([]), slots([]), 2, Move::Stay),
            (slots([]), slots(8..16), 2, Move::Take(8)),
            (slots(0..8), slots([]), 2, Move::Stay),
            // Three: six, six and four.
            (slots(0..8), slots([]), 3, Move::GiveBack(slots([6, 7]))),
            (slots(8..16), slots([6, 7]), 3, Move::GiveBack(slots([14, 15]))),
            (slots([]), slots([6, 7, 14, 15]), 3, Move::Take(6)),
            (slots([6, 7, 14, 15]), slots([]), 3, Move::Stay),
            // One of three has died.
            (slots(0..6), slots([6, 7, 14, 15]), 2, Move::Take(2)),
            // More than there are slots.
            (slots([3]), slots([4]), 17, Move::Stay),
            (slots([3, 4]), slots([]), 17, Move::GiveBack(slots([4]))),
            (slots([]), slots([9]), 1_000, Move::Take(1)),
        ];
        for (held, free, live, expected) in cases {
            assert_eq!(decide(held, free, live), expected, "{held:?} {free:?} {live}");
        }
    }

    /// From any start, in any order of turns: nothing stays free, nobody holds too much, and it comes to rest.
    #[test]
    fn it_comes_to_rest_with_everything_held() {
        for live in 1..=20 {
            for first in 0..live {
                let mut held = vec![Slots::NONE; live];
                held[first] = Slots::ALL;
                let mut moved = true;
                let mut rounds = 0;
                while moved {
                    moved = false;
                    for turn in 0..live {
                        let node = (turn + first) % live;
                        let taken: Slots = held.iter().flat_map(|slots| slots.iter()).collect();
                        let free = Slots::ALL.without(taken);
                        let after = match decide(held[node], free, live) {
                            Move::Stay => continue,
                            Move::GiveBack(slots) => held[node].without(slots),
                            Move::Take(n) => held[node].iter().chain(free.iter().take(n)).collect(),
                        };
                        held[node] = after;
                        moved = true;
                    }
                    rounds += 1;
                    assert!(rounds < 10, "{live} processes do not come to rest: {held:?}");
                }
                assert_eq!(held.iter().map(|slots| slots.len()).sum::<usize>(), 16, "{held:?}");
                assert!(held.iter().all(|slots| slots.len() <= 16usize.div_ceil(live)), "{held:?}");
            }
        }
    }
}
