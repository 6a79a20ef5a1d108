//! Work that time alone calls for: holds that have run out become inputs of the money engine.

use crate::App;
use crate::app::clock;
use crate::app::health::Status;
use crate::app::lease::{Held, unless_lost};
use crate::error::AppError;
use crate::supervise::Stop;
use control_plane_domain::intake::{Input, ShardKey};
use proto_model::UnixMicros;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The part in the health report, and the lease.
pub const PART: &str = "jobs";
const EVERY: Duration = Duration::from_secs(1);
const HOLDS: u32 = 500;
/// A hold stays due until the money engine has come to it; it is not asked for each second meanwhile.
const ASK_AGAIN_SECS: i64 = 3_600;

type Asked = BTreeMap<(ShardKey, String), UnixMicros>;

pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    loop {
        let Some(mut held) = Held::acquire(&app, PART, &mut stop).await? else { return Ok(()) };
        let result = while_held(&app, &mut held, &mut stop).await;
        if unless_lost(PART, result)?.is_some() {
            return held.release(&app).await;
        }
    }
}

/// Until the process is asked to stop.
async fn while_held(app: &App, held: &mut Held, stop: &mut Stop) -> Result<(), AppError> {
    let mut asked = Asked::new();
    while !stop.requested() {
        held.keep(app).await?;
        release_holds(app, &mut asked).await?;
        app.health.set(PART, Status::Ok);
        stop.sleep(EVERY).await;
    }
    Ok(())
}

/// The engine checks each of them again: one that comes twice, or too early, changes nothing.
async fn release_holds(app: &App, asked: &mut Asked) -> Result<(), AppError> {
    let now = clock::now();
    asked.retain(|_, until| *until > now);
    for (shard, order_id) in app.store.due_holds(now, HOLDS).await? {
        if asked.contains_key(&(shard, order_id.clone())) {
            continue;
        }
        app.store.append_intake(shard, &Input::HoldElapsed { order_id: order_id.clone() }, now).await?;
        asked.insert((shard, order_id), now.plus_secs(ASK_AGAIN_SECS));
    }
    Ok(())
}
