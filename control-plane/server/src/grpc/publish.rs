//! One Publish stream: Open, then batches and gaps up and acks down. What is true of them is decided in
//! [`crate::app::ingest`]; here it becomes messages.

use crate::app::App;
use crate::app::contention;
use crate::app::ingest::{self, Verdict};
use crate::app::outcomes::Outcome;
use crate::app::room;
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use control_plane_store::StoreError;
use control_plane_store::fleet::{Edge, LaneHead};
use proto_model::Lane;
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{self, OpenAck, PublishRequest, PublishResponse, Refusal};
use proto_wire::envelope::Header;
use std::sync::Arc;
use tokio::sync::SemaphorePermit;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tonic::{Status, Streaming};

/// Batches of a lane that are read before it is its turn: as many as an edge has under way, and as many again that it
/// sends anew after a gap.
const WINDOW: usize = 8;

pub struct Session {
    app: Arc<App>,
    edge: Edge,
    replies: Sender<Result<PublishResponse, Status>>,
}

/// The stream ends: the peer is gone, or nothing more will be taken from it.
struct Ended;

/// Where the reader puts what comes for each lane.
struct Lanes {
    money: Sender<Piece>,
    traffic: Sender<Piece>,
}

/// What streams are made of.
enum Piece {
    Batch(edge_v1::Batch),
    Gap(edge_v1::Gap),
}

impl Piece {
    /// Both name it at the same place.
    fn claimed_lane(&self) -> Option<Lane> {
        Header::claimed_lane(match self {
            Self::Batch(batch) => &batch.header,
            Self::Gap(gap) => &gap.declaration,
        })
    }
}

impl Session {
    pub fn new(app: Arc<App>, edge: Edge, replies: Sender<Result<PublishResponse, Status>>) -> Self {
        Self { app, edge, replies }
    }

    /// Until either side ends. Each lane has its own worker, so that conversions do not wait for clicks.
    pub async fn run(self, mut inbound: Streaming<PublishRequest>, stop: Stop) {
        let Ok(open) = self.opened(&mut inbound, stop.clone()).await else { return };
        let (money, of_money) = mpsc::channel(WINDOW);
        let (traffic, of_traffic) = mpsc::channel(WINDOW);
        let work = async {
            tokio::try_join!(
                self.read(&mut inbound, Lanes { money, traffic }, stop.clone()),
                self.take(Lane::Money, of_money, &open, &stop),
                self.take(Lane::Traffic, of_traffic, &open, &stop),
            )
        };
        tokio::select! {
            _ = work => {}
            () = self.revoked() => {
                let _ = self.fail(Status::permission_denied("this edge was revoked")).await;
            }
        }
    }

    /// The first message must be Open.
    async fn opened(
        &self,
        inbound: &mut Streaming<PublishRequest>,
        stop: Stop,
    ) -> Result<ingest::OpenSession, Ended> {
        match next(inbound, stop).await? {
            Some(Up::Open(open)) => self.on_open(open).await,
            Some(Up::Batch(_) | Up::Gap(_)) => {
                Err(self.fail(Status::failed_precondition("the first message must be Open")).await)
            }
            None => Err(self.fail(Status::invalid_argument("an empty message")).await),
        }
    }

    /// Hands what comes to its lane, in order. That the peer has no more to send is no reason to forget what it has sent.
    async fn read(
        &self,
        inbound: &mut Streaming<PublishRequest>,
        lanes: Lanes,
        stop: Stop,
    ) -> Result<(), Ended> {
        loop {
            let message = match next(inbound, stop.clone()).await {
                Ok(message) => message,
                Err(Ended) => return Ok(()),
            };
            let piece = match message {
                Some(Up::Batch(batch)) => Piece::Batch(batch),
                Some(Up::Gap(gap)) => Piece::Gap(gap),
                Some(Up::Open(_)) => {
                    return Err(self.fail(Status::failed_precondition("this stream is open")).await);
                }
                None => return Err(self.fail(Status::invalid_argument("an empty message")).await),
            };
            // What names no lane is refused at once, by the worker that waits for nothing.
            let lane = match piece.claimed_lane() {
                Some(Lane::Traffic) => &lanes.traffic,
                Some(Lane::Money) | None => &lanes.money,
            };
            lane.send(piece).await.map_err(|_| Ended)?;
        }
    }

