//! Whose conversion it is: of the clicks that may win the last one, or whoever it shares with by the model of its terms.
//! A click for which only a page vouches wins when none can for which somebody better does.

use crate::intake::{ClickCredit, Touch, Vouched};
use crate::models::{self, Touchpoint};
use crate::order::{Candidate, CandidateOrigin, Decision, MAX_TOUCHES, Part, WHOLE};
use crate::reason;
use crate::terms::{GoalPlan, Model, OfferTerms};
use proto_model::event::Authority;
use proto_model::{OfferId, TenantId, UnixMicros, VerdictKind};
use std::collections::BTreeMap;

/// How far the clocks of two machines may stand apart before a click is said to come after what it led
/// to, or before the terms of its own offer.
pub const CLOCK_SKEW_SECS: i64 = 60;

/// What a decision may look at: what one report says, and what stood in the intake before it.
pub(crate) struct Evidence<'a, 't> {
    pub(crate) tenant: TenantId,
    pub(crate) goal: &'a str,
    pub(crate) occurred_at: UnixMicros,
    /// The click id that the conversion carried.
    pub(crate) click: Option<ClickCredit>,
    /// Touches of its customer, in intake order.
    pub(crate) touches: &'a [&'a Touch],
    pub(crate) terms: &'t BTreeMap<OfferId, Vec<OfferTerms>>,
    /// Candidates of the decision that this one replaces.
    pub(crate) earlier: &'a [Candidate],
    pub(crate) authority: Authority,
}

/// A click that may be credited, and what its offer's terms pay for it.
#[derive(Clone, Copy)]
pub(crate) struct Winner<'a> {
    pub(crate) credit: ClickCredit,
    pub(crate) terms: &'a OfferTerms,
    pub(crate) plan: &'a GoalPlan,
}

/// Who is credited with which part, and what for.
pub(crate) struct Credited<'a> {
    pub(crate) part: Part,
    /// In millionths; those of all parts add up to [`crate::order::WHOLE`].
    pub(crate) share: u32,
    pub(crate) won: Winner<'a>,
}

pub(crate) struct Choice<'a> {
    pub(crate) decision: Decision,
    /// Each part once; or why nobody is credited.
    pub(crate) credited: Result<Vec<Credited<'a>>, &'static str>,
}

/// The terms of an offer in force for a click: of those valid then, the ones written down last.
///
/// Clicks carry whole seconds, so terms hold for the whole second in which they begin. A click up to
/// [`CLOCK_SKEW_SECS`] before the first terms of its offer came from an edge whose clock is behind: it
/// could not have existed before them.
pub fn terms_in_force(versions: &[OfferTerms], click_secs: i64) -> Option<&OfferTerms> {
    let valid =
        |slack: i64| move |terms: &&OfferTerms| terms.valid_from.secs() <= click_secs.saturating_add(slack);
    let last = versions.iter().filter(valid(0)).max_by_key(|terms| terms.version);
    last.or_else(|| {
        let first = versions.iter().min_by_key(|terms| (terms.valid_from, terms.version));
        first.filter(valid(CLOCK_SKEW_SECS))
    })
}

impl<'t> Evidence<'_, 't> {
    pub(crate) fn decide(&self) -> Choice<'t> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut able: Vec<Able<'t>> = Vec::new();
        for (credit, origin) in self.named() {
            let outcome = match self.examine(&credit, origin) {
                Ok(won) => {
                    able.push(Able { index: candidates.len(), origin, won });
                    reason::OLDER
                }
                Err(why) => why,
            };
            candidates.push(Candidate { credit, origin, outcome, share: None });
        }
        let why_nobody = nobody(&candidates);
        let (winner, credited) = match share_out(&able) {
            Some(outcome) => {
                name_the_winner(&mut candidates, &outcome);
                (Some(outcome.winner), Ok(outcome.credited))
            }
            None => (None, Err(why_nobody)),
        };
        candidates.extend(self.overruled(&candidates));
        let terms_version =
            able.iter().find(|able| Some(able.index) == winner).map(|able| able.won.terms.version);
        let decision = Decision { candidates, winner, authority: Some(self.authority), terms_version };
        Choice { decision, credited }
    }

    /// Every click once, the carried one first.
    fn named(&self) -> Vec<(ClickCredit, CandidateOrigin)> {
        let carried = self.click.map(|credit| (credit, CandidateOrigin::ClickId));
        let bound = self.touches.iter().map(|touch| (touch.click, origin_of(touch)));
        let bound = bound.filter(|(credit, _)| Some(*credit) != self.click);
        carried.into_iter().chain(bound).collect()
    }

    /// What the click would earn, or why it cannot win.
    fn examine(&self, credit: &ClickCredit, origin: CandidateOrigin) -> Result<Winner<'t>, &'static str> {
        let click = &credit.click;
        let clicked = i64::from(click.at_secs);
        let age = self.occurred_at.secs().saturating_sub(clicked);
        // A conversion that carries a click id came after that click, whatever the clocks say.
        let earliest = if origin == CandidateOrigin::ClickId { -CLOCK_SKEW_SECS } else { 0 };
        if click.tenant != self.tenant {
            return Err(reason::OTHER_TENANT);
        }
        if click.flags.test() {
            return Err(reason::TEST);
        }
        if click.verdict == VerdictKind::Block {
            return Err(reason::BLOCKED);
        }
        if age < earliest {
            return Err(reason::AFTER_CONVERSION);
        }
        let versions = self.terms.get(&click.offer).map_or(&[][..], Vec::as_slice);
        let terms = terms_in_force(versions, clicked).ok_or(reason::NO_TERMS)?;
        let plan = terms.goals.iter().find(|plan| plan.goal == self.goal).ok_or(reason::UNKNOWN_GOAL)?;
        if age > terms.window_secs {
            return Err(reason::OUTSIDE_WINDOW);
        }
        Ok(Winner { credit: *credit, terms, plan })
    }

    fn overruled(&self, current: &[Candidate]) -> Vec<Candidate> {
        let gone = self.earlier.iter().filter(|old| current.iter().all(|new| new.credit != old.credit));
        gone.map(|old| match old.outcome {
            reason::WON
            | reason::OLDER
            | reason::NEWER
            | reason::UNVOUCHED
            | reason::SHARED
            | reason::NO_SHARE => Candidate { outcome: reason::SUPERSEDED, share: None, ..old.clone() },
            _ => old.clone(),
        })
        .take(MAX_TOUCHES)
        .collect()
    }
}

