//! Batches that come again because their ack was lost: what they cost beside new ones.

use super::BenchError;
use super::ingest::{Ingest, take};
use super::project::Folded;
use super::report::Section;
use super::world::Sender;
use crate::compare::stats::order;
use proto_model::Lane;
use proto_wire::edge_v1::Batch;

/// How many of a hundred batches that come are known already; the last is what the others are compared with.
const SHARES: [(&str, usize); 3] = [("all known", 100), ("1 of 10 known", 10), ("all new", 0)];

impl Ingest<'_> {
    /// One edge, one batch after the other; what comes is counted, be it known or not.
    pub async fn known(&mut self, number: u8) -> Result<Section, BenchError> {
        let mut sender = Sender::join(self.world.app(), number, Lane::Traffic).await?;
        // What is written once at the first batch is not counted.
        self.deliver(&mut sender, 10, 0).await?;
        let mut samples = vec![Vec::new(); SHARES.len()];
        for round in 0..self.plan.rounds {
            for index in order(SHARES.len(), round) {
                let (name, percent) = SHARES[index];
                let sample = self.deliver(&mut sender, 4 * self.plan.batches, percent).await?;
                (self.plan.tell)(&format!("ingest, {name:<14}{:>9.0}/s", sample.rate()));
                samples[index].push(sample);
            }
        }
        let peers = SHARES.map(|(name, _)| name).to_vec();
        let title = format!("Batches that come again, {} clicks each", self.plan.clicks);
        Ok(Section { title, unit: "clicks", peers, samples, goal: None })
    }

    async fn deliver(
        &mut self,
        sender: &mut Sender,
        batches: usize,
        percent: usize,
    ) -> Result<super::meter::Sample, BenchError> {
        let known = batches * percent / 100;
        let mut new = Vec::new();
        // Something must have been taken before it can come again.
        for _ in 0..(batches - known).max(1) {
            new.push(self.seal(sender)?);
        }
        let (world, clicks) = (self.world, self.plan.clicks);
        let senders = std::slice::from_ref(&*sender);
        if known == batches {
            take(world, senders, vec![new.clone()], clicks).await?;
            let again: Vec<Batch> = new.iter().cycle().take(batches).cloned().collect();
            return self.meter.measure(take(world, senders, vec![again], clicks)).await;
        }
        self.meter.measure(take(world, senders, vec![repeated(&new, known)], clicks)).await
    }

    fn seal(&mut self, sender: &mut Sender) -> Result<Batch, BenchError> {
        let mut folded = Folded::new(sender.stream, sender.next);
        let sealed = sender.seal(self.plan.clicks, |_| {
            let hit = self.hits.click();
            folded.count(&hit.0);
            hit
        })?;
        self.folded.push(folded);
        Ok(sealed.to_message(sender.open.number()))
    }
}

/// So many of them again, each right behind itself, evenly spread.
fn repeated(new: &[Batch], known: usize) -> Vec<Batch> {
    let every = new.len().checked_div(known).unwrap_or(usize::MAX);
    let mut all = Vec::with_capacity(new.len() + known);
    for (index, batch) in new.iter().enumerate() {
        all.push(batch.clone());
        if index % every == every - 1 && all.len() <= index + known {
            all.push(batch.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_comes_right_behind_itself() {
        let batch = |session| Batch { session, ..Batch::default() };
        let new: Vec<Batch> = (0..9).map(batch).collect();
        let order = |known| repeated(&new, known).iter().map(|one| one.session).collect::<Vec<_>>();
        assert_eq!(order(0), (0..9).collect::<Vec<_>>());
        assert_eq!(order(1), [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]);
        assert_eq!(order(2), [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8]);
        assert_eq!(order(9).len(), 18);
    }
}
