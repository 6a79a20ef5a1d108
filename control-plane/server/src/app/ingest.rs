//! One sealed batch: checked against the edge that sent it, then committed to the journal.

use super::{App, clock, restore};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::fleet::{Edge, LaneClaim, LaneHead};
use control_plane_store::journal::{AppendOutcome, BatchHeader, NewBatch};
use proto_model::{Lane, StreamNo};
use proto_wire::convert::lane_from_wire;
use proto_wire::edge_v1;
use proto_wire::envelope::{AckStatement, EnvelopeError, Header, SealedBatch};
use proto_wire::keys::PublicKey;

/// What an edge has opened: its fence, and the streams that it may write.
pub struct OpenSession {
    session: u64,
    epoch: u32,
    streams: Vec<(Lane, StreamNo)>,
}

impl OpenSession {
    pub fn number(&self) -> u64 {
        self.session
    }

    fn stream(&self, lane: Lane) -> Option<StreamNo> {
        self.streams.iter().find(|(of, _)| *of == lane).map(|(_, stream)| *stream)
    }
}

/// What became of a batch.
#[derive(Debug)]
pub enum Verdict {
    Committed(edge_v1::Ack),
    Gap { lane: Lane, expected: u64 },
    Fenced { lane: Option<Lane> },
    Quarantined { lane: Lane, why: String },
    Invalid { lane: Option<Lane>, why: String },
    Revoked,
}

/// A new session: from now on, older ones of this edge are fenced.
pub async fn open_session(
    app: &App,
    edge: &Edge,
    open: &edge_v1::Open,
) -> Result<(OpenSession, Vec<LaneHead>), AppError> {
    let claims: Vec<LaneClaim> = open.lanes.iter().filter_map(claim_from_wire).collect();
    let opened = app.store.open_session(edge.id, open.epoch, &claims, clock::now()).await;
    let opened = opened.map_err(|error| restore::refused(app, edge.id, open.epoch, error))?;
    if opened.adopted {
        tracing::warn!(edge = %edge.id, epoch = open.epoch, "an edge goes on with an epoch that the restore had forgotten");
    }
    restore::compare(app, edge.id, &claims, &opened.heads).await?;
    let streams = opened.heads.iter().map(|head| (head.lane, head.stream)).collect();
    Ok((OpenSession { session: opened.session, epoch: open.epoch, streams }, opened.heads))
}

fn claim_from_wire(claim: &edge_v1::LaneClaim) -> Option<LaneClaim> {
    let lane = lane_from_wire(claim.lane).ok()?;
    let (held, signed_for) = (claim.held_ordinal, claim.acked_ordinal);
    Some(LaneClaim { lane, stream: StreamNo(claim.stream), held, signed_for })
}

pub async fn take_batch(
    app: &App,
    edge: &Edge,
    open: &OpenSession,
    message: edge_v1::Batch,
) -> Result<Verdict, AppError> {
    if message.session != open.session {
        return Ok(Verdict::Fenced { lane: None });
    }
    // A stream lives for days; a revocation must not wait for its end.
    match app.store.get_edge(edge.id).await {
        Ok(current) if !current.revoked => {}
        Ok(_) | Err(StoreError::NotFound) => return Ok(Verdict::Revoked),
        Err(error) => return Err(error.into()),
    }
    let (sealed, header) = match check(edge, open, message) {
        Ok(checked) => checked,
        Err(Refused::Invalid(lane, why)) => return Ok(Verdict::Invalid { lane, why }),
        Err(Refused::Forged(lane, stream)) => {
            let why = "a batch whose signature does not verify under this edge's batch key";
            tracing::error!(edge = %edge.id, lane = lane.as_str(), "quarantined: {why}");
            app.store.quarantine(stream, why).await?;
            return Ok(Verdict::Quarantined { lane, why: why.into() });
        }
    };
    append(app, edge, open, sealed, &header).await
}

enum Refused {
    Invalid(Option<Lane>, String),
    /// Names one of this edge's streams, but the edge's batch key has not signed it.
    Forged(Lane, StreamNo),
}

/// Everything that can be known without the database. The raw bytes are verified before anything in
/// them is decoded; the header's fields are compared with what the session may write.
fn check(edge: &Edge, open: &OpenSession, message: edge_v1::Batch) -> Result<(SealedBatch, Header), Refused> {
    let lane = Header::claimed_lane(&message.header);
    let invalid = |error: &EnvelopeError| Refused::Invalid(lane, crate::error::chain(error));
    let sealed = SealedBatch::from_message(message).map_err(|error| invalid(&error))?;
    let claimed = Header::parse(&sealed.header_bytes).map_err(|error| invalid(&error))?;
    let lane = claimed.lane;
    let foreign = |what: &str| Refused::Invalid(Some(lane), format!("the batch is of another {what}"));
    if claimed.edge != edge.id {
        return Err(foreign("edge"));
    }
    if claimed.epoch != open.epoch {
        return Err(foreign("epoch"));
    }
    if open.stream(lane) != Some(claimed.stream) {
        return Err(foreign("stream"));
    }
    let verified = sealed.verify(&PublicKey(edge.batch_public_key));
    match verified.and_then(|header| sealed.check_frames(&header).map(|()| header)) {
        Ok(header) => Ok((sealed, header)),
        Err(EnvelopeError::Signature(_)) => Err(Refused::Forged(lane, claimed.stream)),
        Err(error) => Err(Refused::Invalid(Some(lane), crate::error::chain(&error))),
    }
}

async fn append(
    app: &App,
    edge: &Edge,
    open: &OpenSession,
    sealed: SealedBatch,
    header: &Header,
) -> Result<Verdict, AppError> {
    let lane = header.lane;
    let head_hash = header.head_hash();
    let batch = NewBatch {
        edge: edge.id,
        session: open.session,
        header: plain(header),
        head_hash,
        header_bytes: sealed.header_bytes,
        signature: sealed.signature,
        payload: sealed.payload,
        sidecar: sealed.sidecar,
        received_at: clock::now(),
    };
    let ack = |last_ordinal: u64, head_hash: [u8; 32]| {
        let statement = AckStatement { edge: edge.id, epoch: open.epoch, lane, last_ordinal, head_hash };
        Verdict::Committed(statement.sign(app.authority.control()))
    };
    Ok(match app.store.append_batch(&batch).await? {
        AppendOutcome::Appended { .. } => ack(header.last_ordinal, head_hash),
        AppendOutcome::AlreadyCovered { last_ordinal, head_hash } => ack(last_ordinal, head_hash),
        AppendOutcome::Gap { expected } => Verdict::Gap { lane, expected },
        AppendOutcome::Fork { why } => {
            tracing::error!(edge = %edge.id, lane = lane.as_str(), "quarantined: {why}");
            Verdict::Quarantined { lane, why }
        }
        AppendOutcome::Fenced => Verdict::Fenced { lane: Some(lane) },
    })
}

fn plain(header: &Header) -> BatchHeader {
    BatchHeader {
        edge: header.edge,
        epoch: header.epoch,
        lane: header.lane,
        stream: header.stream,
        first_ordinal: header.first_ordinal,
        last_ordinal: header.last_ordinal,
        events: header.events,
        prev_hash: header.prev_hash,
    }
}
