//! The use cases. gRPC, REST and the jobs call them; they decide by the domain and act on the store.

pub mod ahead;
pub mod alerts;
pub mod catalog;
pub mod click_caps;
pub mod clock;
pub mod close_once;
pub mod contention;
pub mod conversions;
pub mod domains;
pub mod edge_health;
pub mod erase;
pub mod fleet;
pub mod gap_rate;
pub mod health;
pub mod hits;
pub mod ingest;
pub mod job;
pub mod keys;
pub mod lease;
pub mod links;
pub mod money;
pub mod nodes;
pub mod orders;
pub mod outcomes;
pub mod postbacks;
pub mod project;
pub mod recent;
pub mod replay;
pub mod restore;
pub mod retention;
pub mod room;
pub mod rules;
pub mod rules_json;
pub mod scan;
pub mod settings;
pub mod settle;
pub mod shares;
pub mod snapshot;
pub mod verify;

use crate::ca::Authority;
use crate::supervise::Stop;
use control_plane_store::Store;

/// Everything a use case may need; shared by all tasks of the process.
pub struct App {
    pub store: Store,
    /// The fleet's certificate authority and the control plane's signing keys.
    pub authority: Authority,
    /// What edges are told to connect to.
    pub grpc_url: String,
    pub snapshots: snapshot::Snapshots,
    pub health: health::Health,
    pub alerts: alerts::Alerts,
    pub contention: contention::Contention,
    pub outcomes: outcomes::Outcomes,
    pub gap_rate: gap_rate::GapRate,
    /// Ends long replies (event streams) when the process shall end.
    pub stop: Stop,
    pub reconciling: job::Job<restore::Reconciliation>,
    pub verifying: job::Job<verify::Verification>,
    /// How long an edge may spend its share of a click cap without asking.
    pub click_lease: std::time::Duration,
    /// Shown at the foot of pages with countries on them.
    pub geo_credits: Vec<crate::config::GeoCredit>,
    pub(crate) logins: keys::Logins,
    pub(crate) room: room::Room,
    /// Names this process in leases.
    pub(crate) node: String,
}

/// What an [`App`] is made of; everything else in it begins empty.
pub struct Parts {
    pub store: Store,
    pub authority: Authority,
    pub grpc_url: String,
    pub stop: Stop,
    pub click_lease: std::time::Duration,
    pub geo_credits: Vec<crate::config::GeoCredit>,
    pub node: String,
}

impl App {
    /// At rest: nothing runs in the background.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, authority, grpc_url, stop, click_lease, geo_credits, node } = parts;
        Self {
            store,
            authority,
            grpc_url,
            snapshots: snapshot::Snapshots::default(),
            health: health::Health::default(),
            alerts: alerts::Alerts::default(),
            contention: contention::Contention::default(),
            outcomes: outcomes::Outcomes::default(),
            gap_rate: gap_rate::GapRate::default(),
            stop,
            reconciling: job::Job::default(),
            verifying: job::Job::default(),
            click_lease,
            geo_credits,
            logins: keys::Logins::default(),
            room: room::Room::default(),
            node,
        }
    }
}
