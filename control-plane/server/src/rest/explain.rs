//! Why a conversion went to whom it went, and what it was worth: everything that the decision read.

use super::ids::{AmountView, Id, LEDGER_TRANSACTION, LinkRef, OfferRef, PartnerRef, ProgramRef, Time};
use super::terms::RateText;
use control_plane_domain::intake::{ClickCredit, Source};
use control_plane_domain::order::{Arithmetic, Candidate, Conflict, Conversion};
use control_plane_store::conversion_reports::{ConversionReports, RecordedReport};
use proto_model::event::Authority;
use proto_model::{Address, DerivedId, Rate};
use utoipa::ToSchema;

/// Enough to see who said what; the count is complete.
pub const SHOWN_REPORTS: u32 = 20;

/// The whole decision: clicks considered, winner, terms, arithmetic, ledger transactions, conflicts.
#[derive(serde::Serialize, ToSchema)]
pub struct Explain {
    /// How many reports of this conversion have come in, through any edge or the API.
    pub reports: u64,
    /// The first of them, oldest first.
    pub report_log: Vec<ReportView>,
    /// Those that said the same again.
    pub duplicates: u32,
    /// Those that were not believed.
    pub conflicts: Vec<ConflictView>,
    /// Conflicts beyond the ones shown.
    pub more_conflicts: u32,
    /// The authority that the choice rests on; only a higher one can change it.
    pub decided_by: Option<&'static str>,
    /// Every click that was considered.
    pub candidates: Vec<CandidateView>,
    /// Index into `candidates`; null when nobody is credited.
    pub winner: Option<usize>,
    /// The version of the offer's terms in force when the winning click happened.
    pub terms_version: Option<u32>,
    /// Of the winner's terms: what all of the credit comes to. Each commission has its own.
    pub arithmetic: Option<ArithmeticView>,
    /// What was posted for it so far: of each of its commissions, oldest first.
    pub ledger_transaction_ids: Vec<String>,
    /// Its places in the advertiser's intake: the first report, and what changed it last.
    pub first_intake_ordinal: u64,
    pub last_intake_ordinal: u64,
}

/// One report as it came in.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Report)]
pub struct ReportView {
    pub intake_ordinal: u64,
    pub recorded_at: Time,
    /// `pixel`, `token_postback` or `signed`.
    pub authority: &'static str,
    pub amount: Option<AmountView>,
    pub source: SourceView,
}

impl From<&RecordedReport> for ReportView {
    fn from(recorded: &RecordedReport) -> Self {
        Self {
            intake_ordinal: recorded.ordinal,
            recorded_at: Time(recorded.recorded_at),
            authority: recorded.report.authority.as_str(),
            amount: recorded.report.amount.map(AmountView::from),
            source: (&recorded.report.source).into(),
        }
    }
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Candidate)]
pub struct CandidateView {
    pub click: ClickView,
    /// `click_id` (the conversion named it), or bound to the customer before: `touch` by a server, `page_touch` by a
    /// page alone.
    pub origin: &'static str,
    /// `won` (the conversion counts for it), `shared` (it has a part beside the winner), or why not: `older`, `unvouched` (later, and only a page's), `outside_window`, `blocked`, ...
    #[schema(example = "won")]
    pub outcome: &'static str,
    /// Of the credit, where several share it, as a decimal string.
    #[schema(example = "0.4")]
    pub share: Option<String>,
}

/// A click as its sealed id tells of it.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = ClickFacts)]
pub struct ClickView {
    pub at: Time,
    pub link_id: LinkRef,
    pub offer_id: OfferRef,
    pub partner_id: PartnerRef,
    pub program_id: ProgramRef,
    #[schema(example = "US")]
    pub country: String,
    #[schema(example = "desktop")]
    pub device: &'static str,
    /// `allow`, `flag` or `block`.
    pub verdict: &'static str,
    pub rule_set_version: u32,
    pub address: AddressView,
}

/// Where an event stands in the journal.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Address)]
pub struct AddressView {
    pub stream: u32,
    pub ordinal: u64,
}

impl From<Address> for AddressView {
    fn from(address: Address) -> Self {
        Self { stream: address.stream.0, ordinal: address.ordinal }
    }
}

