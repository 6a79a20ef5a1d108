//! The control plane from within: how fast batches become a committed journal, the journal reports, and
//! conversions money, each beside bare inserts of the same rows in the same run; and how long reports take.
//!
//! Two databases with the same schema: one for the server's own use cases, one for the bare inserts.

mod bare;
pub(crate) mod events;
mod ingest;
mod known;
mod meter;
mod money;
mod project;
mod report;
mod reports;
mod world;

use bare::Bare;
use control_plane_server::{AppError, DatabaseUrl, StartError};
use control_plane_store::{Store, StoreError};
use events::Hits;
use meter::Meter;
pub use report::{Goal, Latency, Section};
use serde_json::{Value, json};
use world::World;

#[derive(Clone, Copy)]
pub struct Plan {
    pub rounds: u32,
    /// Of one round.
    pub batches: usize,
    /// Of one batch.
    pub clicks: usize,
    /// Of one round.
    pub conversions: usize,
    /// Of each report.
    pub reports: u32,
    /// Hears of each round as it ends.
    pub tell: fn(&str),
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("cannot start the control plane")]
    Start(#[from] StartError),
    #[error("a use case failed")]
    App(#[from] AppError),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("a bare statement failed")]
    Sql(#[from] sqlx::Error),
    #[error("cannot seal a batch")]
    Seal(#[from] proto_wire::envelope::EnvelopeError),
    #[error("cannot make a key")]
    Key(#[from] proto_wire::keys::KeyError),
    #[error(transparent)]
    Cpu(#[from] crate::compare::cpu::CpuError),
    #[error("cannot make a directory for keys, or start the runtime")]
    Io(#[from] std::io::Error),
    #[error("this should not have happened: {0}")]
    Unexpected(String),
}

pub struct Measured {
    pub sections: Vec<Section>,
    pub reports: Vec<Latency>,
}

impl Measured {
    pub fn table(&self) -> String {
        let sections: String = self.sections.iter().map(Section::table).collect();
        let title =
            format!("Reports over {} million clicks (p99 < 20 ms)", reports::Reports::clicks() / 1_000_000);
        sections + &report::latencies(&title, &self.reports)
    }

    pub fn json(&self) -> Value {
        let sections: Vec<Value> = self.sections.iter().map(Section::json).collect();
        json!({ "sections": sections, "reports": report::latencies_json(&self.reports) })
    }
}

/// Everything that rows refer to.
const CATALOG: [(&str, &str); 7] = [
    ("tenants", "SELECT * FROM tenants"),
    ("advertisers", "SELECT * FROM advertisers"),
    ("programs", "SELECT * FROM programs"),
    ("offers", "SELECT * FROM offers"),
    ("partners", "SELECT * FROM partners"),
    ("links", "SELECT * FROM links"),
    ("intake_heads", "SELECT * FROM intake_heads"),
];

/// Both databases must be empty, and the second one of the same kind.
pub fn run(measured: &DatabaseUrl, other: &DatabaseUrl, plan: Plan) -> Result<Measured, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(everything(measured, other, plan))
}

async fn everything(url: &DatabaseUrl, other: &DatabaseUrl, plan: Plan) -> Result<Measured, BenchError> {
    let dir = tempfile::tempdir()?;
    let world = World::start(url, dir.path()).await?;
    Store::open(other).await?.close().await;
    let mut bare = Bare::open(other).await?;
    let mut measured = Bare::open(url).await?;
    let meter = Meter::of(&mut measured).await?;
    for (table, sql) in CATALOG {
        bare.copy(&mut measured, table, sql).await?;
    }
    prepare_days(&mut bare).await?;
    let hits = Hits::new(&world.catalog);
    let mut money = money::Money { world: &world, measured, bare, meter, plan, hits };
    let paid = money.run().await?;
    let money::Money { measured, bare, hits, .. } = money;

    let mut connections = vec![bare];
    if matches!(other, DatabaseUrl::Postgres(_)) {
        for _ in 1..4 {
            connections.push(Bare::open(other).await?);
        }
    }
    let (folded, seq) = (Vec::new(), 1);
    let mut ingest =
        ingest::Ingest { world: &world, measured, bare: connections, meter, plan, folded, hits, seq };
    let alone = ingest.run(1, 1).await?;
    let together = ingest.run(4, 10).await?;
    let known = ingest.known(20).await?;
    let ingest::Ingest { measured, bare, folded, .. } = ingest;

    let Some(bare) = bare.into_iter().next() else {
        return Err(BenchError::Unexpected("no connection".into()));
    };
    let mut projecting = project::Projecting { world: &world, measured, bare, meter, plan, folded };
    let projected = projecting.run().await?;
    let mut reports = reports::Reports { world: &world, measured: projecting.measured, runs: plan.reports };
    (plan.tell)("reports: filling the roll-ups");
    let reports = reports.run().await?;
    world.stop().await;
    Ok(Measured { sections: vec![alone, together, known, projected, paid], reports })
}

/// The store makes days when their first rows come.
async fn prepare_days(bare: &mut Bare) -> Result<(), BenchError> {
    use proto_model::time::DAY_US;
    if !bare.is_postgres() {
        return Ok(());
    }
    let now = control_plane_server::app::clock::now().0;
    let today = now - now.rem_euclid(DAY_US);
    for table in ["journal", "rollup_links", "rollup_facts", "rollup_rules"] {
        for day in [today, today + DAY_US] {
            bare.fetch("SELECT 1 FROM ensure_day($1, $2)", &[table.into(), day.into()]).await?;
        }
    }
    Ok(())
}
