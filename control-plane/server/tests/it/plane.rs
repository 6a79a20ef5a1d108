//! A running control plane on a temporary directory, and a small catalog.

use control_plane_domain::terms::{GoalPlan, Hold, Model, Plan};
use control_plane_server::app::catalog::{self, NewOffer, TermsDraft};
use control_plane_server::app::clock;
use control_plane_server::app::health::Status;
use control_plane_server::{App, Config, ControlPlane, DatabaseUrl, start};
use control_plane_store::Store;
use proto_model::{AdvertiserId, LinkId, OfferId, PartnerId, ProgramId, Rate, TenantId};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Far beyond anything healthy; only a test that fails waits this long.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Plane {
    dir: TempDir,
    database: Option<DatabaseUrl>,
    control: ControlPlane,
}

/// A PostgreSQL database of its own with the whole schema, if the tests were started for that.
pub async fn database() -> Option<DatabaseUrl> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let server = control_plane_testing::chosen()?;
    let template = TEMPLATE.get_or_init(async || {
        let empty = server.create_database();
        Store::open(&empty.url.parse().unwrap()).await.unwrap().close().await;
        empty.name
    });
    Some(server.clone_database(template.await).url.parse().unwrap())
}

impl Plane {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = database().await;
        let config = Config { database: database.clone(), ..Config::local(dir.path()) };
        let control = start(config).await.unwrap();
        Self { dir, database, control }
    }

    /// Down and up again on the same directory. Ports change.
    pub async fn restart(self) -> Self {
        self.restart_after(async |_| {}).await
    }

    /// The same, with something done to the database while nobody uses it.
    pub async fn restart_after(self, meanwhile: impl AsyncFnOnce(&Store)) -> Self {
        let Self { dir, database, control } = self;
        let config = Config { database: database.clone(), ..Config::local(dir.path()) };
        control.shutdown().await;
        let store = Store::open(&config.database_url()).await.unwrap();
        meanwhile(&store).await;
        store.close().await;
        let control = start(config).await.unwrap();
        Self { dir, database, control }
    }

    pub fn app(&self) -> &Arc<App> {
        self.control.app()
    }

    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The PostgreSQL database, if it is not the file in [`Plane::dir`].
    pub fn database(&self) -> Option<&DatabaseUrl> {
        self.database.as_ref()
    }

    pub async fn stop(self) {
        self.control.shutdown().await;
    }

    /// Its directory stays, for whoever comes next.
    pub async fn stop_and_keep(self) -> TempDir {
        self.control.shutdown().await;
        self.dir
    }

    /// Health of one part.
    pub fn status(&self, part: &str) -> Option<Status> {
        self.app().health.parts().into_iter().find(|(name, _)| *name == part).map(|(_, status)| status)
    }
}

/// Polls until `look` sees something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One tenant with one of everything: 10 % of a sale, until delivered.
#[derive(Clone, Copy, Debug)]
pub struct Catalog {
    pub tenant: TenantId,
    pub advertiser: AdvertiserId,
    pub program: ProgramId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub link: LinkId,
    /// When its clicks happened, read from the clock once: whoever names a click twice must say the same.
    pub clicked_secs: u32,
}

pub fn ten_percent() -> TermsDraft {
    TermsDraft {
        valid_from: None,
        window_secs: 30 * 86_400,
        goals: vec![GoalPlan { goal: "sale".into(), plan: Plan::Percentage(Rate(100_000)) }],
        hold: Hold { until_delivered: true, days: Some(30) },
        model: Model::Last,
        trust_pixel: false,
    }
}

pub async fn seed(app: &App) -> Catalog {
    let tenant = catalog::create_tenant(app, "Demo", Some("https://demo.example/")).await.unwrap().id;
    let (advertiser, _) = catalog::create_advertiser(app, tenant, "Robots").await.unwrap();
    let program = catalog::create_program(app, tenant, advertiser.id, "Robots everywhere").await.unwrap();
    let new = NewOffer {
        program: program.id,
        name: "Scooter".into(),
        destination: "https://shop.example/scooter".into(),
        click_id_parameter: None,
        terms: ten_percent(),
    };
    let offer = catalog::create_offer(app, tenant, new).await.unwrap();
    let partner = catalog::create_partner(app, tenant, "Publisher").await.unwrap();
    let link = catalog::create_link(app, tenant, offer.id, partner.id).await.unwrap();
    Catalog {
        tenant,
        advertiser: advertiser.id,
        program: program.id,
        offer: offer.id,
        partner: partner.id,
        link: link.id,
        clicked_secs: now_secs(),
    }
}

pub fn now_secs() -> u32 {
    u32::try_from(clock::now().secs()).unwrap()
}
