//! What comes on a stream, a sealed batch or the declaration of a gap: checked against the edge that sent it, then
//! committed.

use super::outcomes::Outcome;
use super::{App, clock, gap_rate, restore};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::alerts::{AlertKind, edge_subject, lane_subject};
use control_plane_store::fleet::{Edge, LaneClaim, LaneHead};
use control_plane_store::gaps::{GapRow, NewGap};
use control_plane_store::journal::{AppendOutcome, BatchHeader, NewBatch};
use proto_model::{EdgeId, Lane, StreamNo};
use proto_wire::convert::lane_from_wire;
use proto_wire::edge_v1;
use proto_wire::envelope::{AckStatement, EnvelopeError, GapDeclaration, Header, SealedBatch};
use proto_wire::keys::{PublicKey, SIGNATURE_LEN};

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

    pub fn epoch(&self) -> u32 {
        self.epoch
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
    for head in &opened.heads {
        if let Some(why) = &head.quarantined {
            tracing::warn!(edge = %edge.id, lane = head.lane.as_str(), "the lane is in quarantine: {why}");
        }
    }
    restore::compare(app, edge.id, &claims, &opened.heads).await?;
    let streams = opened.heads.iter().map(|head| (head.lane, head.stream)).collect();
    Ok((OpenSession { session: opened.session, epoch: open.epoch, streams }, opened.heads))
}

fn claim_from_wire(claim: &edge_v1::LaneClaim) -> Option<LaneClaim> {
    let lane = lane_from_wire(claim.lane).ok()?;
    let (held, signed_for) = (claim.held_ordinal, claim.acked_ordinal);
    let held_hash = claim.held_hash.as_slice().try_into().ok();
    Some(LaneClaim { lane, stream: StreamNo(claim.stream), held, signed_for, held_hash })
}

pub async fn take_batch(
    app: &App,
    edge: &Edge,
    open: &OpenSession,
    message: edge_v1::Batch,
) -> Result<Verdict, AppError> {
    if let Some(verdict) = turned_away(app, edge, open, message.session).await? {
        return Ok(verdict);
    }
    match check(edge, open, message) {
        Ok((sealed, header)) => append(app, edge, open, sealed, &header).await,
        Err(refused) => Ok(invalid(app, edge, refused)),
    }
}

/// Takes an edge's word for it that batches are lost.
pub async fn take_gap(
    app: &App,
    edge: &Edge,
    open: &OpenSession,
    message: &edge_v1::Gap,
) -> Result<Verdict, AppError> {
    if let Some(verdict) = turned_away(app, edge, open, message.session).await? {
        return Ok(verdict);
    }
    let (gap, signature) = match check_gap(edge, open, message) {
        Ok(checked) => checked,
        Err(refused) => return Ok(invalid(app, edge, refused)),
    };
    if !app.gap_rate.has_room(edge.id, gap.lane) {
        return Ok(invalid(app, edge, (Some(gap.lane), flooded())));
    }
    let row = GapRow {
        stream: gap.stream,
        first_ordinal: gap.first_ordinal,
        last_ordinal: gap.last_ordinal,
        reason: gap.reason.as_str().to_owned(),
        declaration: message.declaration.clone(),
        signature,
        prev_hash: gap.prev_hash,
        resume_hash: gap.resume_hash,
        received_at: clock::now(),
    };
    let new = NewGap { edge: edge.id, session: open.session, epoch: gap.epoch, lane: gap.lane, row };
    let outcome = app.store.append_gap(&new).await?;
    if outcome == AppendOutcome::Declared {
        app.gap_rate.note(edge.id, gap.lane);
        tracing::error!(
            edge = %edge.id, lane = gap.lane.as_str(), first = gap.first_ordinal, last = gap.last_ordinal,
            "the edge declares batches as lost that it had sealed ({})", gap.reason.as_str()
        );
    }
    Ok(verdict(app, edge, gap.lane, open, (gap.last_ordinal, gap.resume_hash), outcome))
}

fn flooded() -> String {
    format!(
        "the lane declares gaps too fast: after {} at once, one in {} s is taken; look at the edge's disk",
        gap_rate::AT_ONCE,
        gap_rate::EACH.as_secs()
    )
}

/// Whoever may not send at all.
async fn turned_away(
    app: &App,
    edge: &Edge,
    open: &OpenSession,
    session: u64,
) -> Result<Option<Verdict>, AppError> {
    if session != open.session {
        app.outcomes.count(Outcome::Fenced);
        return Ok(Some(Verdict::Fenced { lane: None }));
    }
    // A stream lives for days; a revocation must not wait for its end.
    match app.store.get_edge(edge.id).await {
        Ok(current) if !current.revoked => Ok(None),
        Ok(_) | Err(StoreError::NotFound) => Ok(Some(Verdict::Revoked)),
        Err(error) => Err(error.into()),
    }
}

