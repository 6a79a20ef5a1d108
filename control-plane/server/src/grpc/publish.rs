//! One Publish stream: Open, then batches up and acks down. What is true of a batch is decided in
//! [`crate::app::ingest`]; here it becomes messages.

use crate::app::App;
use crate::app::ingest::{self, Verdict};
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use control_plane_store::StoreError;
use control_plane_store::fleet::{Edge, LaneHead};
use proto_model::Lane;
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{self, OpenAck, PublishRequest, PublishResponse, Refusal};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

pub struct Session {
    app: Arc<App>,
    edge: Edge,
    replies: Sender<Result<PublishResponse, Status>>,
    open: Option<ingest::OpenSession>,
}

/// The stream ends: the peer is gone, or nothing more will be taken from it.
struct Ended;

impl Session {
    pub fn new(app: Arc<App>, edge: Edge, replies: Sender<Result<PublishResponse, Status>>) -> Self {
        Self { app, edge, replies, open: None }
    }

    pub async fn run(mut self, mut inbound: Streaming<PublishRequest>, mut stop: Stop) {
        loop {
            let message = tokio::select! {
                () = stop.wait() => return,
                message = inbound.message() => message,
            };
            let message = match message {
                Ok(Some(PublishRequest { message: Some(message) })) => message,
                Ok(Some(PublishRequest { message: None })) => {
                    let _ = self.fail(Status::invalid_argument("an empty message")).await;
                    return;
                }
                Ok(None) | Err(_) => return,
            };
            let result = match message {
                Up::Open(open) => self.on_open(open).await,
                Up::Batch(batch) => self.on_batch(batch).await,
            };
            if result.is_err() {
                return;
            }
        }
    }

    async fn on_open(&mut self, open: edge_v1::Open) -> Result<(), Ended> {
        match ingest::open_session(&self.app, &self.edge, &open).await {
            Ok((session, heads)) => {
                let ack =
                    OpenAck { session: session.number(), heads: heads.iter().map(head_to_wire).collect() };
                self.open = Some(session);
                self.reply(Down::OpenAck(ack)).await
            }
            Err(AppError::Store(StoreError::Fenced)) => {
                let detail = "this epoch is not the edge's newest: another spool writes now";
                self.refuse(Kind::Fenced, None, 0, detail).await?;
                Err(Ended)
            }
            Err(AppError::Store(StoreError::Refused(_))) => {
                self.fail(Status::permission_denied("this edge was revoked")).await
            }
            Err(error) => self.fail(super::status(error)).await,
        }
    }

    async fn on_batch(&mut self, batch: edge_v1::Batch) -> Result<(), Ended> {
        let Some(open) = &self.open else {
            return self.fail(Status::failed_precondition("the first message must be Open")).await;
        };
        match ingest::take_batch(&self.app, &self.edge, open, batch).await {
            Ok(Verdict::Committed(ack)) => self.reply(Down::Ack(ack)).await,
            Ok(Verdict::Gap { lane, expected }) => {
                self.refuse(Kind::Gap, Some(lane), expected, "send from the expected ordinal on").await
            }
            Ok(Verdict::Fenced { lane }) => {
                self.refuse(Kind::Fenced, lane, 0, "a newer session of this edge exists").await?;
                Err(Ended)
            }
            Ok(Verdict::Quarantined { lane, why }) => {
                self.refuse(Kind::Quarantined, Some(lane), 0, &why).await
            }
            Ok(Verdict::Invalid { lane, why }) => self.refuse(Kind::Invalid, lane, 0, &why).await,
            Ok(Verdict::Revoked) => self.fail(Status::permission_denied("this edge was revoked")).await,
            Err(error) => {
                tracing::error!(edge = %self.edge.id, "a batch could not be stored: {}", chain(&error));
                self.refuse(Kind::Unavailable, None, 0, "the journal cannot be written now").await?;
                Err(Ended)
            }
        }
    }

    async fn refuse(&self, kind: Kind, lane: Option<Lane>, expected: u64, detail: &str) -> Result<(), Ended> {
        self.reply(Down::Refusal(Refusal {
            kind: kind.into(),
            lane: lane.map_or(0, |lane| i32::from(lane.code())),
            expected_ordinal: expected,
            detail: detail.to_owned(),
        }))
        .await
    }

    async fn reply(&self, message: Down) -> Result<(), Ended> {
        self.replies.send(Ok(PublishResponse { message: Some(message) })).await.map_err(|_| Ended)
    }

    async fn fail(&self, status: Status) -> Result<(), Ended> {
        let _ = self.replies.send(Err(status)).await;
        Err(Ended)
    }
}

fn head_to_wire(head: &LaneHead) -> edge_v1::LaneHead {
    edge_v1::LaneHead {
        lane: i32::from(head.lane.code()),
        stream: head.stream.0,
        last_ordinal: head.last_ordinal,
        head_hash: head.head_hash.to_vec(),
    }
}
