//! From the journal to the roll-ups.

use super::bare::{Bare, Rows, Value};
use super::meter::{Meter, Sample};
use super::report::{Goal, Section};
use super::world::World;
use super::{BenchError, Plan};
use crate::compare::stats::order;
use control_plane_server::app::project;
use proto_model::StreamNo;
use proto_model::event::{Body, TrackingEvent, Uniqueness};
use std::collections::{BTreeMap, HashMap, VecDeque};

const PEERS: [&str; 2] = ["server", "bare upserts"];

/// What one batch of clicks comes to, table by table.
#[derive(Clone, Default)]
pub struct Folded {
    pub stream: u32,
    pub first: u64,
    /// All hits, and the unique ones.
    links: BTreeMap<[i64; 8], [i64; 2]>,
    facts: BTreeMap<(i64, i64, i64, String, i64, i64), i64>,
    rules: BTreeMap<(i64, i64, i64, i64, String, i64), i64>,
    clicks: BTreeMap<i64, [i64; 3]>,
}

fn number<T: TryInto<i64>>(value: T) -> i64 {
    value.try_into().unwrap_or_default()
}

impl Folded {
    pub fn new(stream: StreamNo, first: u64) -> Self {
        Self { stream: stream.0, first, ..Self::default() }
    }

    pub fn count(&mut self, event: &TrackingEvent) {
        let Body::Click(click) = &event.body else { return };
        let (tenant, hour, kind) = (number(event.tenant.get()), event.occurred_at.hour_start().0, 1);
        let verdict = i64::from(event.verdict.kind.code());
        let ids = [number(click.link.get()), number(click.offer.get()), number(click.partner.get())];
        let [link, offer, partner] = ids;
        let key = [tenant, hour, kind, link, offer, partner, number(click.advertiser.get()), verdict];
        let [hits, unique] = self.links.entry(key).or_default();
        *hits += 1;
        *unique += i64::from(click.uniqueness == Uniqueness::Unique);
        let facts = (event.facts.country.code().to_owned(), i64::from(event.facts.device.code()));
        *self.facts.entry((tenant, hour, kind, facts.0, facts.1, verdict)).or_default() += 1;
        let rule = event.verdict.rule_id.clone().unwrap_or_default();
        let version = i64::from(event.verdict.rule_set_version);
        *self.rules.entry((tenant, hour, kind, version, rule, verdict)).or_default() += 1;
        let counts = self.clicks.entry(tenant).or_default();
        if let Some(count) = usize::try_from(verdict).ok().and_then(|verdict| counts.get_mut(verdict)) {
            *count += 1;
        }
    }

    /// One prepared upsert for each row.
    async fn upsert(&self, conn: &mut Bare, seq: i64) -> Result<(), BenchError> {
        const LINKS: &str = "INSERT INTO rollup_links (tenant_id, hour, kind, link_id, offer_id, partner_id, \
            advertiser_id, verdict, hits, unique_hits) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
            ON CONFLICT (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict) \
            DO UPDATE SET hits = rollup_links.hits + excluded.hits, \
            unique_hits = rollup_links.unique_hits + excluded.unique_hits";
        const FACTS: &str = "INSERT INTO rollup_facts (tenant_id, hour, kind, country, device, verdict, hits) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, hour, kind, country, device, verdict) \
            DO UPDATE SET hits = rollup_facts.hits + excluded.hits";
        const RULES: &str = "INSERT INTO rollup_rules (tenant_id, hour, kind, rule_set_version, rule_id, verdict, \
            hits) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, hour, kind, rule_set_version, \
            rule_id, verdict) DO UPDATE SET hits = rollup_rules.hits + excluded.hits";
        const CLICKS: &str = "INSERT INTO click_batches (tenant_id, journal_seq, allowed, flagged, blocked) \
            VALUES ($1, $2, $3, $4, $5)";
        for (key, counts) in &self.links {
            let row: Vec<Value> = key.iter().chain(counts).map(|value| (*value).into()).collect();
            conn.execute(LINKS, &row).await?;
        }
        for ((tenant, hour, kind, country, device, verdict), hits) in &self.facts {
            let ints = [*tenant, *hour, *kind, *device, *verdict, *hits].map(Value::from);
            let [tenant, hour, kind, device, verdict, hits] = ints;
            conn.execute(FACTS, &[tenant, hour, kind, country.as_str().into(), device, verdict, hits])
                .await?;
        }
        for ((tenant, hour, kind, version, rule, verdict), hits) in &self.rules {
            let ints = [*tenant, *hour, *kind, *version, *verdict, *hits].map(Value::from);
            let [tenant, hour, kind, version, verdict, hits] = ints;
            conn.execute(RULES, &[tenant, hour, kind, version, rule.as_str().into(), verdict, hits]).await?;
        }
        for (tenant, counts) in &self.clicks {
            let row: Vec<Value> = [*tenant, seq].iter().chain(counts).map(|value| (*value).into()).collect();
            conn.execute(CLICKS, &row).await?;
        }
        Ok(())
    }
}

