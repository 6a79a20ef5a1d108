//! Tells the control plane every few seconds how the node is doing, and learns the time from it. Whatever becomes of a
//! report, nothing else waits for it.

mod clock;
mod content;

pub use clock::{Clock, Measured, Skew};
pub(crate) use content::trouble;

use crate::disk::SharedDisk;
use crate::forward::ForwardStatus;
use crate::identity::ControlLink;
use crate::node::now_micros;
use crate::snapshot::SharedSnapshot;
use crate::spool::SpoolHandle;
use crate::with_causes;
use content::{Seen, Waiting};
use proto_wire::edge_v1::ReportRequest;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::keys::random;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;

const EVERY: Duration = Duration::from_secs(10);
/// A control plane that knows no reports is asked again when a session opens, since it may be another then.
const RARELY: Duration = Duration::from_secs(3600);
/// For the connection and the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("no connection to the control plane")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane knows no reports: it is older than this edge, upgrade it")]
    Older,
    #[error("the control plane ended the call")]
    Call(#[source] Box<tonic::Status>),
    #[error("the control plane did not answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

/// What a reporter looks at.
pub struct ReporterParts {
    pub link: Arc<ControlLink>,
    pub spool: SpoolHandle,
    pub snapshot: SharedSnapshot,
    pub forward: Arc<ForwardStatus>,
    pub clock: Arc<Clock>,
    pub disk: SharedDisk,
    pub data_dir: PathBuf,
}

pub struct Reporter {
    parts: ReporterParts,
    waiting: Waiting,
    client: Option<EdgeServiceClient<Channel>>,
}

impl Reporter {
    pub fn new(parts: ReporterParts) -> Self {
        Self { parts, waiting: Waiting::default(), client: None }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut pause = spread(random());
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.parts.forward.opened() => {}
            }
            pause = spread(random());
            if let Err(error) = self.report().await {
                self.client = None;
                tracing::debug!(error = with_causes(&error), "not reported how this node is doing");
                if matches!(error, ReportError::Older) {
                    pause = RARELY;
                }
            }
        }
    }

    async fn report(&mut self) -> Result<(), ReportError> {
        let Some(measured) = tokio::time::timeout(TIMEOUT, self.exchange()).await?? else { return Ok(()) };
        let secs = measured.offset_secs();
        match self.parts.clock.set(measured) {
            Some(Skew::Off) => {
                tracing::warn!(secs, "the control plane's clock is not this machine's (is NTP on?)")
            }
            Some(Skew::FarOff) => tracing::error!(
                secs,
                "the control plane's clock is far from this machine's: hits get wrong times; put it right (NTP)"
            ),
            Some(Skew::Right) => tracing::info!(secs, "the clock is right again"),
            None => {}
        }
        Ok(())
    }

    async fn exchange(&mut self) -> Result<Option<Measured>, ReportError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => EdgeServiceClient::new(self.parts.link.connect().await?),
        };
        // Only now, so that connecting is not a part of the round trip.
        let (began, now) = (Instant::now(), now_micros());
        let Some(request) = self.request(now) else { return Ok(None) };
        let answer = client.report(request).await.map_err(|status| match status.code() {
            tonic::Code::Unimplemented => ReportError::Older,
            _ => ReportError::Call(Box::new(status)),
        })?;
        self.client = Some(client);
        Ok(Some(Measured::new(now, began.elapsed(), answer.get_ref().now_micros)))
    }

    fn request(&mut self, now_micros: i64) -> Option<ReportRequest> {
        let ReporterParts { spool, snapshot, forward, clock, disk, data_dir, .. } = &self.parts;
        let free = disk.free(data_dir).ok().filter(|free| *free < u64::MAX);
        let seen = Seen {
            now_micros,
            measured: clock.measured(),
            snapshot_version: snapshot.load().as_ref().map_or(0, |snapshot| snapshot.version),
            streams: spool.streams(),
            progress: forward.progress(),
            spool: spool.status(),
            free_bytes: free.unwrap_or_default(),
        };
        content::request(seen, &mut self.waiting)
    }
}

/// Give or take a tenth, so that the edges of a fleet do not report in step.
fn spread(random: [u8; 1]) -> Duration {
    EVERY * 9 / 10 + EVERY / 5 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_spread() {
        assert_eq!((spread([0]), spread([255])), (Duration::from_secs(9), Duration::from_secs(11)));
    }
}
