//! What may befall a message on its way, and how dice choose it. Pure, but that the runtime decides who is first.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// An answer that never arrives: what was journalled is not known to be.
    Lost,
    /// The same message again, right behind itself.
    Twice,
    /// The next batch of its lane goes first.
    Swapped,
    /// Behind it comes one that has been here before, perhaps of an epoch that is over.
    Replayed,
    /// From here on nobody reads any more, and nobody says so.
    Silent,
    /// It comes late, and so does whatever is behind it.
    Slow,
    /// One byte of its signature is another.
    Forged,
    /// One byte of its payload is another.
    Damaged,
    /// It is kept back until the mischief is over; what is behind it in the other lane is not.
    KeptBack,
}

/// What happens to batches, to answers, and to connections.
#[derive(Debug, Clone, Copy)]
pub struct Mischief {
    pub name: &'static str,
    pub batches: &'static [Fate],
    pub answers: &'static [Fate],
    /// Connections break after a moment.
    pub breaks: bool,
    /// One that has broken is not known to be to the control plane: what it carried comes again on it when a newer
    /// one has been opened.
    pub speaks_late: bool,
    /// Every message meets with it, not two of five.
    pub is_sure: bool,
}

impl Mischief {
    pub const NONE: Self =
        Self { name: "none", batches: &[], answers: &[], breaks: false, speaks_late: false, is_sure: false };
    pub const KINDS: [Self; 8] = [
        Self { name: "answers are lost", answers: &[Fate::Lost], breaks: true, ..Self::NONE },
        Self { name: "all comes twice", batches: &[Fate::Twice], answers: &[Fate::Twice], ..Self::NONE },
        Self { name: "neighbours change places", batches: &[Fate::Swapped], breaks: true, ..Self::NONE },
        Self { name: "old batches come again", batches: &[Fate::Replayed], ..Self::NONE },
        Self { name: "it drips", batches: &[Fate::Slow], answers: &[Fate::Slow], breaks: true, ..Self::NONE },
        Self {
            name: "half-open",
            batches: &[Fate::Silent],
            answers: &[Fate::Silent],
            breaks: true,
            ..Self::NONE
        },
        Self { name: "old sessions speak late", speaks_late: true, breaks: true, ..Self::NONE },
        Self {
            name: "all of it",
            batches: &[Fate::Twice, Fate::Swapped, Fate::Replayed, Fate::Slow, Fate::Silent],
            answers: &[Fate::Lost, Fate::Twice, Fate::Slow, Fate::Silent],
            breaks: true,
            speaks_late: true,
            is_sure: false,
        },
    ];
}

/// Two of five messages meet with something.
const OF_FIVE: u64 = 2;

/// splitmix64: one seed, the same choices. Which message meets them is up to the runtime.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    pub fn among<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let last = u64::try_from(all.len()).unwrap_or(u64::MAX);
        all.get(usize::try_from(self.roll(last)).unwrap_or_default())
    }

    pub fn fate(&mut self, of: &[Fate], is_sure: bool) -> Option<Fate> {
        if is_sure || self.roll(5) < OF_FIVE { self.among(of).copied() } else { None }
    }

    pub fn moment(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.roll(to - from))
    }
}