/// One batch as the projection has left it.
struct Projected {
    seq: i64,
    folded: Folded,
    /// Of no customer, since these are clicks.
    values: Rows,
}

pub struct Projecting<'a> {
    pub world: &'a World,
    pub measured: Bare,
    pub bare: Bare,
    pub meter: Meter,
    pub plan: Plan,
    pub folded: Vec<Folded>,
}

impl Projecting<'_> {
    /// The clicks that lie in the journal. Bare upserts come one round after the projection they repeat.
    pub async fn run(&mut self) -> Result<Section, BenchError> {
        let mut known: HashMap<(u32, u64), Folded> =
            self.folded.drain(..).map(|folded| ((folded.stream, folded.first), folded)).collect();
        let mut done: VecDeque<Vec<Projected>> = VecDeque::new();
        self.project(&mut known, &mut done).await?;
        let mut samples = vec![Vec::new(); PEERS.len()];
        for round in 0..self.plan.rounds {
            for peer in order(PEERS.len(), round) {
                let sample = match peer {
                    0 => self.project(&mut known, &mut done).await?,
                    _ => {
                        let batches = done.pop_front().unwrap_or_default();
                        self.meter.measure(repeat(&mut self.bare, batches, self.plan.clicks)).await?
                    }
                };
                (self.plan.tell)(&format!("project: {:<22}{:>9.0}/s", PEERS[peer], sample.rate()));
                samples[peer].push(sample);
            }
        }
        let title = format!("Journal to reports, {} clicks a batch", self.plan.clicks);
        let goal = if self.bare.is_postgres() { 100_000.0 } else { 150_000.0 };
        let goal = Some(Goal::PerCore(goal));
        Ok(Section { title, unit: "clicks", peers: PEERS.to_vec(), samples, goal })
    }

    async fn project(
        &mut self,
        known: &mut HashMap<(u32, u64), Folded>,
        done: &mut VecDeque<Vec<Projected>>,
    ) -> Result<Sample, BenchError> {
        const NEXT: &str = "SELECT seq, stream, first_ordinal, last_ordinal FROM journal \
            WHERE seq > (SELECT seq FROM journal_checkpoints WHERE name = 'projector') ORDER BY seq LIMIT $1";
        const VALUES: &str = "SELECT * FROM sidecar_batches WHERE stream = $1 AND first_ordinal >= $2 \
            AND first_ordinal <= $3 ORDER BY first_ordinal";
        let next = self.measured.fetch(NEXT, &[number(self.plan.batches).into()]).await?;
        let (app, lease, clicks) = (self.world.app(), &self.world.project, self.plan.clicks);
        let limit = u32::try_from(self.plan.batches).unwrap_or(1);
        let sample = self
            .meter
            .measure(async { project::project_some(app, lease, limit).await.map(|batches| batches * clicks) })
            .await?;
        let mut projected = Vec::new();
        for row in next {
            let [seq, stream, first, last] = &row[..] else { continue };
            let key = (u32::try_from(stream.int()).unwrap_or_default(), first.int().unsigned_abs());
            let folded = known.remove(&key).unwrap_or_default();
            let range = [stream.clone(), first.clone(), last.clone()];
            let values = self.measured.rows("sidecar_batches", VALUES, &range).await?;
            projected.push(Projected { seq: seq.int(), folded, values });
        }
        done.push_back(projected);
        Ok(sample)
    }
}

async fn repeat(conn: &mut Bare, batches: Vec<Projected>, clicks: usize) -> Result<usize, BenchError> {
    const CHECKPOINT: &str = "UPDATE journal_checkpoints SET seq = $1 WHERE name = 'projector'";
    let count = batches.len() * clicks;
    for batch in batches {
        conn.begin().await?;
        batch.folded.upsert(conn, batch.seq).await?;
        conn.insert(&batch.values).await?;
        conn.execute(CHECKPOINT, &[batch.seq.into()]).await?;
        conn.commit().await?;
    }
    Ok(count)
}
