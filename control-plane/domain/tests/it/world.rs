//! A tenant with its shards: feeds inputs, carries messages, and checks everything after each step.

use crate::shell::Shell;
use control_plane_domain::intake::{Input, IntakeItem, ShardKey};
use control_plane_domain::invariants;
use control_plane_domain::ledger::{Account, balances};
use control_plane_domain::replay::{Replay, replay};
use control_plane_domain::state::Effect;
use proto_model::{AdvertiserId, Currency, TenantId, UnixMicros};
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
pub struct Shard {
    pub items: Vec<IntakeItem>,
    pub books: Replay,
    shell: Shell,
}

pub struct World {
    pub shards: BTreeMap<ShardKey, Shard>,
    pub under_way: VecDeque<(ShardKey, Input)>,
    pub now: UnixMicros,
}

pub const TENANT: u32 = 1;

pub fn tenant() -> TenantId {
    TenantId::new(TENANT).unwrap()
}

pub fn advertiser(number: u64) -> ShardKey {
    ShardKey::advertiser(tenant(), AdvertiserId::new(number).unwrap())
}

pub fn settlement() -> ShardKey {
    ShardKey::settlement(tenant())
}

impl World {
    pub fn new() -> Self {
        Self { shards: BTreeMap::new(), under_way: VecDeque::new(), now: UnixMicros(0) }
    }

    /// Applies an input to the whole state and, through the shell, to the part of it that it needs.
    pub fn feed(&mut self, key: ShardKey, input: Input) -> Vec<Effect> {
        let shard = self.shards.entry(key).or_default();
        let ordinal = u64::try_from(shard.items.len()).unwrap() + 1;
        let item = IntakeItem { ordinal, recorded_at: self.now, input };
        let effects = shard.books.step(key, &item).unwrap();
        assert_eq!(shard.shell.run(key, &item), effects, "the part and the whole disagree on {item:?}");
        assert_eq!(shard.shell.stored(), &shard.books.state, "what was stored is not the state: {item:?}");
        if let Err(violation) = invariants::check(key, &shard.books) {
            panic!("{violation} {violation:?} after {item:?}");
        }
        shard.items.push(item);
        for effect in &effects {
            if let Effect::Send { to, input } = effect {
                self.under_way.push_back((*to, input.clone()));
            }
        }
        effects
    }

    /// Carries one message to its shard.
    pub fn deliver_one(&mut self) -> bool {
        let Some((to, input)) = self.under_way.pop_front() else { return false };
        self.feed(to, input);
        true
    }

    pub fn deliver(&mut self) {
        while self.deliver_one() {}
        assert_eq!(self.clearing(), BTreeMap::new(), "clearing is not empty although nothing is under way");
    }

    /// What stands between the shards, by currency.
    pub fn clearing(&self) -> BTreeMap<Currency, i128> {
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for ((account, currency), sum) in self.balances() {
            if account == Account::Clearing {
                *sums.entry(currency).or_default() += sum;
            }
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    pub fn balances(&self) -> BTreeMap<(Account, Currency), i128> {
        balances(self.shards.values().flat_map(|shard| &shard.books.ledger))
    }

    pub fn postings(&self) -> usize {
        self.shards.values().map(|shard| shard.books.ledger.len()).sum()
    }

    /// Replays every shard from nothing and compares byte by byte.
    pub fn replays(&self) {
        for (key, shard) in &self.shards {
            let again = replay(*key, shard.items.iter().cloned()).unwrap();
            assert_eq!(again.canonical_bytes(), shard.books.canonical_bytes());
            assert_eq!(again, shard.books);
        }
    }
}