fn origin_of(touch: &Touch) -> CandidateOrigin {
    match touch.vouched {
        Vouched::Server => CandidateOrigin::Touch,
        Vouched::Page => CandidateOrigin::PageTouch,
    }
}

/// A candidate that may be credited.
struct Able<'a> {
    index: usize,
    origin: CandidateOrigin,
    won: Winner<'a>,
}

impl Able<'_> {
    fn rank(&self) -> (bool, Recency) {
        rank(&self.won.credit, self.origin)
    }
}

struct Outcome<'a> {
    /// The candidate that the conversion counts for: the last one with a part of the credit.
    winner: usize,
    /// Of candidates, where several share the credit.
    shares: Vec<(usize, u32)>,
    credited: Vec<Credited<'a>>,
    first_wins: bool,
}

/// The one that stands first leads: by its terms it shares with the others of its program that are as well vouched for.
fn share_out<'a>(able: &[Able<'a>]) -> Option<Outcome<'a>> {
    // Of equals the first.
    let lead = able.iter().rev().max_by_key(|able| able.rank())?;
    let alike = |other: &&Able<'a>| {
        other.won.terms.program == lead.won.terms.program && other.rank().0 == lead.rank().0
    };
    let mut path: Vec<&Able<'a>> = able.iter().filter(alike).collect();
    path.sort_by_key(|able| able.rank());
    let model = &lead.won.terms.model;
    let alone = match model {
        Model::Last => Some(lead),
        Model::First => path.first().copied(),
        Model::Linear | Model::Position { .. } | Model::Decay { .. } | Model::Weights(_) => None,
    };
    if let Some(Able { index, won, .. }) = alone {
        let credited = vec![Credited { part: Part::Whole, share: WHOLE, won: *won }];
        let first_wins = *model == Model::First;
        return Some(Outcome { winner: *index, shares: Vec::new(), credited, first_wins });
    }
    let touchpoint = |able: &&Able<'_>| Touchpoint {
        partner: able.won.credit.partner,
        at_secs: able.won.credit.click.at_secs,
    };
    let shares = models::shares(model, &path.iter().map(touchpoint).collect::<Vec<_>>());
    let mut credited: BTreeMap<Part, Credited<'a>> = BTreeMap::new();
    for (able, share) in path.iter().zip(&shares).filter(|(_, share)| **share > 0) {
        let part = Part::Share { partner: able.won.credit.partner, offer: able.won.terms.offer };
        let held = credited.get(&part).map_or(0, |held| held.share);
        // The terms of its latest click.
        credited.insert(part, Credited { part, share: held + share, won: able.won });
    }
    let shares: Vec<(usize, u32)> =
        path.iter().zip(shares).map(|(able, share)| (able.index, share)).collect();
    let (winner, _) = shares.iter().rfind(|(_, share)| *share > 0)?;
    let credited = credited.into_values().collect();
    Some(Outcome { winner: *winner, shares, credited, first_wins: false })
}

/// What became of the others that could have won.
fn name_the_winner(candidates: &mut [Candidate], outcome: &Outcome<'_>) {
    let Outcome { winner, shares, first_wins, .. } = outcome;
    let winner = *winner;
    for (index, share) in shares {
        if let Some(candidate) = candidates.get_mut(*index) {
            candidate.share = Some(*share);
            candidate.outcome = if *share > 0 { reason::SHARED } else { reason::NO_SHARE };
        }
    }
    let Some(won) = candidates.get(winner).map(|won| rank(&won.credit, won.origin)) else { return };
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let (vouched, recency) = rank(&candidate.credit, candidate.origin);
        candidate.outcome = match candidate.outcome {
            _ if index == winner => reason::WON,
            reason::OLDER if recency > won.1 && vouched != won.0 => reason::UNVOUCHED,
            reason::OLDER if recency > won.1 && *first_wins => reason::NEWER,
            other => other,
        };
    }
}

type Recency = (u32, bool, proto_model::Address);

/// What a page says stands behind everything else: anybody can write one.
fn rank(credit: &ClickCredit, origin: CandidateOrigin) -> (bool, Recency) {
    (origin != CandidateOrigin::PageTouch, recency(credit, origin))
}

/// Later is greater; of two clicks in one second the one the conversion carried counts as later.
fn recency(credit: &ClickCredit, origin: CandidateOrigin) -> Recency {
    (credit.click.at_secs, origin == CandidateOrigin::ClickId, credit.click.address)
}

/// Why nobody is credited: what kept the click that stood first from winning.
fn nobody(candidates: &[Candidate]) -> &'static str {
    let last = candidates.iter().max_by_key(|candidate| rank(&candidate.credit, candidate.origin));
    match last.map(|candidate| candidate.outcome) {
        None => reason::NO_CLICK,
        Some(reason::BLOCKED) => reason::BLOCKED_CLICK,
        Some(reason::TEST) => reason::TEST_CLICK,
        Some(other) => other,
    }
}