    async fn take(
        &self,
        lane: Lane,
        mut pieces: Receiver<Piece>,
        open: &ingest::OpenSession,
        stop: &Stop,
    ) -> Result<(), Ended> {
        let mut early = None;
        while let Some(piece) = pieces.recv().await {
            let place = match (lane, &piece) {
                (Lane::Traffic, Piece::Batch(_)) => self.room(stop.clone()).await?,
                _ if stop.requested() => return Err(Ended),
                _ => None,
            };
            let verdict = match piece {
                Piece::Batch(batch) => ingest::take_batch(&self.app, &self.edge, open, batch).await,
                Piece::Gap(gap) => ingest::take_gap(&self.app, &self.edge, open, &gap).await,
            };
            // A peer that reads no answers must not keep others from it.
            drop(place);
            self.answer(verdict, open.epoch(), &mut early).await?;
        }
        Ok(())
    }

    /// A place for clicks, unless either side is gone before there is one.
    async fn room(&self, mut stop: Stop) -> Result<Option<SemaphorePermit<'_>>, Ended> {
        tokio::select! {
            () = stop.wait() => Err(Ended),
            () = self.replies.closed() => Err(Ended),
            place = room::wait(&self.app) => Ok(place),
        }
    }

    /// Resolves once the edge may not send any more. A batch is looked at for that anyway; this is for the idle.
    async fn revoked(&self) {
        let mut fleet = self.app.store.signals().fleet.subscribe();
        // Looked at first: it may have come to pass before this listened.
        while !super::is_revoked(&self.app, self.edge.id).await {
            if fleet.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn on_open(&self, open: edge_v1::Open) -> Result<ingest::OpenSession, Ended> {
        match ingest::open_session(&self.app, &self.edge, &open).await {
            Ok((session, heads)) => {
                let ack =
                    OpenAck { session: session.number(), heads: heads.iter().map(head_to_wire).collect() };
                self.reply(Down::OpenAck(ack)).await?;
                Ok(session)
            }
            Err(AppError::Store(StoreError::Fenced)) => {
                contention::refused_epoch(&self.app, self.edge.id, open.epoch);
                let detail = "this epoch is not the edge's newest: another spool writes now";
                tracing::warn!(edge = %self.edge.id, epoch = open.epoch, "a session was refused: {detail}");
                self.refuse(Kind::Fenced, None, 0, detail).await?;
                Err(Ended)
            }
            Err(AppError::Store(StoreError::Refused(_))) => {
                Err(self.fail(Status::permission_denied("this edge was revoked")).await)
            }
            Err(error) => Err(self.fail(super::status(error)).await),
        }
    }

    /// `early` is what the lane was last told to begin again from.
    async fn answer(
        &self,
        verdict: Result<Verdict, AppError>,
        epoch: u32,
        early: &mut Option<u64>,
    ) -> Result<(), Ended> {
        match verdict {
            Ok(Verdict::Committed(ack)) => {
                *early = None;
                self.reply(Down::Ack(ack)).await
            }
            Ok(Verdict::Gap { lane, expected }) => {
                // What was under way behind it comes too early as well, which is no news.
                if early.replace(expected) != Some(expected) {
                    tracing::warn!(edge = %self.edge.id, lane = lane.as_str(), expected, "a batch came too early");
                }
                self.refuse(Kind::Gap, Some(lane), expected, "send from the expected ordinal on").await
            }
            Ok(Verdict::Fenced { lane }) => {
                // What was still queued of a connection that broke is no news.
                if !self.replies.is_closed() {
                    contention::fenced_while_sending(&self.app, self.edge.id, epoch).await;
                    tracing::warn!(edge = %self.edge.id, "an older session of this edge still sends (two nodes with one identity?)");
                }
                self.refuse(Kind::Fenced, lane, 0, "a newer session of this edge exists").await?;
                Err(Ended)
            }
            Ok(Verdict::Quarantined { lane, why }) => {
                self.refuse(Kind::Quarantined, Some(lane), 0, &why).await
            }
            Ok(Verdict::Invalid { lane, why }) => {
                let of = lane.map_or("none", Lane::as_str);
                tracing::warn!(edge = %self.edge.id, lane = of, "a batch was refused: {why}");
                self.refuse(Kind::Invalid, lane, 0, &why).await
            }
            Ok(Verdict::Revoked) => Err(self.fail(Status::permission_denied("this edge was revoked")).await),
            Err(error) => {
                self.app.outcomes.count(Outcome::Failed);
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

    async fn fail(&self, status: Status) -> Ended {
        tracing::warn!(edge = %self.edge.id, "the stream is ended: {}", status.message());
        let _ = self.replies.send(Err(status)).await;
        Ended
    }
}

/// The next message; `None` for one without content.
async fn next(inbound: &mut Streaming<PublishRequest>, mut stop: Stop) -> Result<Option<Up>, Ended> {
    let message = tokio::select! {
        () = stop.wait() => return Err(Ended),
        message = inbound.message() => message,
    };
    match message {
        Ok(Some(PublishRequest { message })) => Ok(message),
        Ok(None) | Err(_) => Err(Ended),
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
