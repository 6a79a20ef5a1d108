//! What goes wrong, and when: decided before the simulation begins, by its seed alone.

use super::random::Random;
use crate::disk::simulated::Crash;
use std::time::Duration;

pub(super) const EDGES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing passes between an edge and the control plane, or in one direction only.
    Cut {
        edge: usize,
        way: Way,
    },
    Mend {
        edge: usize,
    },
    /// An edge dies; what its disk holds is what the crash leaves of it.
    Kill {
        edge: usize,
        crash: Crash,
    },
    Start {
        edge: usize,
    },
    /// The control plane dies; what it has committed stays.
    KillPlane,
    StartPlane,
    /// A copy is made of what the control plane has...
    Copy,
    /// ...and is put back in the place of what it has by then.
    Restore,
    /// So many of the next answers are lost on their way.
    LoseAnswers {
        answers: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Both,
    Up,
    Down,
}

#[derive(Debug)]
pub(super) struct Plan {
    /// In order of time.
    pub troubles: Vec<(Duration, Trouble)>,
    /// From here on everything works, and no more hits come.
    pub calm: Duration,
    /// Between two hits of an edge, on average.
    pub pause: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// An outage of every tenth seed, beside its other troubles.
const LONG: Duration = Duration::from_secs(30 * 60);

impl Plan {
    /// A few minutes full of trouble; every tenth seed has an outage of half an hour in it.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let long = seed.is_multiple_of(10);
        let troubled = random.between(MINUTE, 4 * MINUTE);
        let mut plan = Self { troubles: Vec::new(), calm: troubled, pause: SECOND };
        for _ in 0..4 + random.below(8) {
            let at = random.between(SECOND, troubled);
            let lasts = random.between(SECOND / 10, MINUTE);
            plan.add(&mut random, at, lasts);
        }
        if long {
            let at = random.between(SECOND, troubled);
            let edge = random.edge();
            plan.lasting(at, LONG, outage(&mut random, edge));
            plan.pause = 5 * SECOND;
        }
        plan.troubles.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add(&mut self, random: &mut Random, at: Duration, lasts: Duration) {
        let edge = random.edge();
        let both = match random.below(8) {
            0 | 1 => cut(random, edge),
            2 | 3 => (Trouble::Kill { edge, crash: crash(random) }, Trouble::Start { edge }),
            4 | 5 => (Trouble::KillPlane, Trouble::StartPlane),
            6 => (Trouble::Copy, Trouble::Restore),
            _ => {
                let answers = 1 + u32::try_from(random.below(5)).unwrap();
                self.troubles.push((at, Trouble::LoseAnswers { answers }));
                return;
            }
        };
        self.lasting(at, lasts, both);
    }

    fn lasting(&mut self, at: Duration, lasts: Duration, (begins, ends): (Trouble, Trouble)) {
        self.troubles.extend([(at, begins), (at + lasts, ends)]);
        self.calm = self.calm.max(at + lasts + SECOND);
    }
}

/// Of one edge, or of all.
fn outage(random: &mut Random, edge: usize) -> (Trouble, Trouble) {
    if random.one_in(2) { (Trouble::KillPlane, Trouble::StartPlane) } else { cut(random, edge) }
}

fn cut(random: &mut Random, edge: usize) -> (Trouble, Trouble) {
    let way = random.pick(&[Way::Both, Way::Up, Way::Down]);
    (Trouble::Cut { edge, way }, Trouble::Mend { edge })
}

fn crash(random: &mut Random) -> Crash {
    match random.below(3) {
        0 => Crash::Killed,
        1 => Crash::Dropped,
        _ => Crash::Torn { seed: random.next() },
    }
}

#[test]
fn every_tenth_plan_has_an_outage_of_half_an_hour() {
    for seed in 0..200 {
        let Plan { troubles, .. } = Plan::of(seed);
        let long = troubles.iter().any(|(at, begins)| {
            let ends = match begins {
                Trouble::Cut { edge, .. } => Trouble::Mend { edge: *edge },
                Trouble::KillPlane => Trouble::StartPlane,
                _ => return false,
            };
            troubles.contains(&(*at + LONG, ends))
        });
        assert_eq!(long, seed % 10 == 0, "seed {seed}: {troubles:?}");
    }
}