impl From<&ClickCredit> for ClickView {
    fn from(credit: &ClickCredit) -> Self {
        let click = &credit.click;
        Self {
            at: Time(click.at()),
            link_id: Id(click.link),
            offer_id: Id(click.offer),
            partner_id: Id(credit.partner),
            program_id: Id(credit.program),
            country: click.country.code().to_owned(),
            device: click.device.as_str(),
            verdict: click.verdict.as_str(),
            rule_set_version: click.rule_set_version,
            address: click.address.into(),
        }
    }
}

impl From<&Candidate> for CandidateView {
    fn from(candidate: &Candidate) -> Self {
        Self {
            click: (&candidate.credit).into(),
            origin: candidate.origin.as_str(),
            outcome: candidate.outcome,
            share: candidate.share.map(|share| RateText(Rate(share)).text()),
        }
    }
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Arithmetic)]
pub struct ArithmeticView {
    /// `flat` or `percentage`.
    pub plan: &'static str,
    pub base: Option<AmountView>,
    #[schema(example = "0.1")]
    pub rate: Option<String>,
    pub result: AmountView,
    /// For people.
    #[schema(example = "199.00 USD x 0.1 = 19.90 USD")]
    pub formula: String,
}

impl From<&Arithmetic> for ArithmeticView {
    fn from(arithmetic: &Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Flat { result } => Self {
                plan: "flat",
                base: None,
                rate: None,
                result: (*result).into(),
                formula: format!("{} {}", result.decimal(), result.currency),
            },
            Arithmetic::Percentage { base, rate, result } => {
                let rate = RateText(*rate).text();
                let formula = format!(
                    "{} {} x {rate} = {} {}",
                    base.decimal(),
                    base.currency,
                    result.decimal(),
                    result.currency
                );
                Self {
                    plan: "percentage",
                    base: Some((*base).into()),
                    rate: Some(rate),
                    result: (*result).into(),
                    formula,
                }
            }
        }
    }
}

/// A report that was not believed.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Conflict)]
pub struct ConflictView {
    /// What it contradicts.
    #[schema(example = "amount_differs")]
    pub reason: &'static str,
    pub authority: &'static str,
    pub amount: Option<AmountView>,
    pub click: Option<ClickView>,
    pub source: SourceView,
    pub intake_ordinal: u64,
}

/// Either a place in the journal or a request to this API.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Source)]
pub struct SourceView {
    pub address: Option<AddressView>,
    pub request_id: Option<String>,
}

impl From<&Source> for SourceView {
    fn from(source: &Source) -> Self {
        match source {
            Source::Journal(address) => Self { address: Some((*address).into()), request_id: None },
            Source::Api(request_id) => Self { address: None, request_id: Some(request_id.clone()) },
        }
    }
}

impl From<&Conflict> for ConflictView {
    fn from(conflict: &Conflict) -> Self {
        Self {
            reason: conflict.reason,
            authority: conflict.authority.as_str(),
            amount: conflict.amount.map(AmountView::from),
            click: conflict.click.as_ref().map(ClickView::from),
            source: (&conflict.source).into(),
            intake_ordinal: conflict.ordinal,
        }
    }
}

/// `transactions` are the ledger transactions about the conversion's commission.
pub fn explain(conversion: &Conversion, reports: &ConversionReports, transactions: &[DerivedId]) -> Explain {
    let decision = &conversion.decision;
    let arithmetic = conversion.main_commission().and_then(|commission| commission.arithmetic.as_ref());
    Explain {
        reports: reports.count,
        report_log: reports.first.iter().map(ReportView::from).collect(),
        duplicates: conversion.duplicates,
        conflicts: conversion.conflicts.iter().map(ConflictView::from).collect(),
        more_conflicts: conversion.more_conflicts,
        decided_by: decision.authority.map(Authority::as_str),
        candidates: decision.candidates.iter().map(CandidateView::from).collect(),
        winner: decision.winner,
        terms_version: decision.terms_version,
        arithmetic: arithmetic.map(ArithmeticView::from),
        ledger_transaction_ids: transactions.iter().map(|id| id.text(LEDGER_TRANSACTION)).collect(),
        first_intake_ordinal: conversion.first_ordinal,
        last_intake_ordinal: conversion.last_ordinal,
    }
}
