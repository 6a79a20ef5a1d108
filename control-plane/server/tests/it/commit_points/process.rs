//! One control plane from its start to its end or death, going step by step, so that each of its commits has a number.

use super::scenario::{Call, Scenario, Step};
use control_plane_server::app::ingest::{self, OpenSession, Verdict};
use control_plane_server::app::{App, Parts, clock, money, project, replay, verify};
use control_plane_server::ca::Authority;
use control_plane_server::supervise::Stop;
use control_plane_server::{AppError, DatabaseUrl};
use control_plane_store::fleet::Edge;
use control_plane_store::leases::Lease;
use control_plane_store::{Dies, Slots, Store};
use proto_wire::edge_v1::Open;
use std::path::Path;
use std::time::Duration;

const BATCHES: u32 = 32;
const SHARDS: u32 = 100;
const NODE: &str = "node";
const TTL: Duration = Duration::from_secs(600);

pub struct Process {
    app: App,
    project: Lease,
    money: Lease,
    edge: Edge,
    session: OpenSession,
}

pub fn app(store: Store, keys: &Path) -> App {
    let (_, stop) = Stop::channel();
    App::new(Parts {
        store,
        authority: Authority::open(keys, clock::now()).unwrap(),
        grpc_url: "https://control-plane.example".into(),
        stop,
        click_lease: Duration::from_secs(60),
        geo_credits: Vec::new(),
        node: NODE.into(),
    })
}

impl Process {
    /// Takes the leases over from whoever died under its name, and the edge connects again.
    pub async fn start(
        scenario: &Scenario,
        database: &DatabaseUrl,
        trap: Option<(u64, Dies)>,
    ) -> Result<Self, AppError> {
        let store = Store::open(database).await?;
        store.trap_commits(trap);
        let app = app(store, &scenario.keys());
        let now = app.store.database_time().await?;
        let project = app.store.acquire_lease(project::PART, NODE, TTL, now).await?;
        let money = app.store.acquire_lease(money::PART, NODE, TTL, now).await?;
        let edge = app.store.get_edge(scenario.edge).await?;
        let open = Open { epoch: scenario.epoch, lanes: vec![] };
        let (session, _) = ingest::open_session(&app, &edge, &open).await?;
        Ok(Self { app, project, money, edge, session })
    }

    /// All calls of the step, then everything that follows from them.
    pub async fn take(&mut self, step: &Step) -> Result<(), AppError> {
        for call in &step.0 {
            self.answer(call).await?;
        }
        self.drain().await
    }

    async fn answer(&self, call: &Call) -> Result<(), AppError> {
        match call {
            Call::Batch(sealed) => {
                let message = sealed.to_message(self.session.number());
                let verdict = ingest::take_batch(&self.app, &self.edge, &self.session, message).await?;
                assert!(matches!(verdict, Verdict::Committed(_)), "{verdict:?}");
            }
            // Under a key, as a period is closed: a caller that asks again must not write it twice.
            Call::Append { shard, input, key, at } => {
                self.app.store.append_intake_once(*shard, input, key, [0; 32], *at).await?;
            }
        }
        Ok(())
    }

    /// The projector and the money engine, until nothing waits for either.
    async fn drain(&self) -> Result<(), AppError> {
        while project::project_some(&self.app, &self.project, BATCHES).await? > 0 {}
        loop {
            let shards = self.app.store.shards_with_work(Slots::ALL, SHARDS).await?;
            if shards.is_empty() {
                return Ok(());
            }
            for shard in shards {
                money::advance_once(&self.app, shard, &self.money).await?;
            }
        }
    }

    /// The hashes in the books are of times, too, and so differ from run to run: here each is computed anew from
    /// what stands in the intake and the journal.
    pub async fn assert_proven(&self, scenario: &Scenario) {
        let verified = verify::verify_journal(&self.app.store).await.unwrap();
        assert!(verified.ok(), "{verified:?}");
        for shard in &scenario.shards {
            let replayed = replay::replay_shard(&self.app, *shard).await.unwrap();
            assert_eq!(replayed.difference, None, "{shard:?}");
        }
        assert!(self.app.store.unbalanced(1).await.unwrap().is_empty());
    }

    /// Says how many commits there were.
    pub async fn stop(self) -> u64 {
        let commits = self.app.store.trapped_commits();
        self.app.store.close().await;
        commits
    }
}
