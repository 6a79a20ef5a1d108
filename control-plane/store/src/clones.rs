//! Whether an edge that opens a session has the history that was taken from it. Two nodes that write with one identity
//! (a copied disk, a machine put back from an image) differ in it, sooner or later.

use crate::StoreError;
use crate::alerts::{self, AlertKind, Raised, lane_subject};
use crate::fleet::{LaneClaim, LaneHead};
use crate::journal::set_quarantine;
use crate::place::Head;
use crate::retention::anchor;
use crate::row::{Columns, big};
use crate::sql::{Connection, query};
use proto_model::{EdgeId, StreamNo, UnixMicros};

const WHY: &str = "the edge comes with another history than the one that was taken from it (was its disk copied or restored?)";

/// What stands in a stream where an edge says that its own ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// A batch or a gap that ends there, with its hash.
    Ends([u8; 32]),
    /// None that ends there.
    Goes,
    /// It was dropped, or lies within a declared gap: nobody can tell.
    Unknown,
}

/// Who is ahead of us knows more than we do, as after a restore: nothing can be compared.
fn can_be_compared(held: u64, head: &Head) -> bool {
    1 <= held && held <= head.last_ordinal
}

fn has_diverged(hash: &[u8; 32], known: Known) -> bool {
    match known {
        Known::Ends(ours) => ours != *hash,
        Known::Goes => true,
        Known::Unknown => false,
    }
}

async fn known(conn: &mut Connection, stream: StreamNo, held: u64, head: &Head) -> Result<Known, StoreError> {
    if held == head.last_ordinal {
        return Ok(Known::Ends(head.hash));
    }
    let sql = "SELECT head_hash FROM journal WHERE stream = $1 AND last_ordinal = $2 AND first_ordinal = \
            (SELECT max(first_ordinal) FROM journal WHERE stream = $1 AND first_ordinal <= $2) \
        UNION ALL SELECT resume_hash FROM stream_gaps WHERE stream = $1 AND last_ordinal = $2";
    let ends = query(sql).bind(i64::from(stream.0)).bind(big(held)).fetch_optional(&mut *conn).await?;
    match ends {
        Some(row) => Ok(Known::Ends(row.bytes("head_hash")?)),
        // Looked at after the journal: days are dropped together with the anchor's move.
        None if held <= anchor(conn, stream).await?.last_ordinal => Ok(Known::Unknown),
        // The last intact batch of a healthy edge may lie there: it had sealed those that it has declared lost.
        None if is_within_gap(conn, stream, held).await? => Ok(Known::Unknown),
        None => Ok(Known::Goes),
    }
}

async fn is_within_gap(conn: &mut Connection, stream: StreamNo, held: u64) -> Result<bool, StoreError> {
    let sql =
        "SELECT 1 AS within FROM stream_gaps WHERE stream = $1 AND first_ordinal <= $2 AND last_ordinal > $2";
    let within = query(sql).bind(i64::from(stream.0)).bind(big(held));
    Ok(within.fetch_optional(conn).await?.is_some())
}

/// Stops the lanes whose claims contradict what is here, and raises an alert for each; those that stand still already
/// are left alone. In the transaction that opens the session.
pub(crate) async fn stop_diverged(
    conn: &mut Connection,
    edge: EdgeId,
    claims: &[LaneClaim],
    heads: &mut [LaneHead],
    now: UnixMicros,
) -> Result<(), StoreError> {
    for head in heads.iter_mut().filter(|head| head.quarantined.is_none()) {
        let claim = claims.iter().find(|claim| claim.stream == head.stream);
        let held = claim.and_then(|claim| Some((claim.held, claim.held_hash?)));
        let Some((held, hash)) = held else { continue };
        let ours = head.head();
        if !can_be_compared(held, &ours) || !has_diverged(&hash, known(conn, head.stream, held, &ours).await?)
        {
            continue;
        }
        set_quarantine(conn, head.stream, WHY, now).await?;
        let detail = format!(
            "stream {} ends at {held} on the edge with another hash than here, where it stands at {}",
            head.stream.0, ours.last_ordinal
        );
        let subject = lane_subject(edge, head.lane);
        let raised = Raised { kind: AlertKind::DiskCloned, subject, detail, count: 1, at: now };
        alerts::raise(conn, &raised).await?;
        head.quarantined = Some(WHY.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_know_can_contradict() {
        let head = Head { last_ordinal: 9, hash: [9; 32] };
        for (held, compared) in [(0, false), (1, true), (9, true), (10, false), (u64::MAX, false)] {
            assert_eq!(can_be_compared(held, &head), compared, "{held}");
        }
        assert!(!can_be_compared(1, &Head { last_ordinal: 0, hash: [0; 32] }));
        let cases = [
            (Known::Ends([7; 32]), false),
            (Known::Ends([8; 32]), true),
            (Known::Goes, true),
            (Known::Unknown, false),
        ];
        for (known, diverged) in cases {
            assert_eq!(has_diverged(&[7; 32], known), diverged, "{known:?}");
        }
    }
}
