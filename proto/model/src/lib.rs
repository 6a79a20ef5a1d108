//! The vocabulary both planes share: ids, time, money, facts and tracking events.
//!
//! Pure: no clock, no randomness, no I/O, no floats, no serialization. Time and new ids come in as
//! arguments; bytes are made at the boundary (`proto-wire`, `control-plane-store`).

pub mod cap;
pub mod event;
pub mod facts;
pub mod host;
pub mod id;
pub mod money;
pub mod postback;
pub mod reason;
pub mod routing;
pub mod time;

pub use cap::{Budget, CapWindow, Capped, ClickCap, ClickLease};
pub use event::{Address, ClickFacts, ClickFlags, Lane, StreamNo, TrackingEvent};
pub use facts::{Country, DeviceClass, VerdictKind};
pub use host::{HostError, HostList, check_host};
pub use id::{AdvertiserId, DerivedId, EdgeId, LinkId, OfferId, PartnerId, ProgramId, TenantId};
pub use money::{Amount, Currency, Rate};
pub use postback::{
    ConversionStatus, ParameterError, ParameterNames, ParameterProfile, PostbackAuth, PostbackField,
    StatusWords,
};
pub use reason::Reason;
pub use routing::{PauseReason, Preview, RedirectKind, is_slug};
pub use time::UnixMicros;
