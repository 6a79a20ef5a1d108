//! `GET /i/{link}.gif`: a partner's material was shown.

use super::reply;
use super::worker::{Answer, Hit, Worker, durable, prefetch};
use crate::decide::click::{Resolved, resolve};
use crate::decide::impression::{judge_impression, record};
use crate::decide::params::SubIds;
use crate::metrics::Outcome;
use proto_model::{Lane, LinkId, Reason, VerdictKind};

impl Worker {
    /// An image whatever happens.
    pub(super) async fn impression(&self, hit: &Hit<'_>, id: &str) -> Answer {
        let image = |outcome, reason: Option<Reason>| Answer::new(reply::gif(), outcome, reason);
        if hit.is_head() {
            return image(Outcome::Uncounted, None);
        }
        if prefetch(hit) {
            return image(Outcome::Uncounted, Some(Reason::Prefetch));
        }
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else {
            return image(Outcome::Failed, Some(Reason::NoSnapshot));
        };
        let live = match id.parse::<LinkId>().map(|link| resolve(&snapshot, link, hit.now)) {
            Ok(Resolved::Live(live)) => live,
            Ok(Resolved::Dead(_, reason, _)) => return image(Outcome::Refused, Some(reason)),
            Ok(Resolved::Unknown) | Err(_) => return image(Outcome::Refused, Some(Reason::UnknownLink)),
        };
        let client = self.client(hit);
        let verdict = judge_impression(live, &client, hit.now);
        let blocked = verdict.kind == VerdictKind::Block;
        let sub_ids = SubIds::read(hit.query());
        let origin = client.origin(&self.shared.hasher, hit.now);
        let recorded = record(live, verdict, &client, &origin, sub_ids.texts(), hit.now);
        match durable(self.spool(Lane::Traffic, &recorded)).await {
            Err(_) => image(Outcome::Failed, Some(Reason::SpoolUnavailable)),
            Ok(_) if blocked => image(Outcome::Blocked, Some(Reason::BlockedByRule)),
            Ok(_) => image(Outcome::Recorded, sub_ids.problem),
        }
    }
}
