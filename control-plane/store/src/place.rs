//! Where a piece of a stream belongs: a batch, or the declaration that batches are lost. Pure: what stands in the
//! database comes in as plain values, so that a model of the journal decides by the same rules.

/// How far a stream has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// 0 = nothing yet.
    pub last_ordinal: u64,
    /// Zeros = nothing yet.
    pub hash: [u8; 32],
}

/// What somebody wants to put into a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    pub first_ordinal: u64,
    /// Inclusive.
    pub last_ordinal: u64,
    /// The head that it continues.
    pub prev_hash: [u8; 32],
}

impl Piece {
    /// Some of its ordinals are taken: what stands there decides.
    pub fn is_behind(&self, head: &Head) -> bool {
        self.first_ordinal <= head.last_ordinal
    }
}

/// What the stream has at a piece's ordinals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// This very piece.
    Same,
    /// Another piece with the same ordinals.
    Other,
    /// No piece with these ordinals. What lies up to this one was dropped, and nobody can compare it any more.
    Absent { dropped_through: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It continues the stream.
    Next,
    /// It was taken before.
    Covered,
    /// Something before it is missing.
    Gap { expected: u64 },
    /// Two histories under one name, and why that is known.
    Fork(&'static str),
}

/// `taken` counts only for a piece that [`Piece::is_behind`] the head.
pub fn place(head: &Head, piece: &Piece, taken: Taken) -> Place {
    let expected = head.last_ordinal.saturating_add(1);
    if piece.first_ordinal > expected {
        return Place::Gap { expected };
    }
    if piece.first_ordinal == expected {
        let continues = piece.prev_hash == head.hash;
        return if continues { Place::Next } else { Place::Fork("the chain does not continue") };
    }
    match taken {
        Taken::Same => Place::Covered,
        Taken::Absent { dropped_through } if piece.last_ordinal <= dropped_through => Place::Covered,
        Taken::Other | Taken::Absent { .. } => Place::Fork("other bytes at ordinals that are taken"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { last_ordinal: 9, hash: [9; 32] };
    const KEPT: Taken = Taken::Absent { dropped_through: 0 };
    const FORK: Place = Place::Fork("other bytes at ordinals that are taken");

    #[test]
    fn a_piece_continues_was_there_comes_too_early_or_contradicts() {
        let cases = [
            (10, 12, 9, KEPT, Place::Next),
            (10, 12, 8, KEPT, Place::Fork("the chain does not continue")),
            (11, 12, 9, KEPT, Place::Gap { expected: 10 }),
            (4, 6, 3, Taken::Same, Place::Covered),
            (4, 6, 3, Taken::Other, FORK),
            (4, 6, 3, KEPT, FORK),
            (9, 12, 8, KEPT, FORK),
            (4, 6, 3, Taken::Absent { dropped_through: 6 }, Place::Covered),
            (4, 6, 3, Taken::Absent { dropped_through: 5 }, FORK),
            // What is still there is compared, whatever was dropped.
            (4, 6, 3, Taken::Other, FORK),
        ];
        for (first_ordinal, last_ordinal, prev, taken, expected) in cases {
            let piece = Piece { first_ordinal, last_ordinal, prev_hash: [prev; 32] };
            assert_eq!(place(&HEAD, &piece, taken), expected, "{piece:?} {taken:?}");
            assert_eq!(piece.is_behind(&HEAD), first_ordinal <= 9, "{piece:?}");
        }
    }
}