/// Why a piece is refused, and the lane it claims.
type Refused = (Option<Lane>, String);

/// Counted, and nothing written: whoever sends such things can send many.
fn invalid(app: &App, edge: &Edge, (lane, why): Refused) -> Verdict {
    app.outcomes.count(Outcome::Invalid);
    let subject = lane.map_or_else(|| edge_subject(edge.id), |lane| lane_subject(edge.id, lane));
    app.alerts.raise(AlertKind::BatchRefused, subject, why.clone());
    Verdict::Invalid { lane, why }
}

/// Everything that can be known without the database. The raw bytes are verified before anything in them is decoded;
/// the header's fields are compared with what the session may write.
fn check(edge: &Edge, open: &OpenSession, message: edge_v1::Batch) -> Result<(SealedBatch, Header), Refused> {
    let lane = Header::claimed_lane(&message.header);
    let invalid = |error: EnvelopeError| (lane, crate::error::chain(&error));
    let sealed = SealedBatch::from_message(message).map_err(invalid)?;
    let header = sealed.verify(&PublicKey(edge.batch_public_key)).map_err(invalid)?;
    belongs(edge, open, (header.edge, header.epoch, header.lane, header.stream))
        .map_err(|what| (lane, format!("the batch is of another {what}")))?;
    sealed.check_frames(&header).map_err(invalid)?;
    Ok((sealed, header))
}

/// Whether the session may write there, else which part of the address is not its own.
fn belongs(
    edge: &Edge,
    open: &OpenSession,
    (id, epoch, lane, stream): (EdgeId, u32, Lane, StreamNo),
) -> Result<(), &'static str> {
    if id != edge.id {
        return Err("edge");
    }
    if epoch != open.epoch {
        return Err("epoch");
    }
    if open.stream(lane) == Some(stream) { Ok(()) } else { Err("stream") }
}

fn check_gap(
    edge: &Edge,
    open: &OpenSession,
    message: &edge_v1::Gap,
) -> Result<(GapDeclaration, [u8; SIGNATURE_LEN]), Refused> {
    // It stands where that of a batch does.
    let lane = Header::claimed_lane(&message.declaration);
    let key = PublicKey(edge.batch_public_key);
    let gap = GapDeclaration::verify(&key, &message.declaration, &message.signature)
        .map_err(|error| (lane, crate::error::chain(&error)))?;
    belongs(edge, open, (gap.edge, gap.epoch, gap.lane, gap.stream))
        .map_err(|what| (lane, format!("the gap is of another {what}")))?;
    let signature = message.signature.as_slice().try_into();
    Ok((gap, signature.map_err(|_| (lane, "the signature of the gap is cut short".to_owned()))?))
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
    let outcome = app.store.append_batch(&batch).await?;
    Ok(verdict(app, edge, lane, open, (header.last_ordinal, head_hash), outcome))
}

/// `reached` is where the lane stands once the piece is part of it.
fn verdict(
    app: &App,
    edge: &Edge,
    lane: Lane,
    open: &OpenSession,
    reached: (u64, [u8; 32]),
    outcome: AppendOutcome,
) -> Verdict {
    let ack = |(last_ordinal, head_hash)| {
        let statement = AckStatement { edge: edge.id, epoch: open.epoch, lane, last_ordinal, head_hash };
        Verdict::Committed(statement.sign(app.authority.control()))
    };
    app.outcomes.count(match &outcome {
        AppendOutcome::Appended { .. } => Outcome::Appended,
        AppendOutcome::Declared => Outcome::GapDeclared,
        AppendOutcome::AlreadyCovered { .. } => Outcome::Known,
        AppendOutcome::Gap { .. } => Outcome::Early,
        AppendOutcome::Fork { .. } => Outcome::Fork,
        AppendOutcome::Fenced => Outcome::Fenced,
    });
    match outcome {
        AppendOutcome::Appended { .. } | AppendOutcome::Declared => ack(reached),
        AppendOutcome::AlreadyCovered { last_ordinal, head_hash } => ack((last_ordinal, head_hash)),
        AppendOutcome::Gap { expected } => Verdict::Gap { lane, expected },
        AppendOutcome::Fork { why } => {
            tracing::error!(edge = %edge.id, lane = lane.as_str(), "quarantined: {why}");
            Verdict::Quarantined { lane, why }
        }
        AppendOutcome::Fenced => Verdict::Fenced { lane: Some(lane) },
    }
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
