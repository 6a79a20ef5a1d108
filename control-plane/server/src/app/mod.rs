//! The use cases. gRPC, REST and the jobs call them; they decide by the domain and act on the store.

pub mod ahead;
pub mod catalog;
pub mod click_caps;
pub mod clock;
pub mod close_once;
pub mod conversions;
pub mod domains;
pub mod erase;
pub mod fleet;
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
