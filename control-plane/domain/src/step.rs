//! One step of a shard: where effects are gathered and postings get their place in the chain.

use crate::error::DomainError;
use crate::intake::{Input, IntakeItem, PartnerCredit, ShardKey};
use crate::ledger::{Draft, LedgerHead};
use crate::state::{Effect, Notification};
use proto_model::{AdvertiserId, Amount, DerivedId, PartnerId, UnixMicros};

pub(crate) struct Step<'a> {
    pub(crate) shard: ShardKey,
    /// Of the intake item at hand.
    pub(crate) ordinal: u64,
    pub(crate) now: UnixMicros,
    head: &'a mut LedgerHead,
    effects: Vec<Effect>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(shard: ShardKey, item: &IntakeItem, head: &'a mut LedgerHead) -> Self {
        Self { shard, ordinal: item.ordinal, now: item.recorded_at, head, effects: Vec::new() }
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn post(&mut self, draft: Draft) -> Result<(), DomainError> {
        let transaction = self.head.post(self.shard, draft, self.now, self.ordinal)?;
        self.effects.push(Effect::Post(transaction));
        Ok(())
    }

    /// Tells the settlement shard of money that `cause` put into clearing.
    pub(crate) fn send_credit(
        &mut self,
        cause: DerivedId,
        advertiser: AdvertiserId,
        commission: DerivedId,
        partner: PartnerId,
        order_id: &str,
        amount: Amount,
    ) {
        let id = DerivedId::of("credit", &[&cause.0]);
        let order_id = order_id.to_owned();
        let credit = PartnerCredit { id, commission, advertiser, order_id, partner, amount };
        let to = ShardKey::settlement(self.shard.tenant);
        self.effects.push(Effect::Send { to, input: Input::PartnerCredit(credit) });
    }

    pub(crate) fn notify(
        &mut self,
        kind: &'static str,
        partner: PartnerId,
        subject: DerivedId,
        amount: Amount,
        order_id: &str,
    ) {
        // Money about one subject can move between partners in one step, so the partner is in the id.
        let cause: [&[u8]; 4] =
            [kind.as_bytes(), &subject.0, &self.ordinal.to_be_bytes(), &partner.get().to_be_bytes()];
        let id = DerivedId::of("notification", &cause);
        let order_id = order_id.to_owned();
        self.effects.push(Effect::Notify(Notification { id, kind, partner, subject, amount, order_id }));
    }

    /// The effects, with the order that they belong to in front: rows that others refer to come first.
    pub(crate) fn finish(self, order: Option<String>) -> Vec<Effect> {
        order.map(Effect::PutOrder).into_iter().chain(self.effects).collect()
    }
}
