//! A shell in memory: it keeps per shard what the real one would keep in tables, loads only what `needs`
//! names, and stores only what the effects say. Whatever else `apply` touched is thrown away.

use control_plane_domain::intake::{IntakeItem, ShardKey};
use control_plane_domain::state::{Effect, Needs, ShardState};
use control_plane_domain::{apply, needs, needs_more};
use proto_model::{DerivedId, UnixMicros};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Shell {
    stored: ShardState,
    statements: BTreeMap<DerivedId, UnixMicros>,
}

impl Shell {
    pub fn run(&mut self, shard: ShardKey, item: &IntakeItem) -> Vec<Effect> {
        let first = needs(&item.input);
        let found = self.load(&first);
        let offers = needs_more(&item.input, &found);
        let mut state = self.load(&Needs { offers: first.offers.union(&offers).copied().collect(), ..first });
        assert_eq!(needs_more(&item.input, &state), offers, "terms name no more offers");
        let effects = apply(shard, &mut state, item).unwrap();
        for effect in &effects {
            self.keep(effect, &state);
        }
        self.stored.ledger = state.ledger;
        effects
    }

    /// Everything that has been stored.
    pub fn stored(&self) -> &ShardState {
        &self.stored
    }

    fn load(&self, needs: &Needs) -> ShardState {
        let all = &self.stored;
        let mut state = ShardState { ledger: all.ledger, ..ShardState::default() };
        for (offer, versions) in &all.terms {
            if needs.offers.contains(offer) {
                state.terms.insert(*offer, versions.clone());
            }
        }
        if let Some(order) = needs.order_id.as_ref().and_then(|id| all.orders.get(id)) {
            state.orders.insert(order.order_id.clone(), order.clone());
        }
        if let Some((customer, touches)) = needs.customer.and_then(|c| all.touches.get_key_value(&c)) {
            state.touches.insert(*customer, touches.clone());
        }
        state.known_credits.extend(needs.credit.filter(|id| all.known_credits.contains(id)));
        if needs.all_open_credits {
            state.open_credits = all.open_credits.clone();
            state.carried = all.carried.clone();
        }
        if let Some(through) = needs.statements_through {
            let of_period = self.statements.iter().filter(|(_, made_for)| **made_for == through);
            state.known_statements.extend(of_period.map(|(id, _)| *id));
        }
        state
    }

    fn keep(&mut self, effect: &Effect, state: &ShardState) {
        let stored = &mut self.stored;
        match effect {
            Effect::PutTerms(terms) => {
                let versions = stored.terms.entry(terms.offer).or_default();
                versions.push(terms.clone());
                versions.sort_by_key(|terms| terms.version);
            }
            Effect::PutOrder(id) => {
                stored.orders.insert(id.clone(), state.orders[id].clone());
            }
            Effect::PutTouch(touch) => stored.touches.entry(touch.customer).or_default().push(touch.clone()),
            Effect::PutCredit(open) => {
                stored.known_credits.insert(open.credit.id);
                stored.open_credits.insert(open.credit.id, open.clone());
            }
            Effect::PutStatement(statement) => {
                stored.known_statements.insert(statement.id);
                self.statements.insert(statement.id, statement.through);
                for line in &statement.lines {
                    stored.open_credits.remove(&line.credit.id);
                }
            }
            Effect::PutCarried { partner, currency, minor } => {
                stored.carried.insert((*partner, *currency), *minor);
            }
            Effect::Post(_) | Effect::PutPayout(_) | Effect::Send { .. } | Effect::Notify(_) => {}
        }
    }
}
