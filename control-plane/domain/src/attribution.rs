//! Whose conversion it is: the last click, among those that may win. A click for which only a page vouches wins
//! when none can for which somebody better does.

use crate::intake::{ClickCredit, Touch, Vouched};
use crate::order::{Candidate, CandidateOrigin, Decision, MAX_TOUCHES, Part, WHOLE};
use crate::reason;
use crate::terms::{GoalPlan, OfferTerms};
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
        let mut winner: Option<(usize, Winner<'t>)> = None;
        for (credit, origin) in self.named() {
            let index = candidates.len();
            let outcome = match self.examine(&credit, origin) {
                Ok(found) => {
                    let best = winner.as_ref().map(|(at, best)| rank(&best.credit, candidates[*at].origin));
                    if best.is_none_or(|best| rank(&credit, origin) > best) {
                        winner = Some((index, found));
                    }
                    reason::OLDER
                }
                Err(why) => why,
            };
            candidates.push(Candidate { credit, origin, outcome });
        }
        let why_nobody = nobody(&candidates);
        if let Some((index, _)) = &winner {
            name_the_winner(&mut candidates, *index);
        }
        candidates.extend(self.overruled(&candidates));
        Choice {
            decision: Decision {
                candidates,
                winner: winner.as_ref().map(|(index, _)| *index),
                authority: Some(self.authority),
                terms_version: winner.as_ref().map(|(_, found)| found.terms.version),
            },
            credited: winner
                .map(|(_, won)| vec![Credited { part: Part::Whole, share: WHOLE, won }])
                .ok_or(why_nobody),
        }
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
            reason::WON | reason::OLDER | reason::UNVOUCHED => {
                Candidate { outcome: reason::SUPERSEDED, ..old.clone() }
            }
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

/// The others could have won: each was older, or later and a page's alone.
fn name_the_winner(candidates: &mut [Candidate], winner: usize) {
    let Some(won) = candidates.get(winner).map(|won| recency(&won.credit, won.origin)) else { return };
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let later = recency(&candidate.credit, candidate.origin) > won;
        candidate.outcome = match candidate.outcome {
            _ if index == winner => reason::WON,
            reason::OLDER if later => reason::UNVOUCHED,
            other => other,
        };
    }
}

/// What a page says stands behind everything else: anybody can write one.
fn rank(credit: &ClickCredit, origin: CandidateOrigin) -> (bool, (u32, bool, proto_model::Address)) {
    (origin != CandidateOrigin::PageTouch, recency(credit, origin))
}

/// Later is greater; of two clicks in one second the one the conversion carried counts as later.
fn recency(credit: &ClickCredit, origin: CandidateOrigin) -> (u32, bool, proto_model::Address) {
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
