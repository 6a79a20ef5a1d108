//! Why a commission is what it is, in words.

use super::language::Words;
use control_plane_domain::order::{Arithmetic, Commission, Conversion, Decision, Part};
use control_plane_domain::reason;
use fluent_bundle::FluentArgs;
use proto_model::{Amount, PartnerId, Rate};

/// Who won and why, the arithmetic, the status, and what disagrees: one sentence each.
pub fn sentences(
    words: &Words,
    conversion: &Conversion,
    name: &dyn Fn(PartnerId) -> String,
    at: Option<&str>,
) -> Vec<String> {
    let mut lines = vec![attribution(words, conversion, name, at)];
    lines.extend(passed_over(words, unvouched(&conversion.decision)));
    let has_a_share = |held: &&Commission| held.part != Part::Whole && held.credited_share() > 0;
    let shares: Vec<&Commission> = conversion.commissions.values().filter(has_a_share).collect();
    match conversion.main_commission() {
        Some(commission) if shares.is_empty() => {
            let arithmetic = commission.arithmetic.as_ref();
            lines.extend(arithmetic.map(|found| arithmetic_text(words, found, commission.terms_version)));
            lines.push(status_text(words, commission));
        }
        _ => lines.extend(shares.into_iter().map(|commission| share_text(words, commission, name))),
    }
    let mut args = FluentArgs::new();
    args.set("authority", words.coded("authority", conversion.authority.as_str()));
    lines.push(words.with("why-reported", &args));
    if !conversion.conflicts.is_empty() {
        let mut args = FluentArgs::new();
        args.set("count", conversion.conflicts.len());
        lines.push(words.with("why-conflicts", &args));
    }
    lines
}

fn attribution(
    words: &Words,
    conversion: &Conversion,
    name: &dyn Fn(PartnerId) -> String,
    at: Option<&str>,
) -> String {
    let winner = conversion.decision.winner.and_then(|index| conversion.decision.candidates.get(index));
    let partner = winner.map(|winner| name(winner.credit.partner)).unwrap_or_default();
    let mut args = FluentArgs::new();
    match at {
        Some(at) => {
            args.set("at", at.to_owned());
            args.set("partner", partner);
            args.set("considered", conversion.decision.candidates.len());
            words.with("why-won", &args)
        }
        None => {
            args.set("reason", words.coded("reason", conversion.reason.unwrap_or("no_click")));
            words.with("why-nobody", &args)
        }
    }
}

/// Clicks that would have won if anybody better than a page had vouched for them.
fn unvouched(decision: &Decision) -> usize {
    decision.candidates.iter().filter(|candidate| candidate.outcome == reason::UNVOUCHED).count()
}

fn passed_over(words: &Words, count: usize) -> Option<String> {
    let mut args = FluentArgs::new();
    args.set("count", count);
    (count > 0).then(|| words.with("why-unvouched", &args))
}

fn arithmetic_text(words: &Words, arithmetic: &Arithmetic, version: u32) -> String {
    let mut args = FluentArgs::new();
    // As text: a version is not a quantity to be grouped or made plural.
    args.set("version", version.to_string());
    match arithmetic {
        Arithmetic::Flat { result } => {
            args.set("result", money(*result));
            words.with("why-flat", &args)
        }
        Arithmetic::Percentage { base, rate, result } => {
            args.set("rate", percent(*rate));
            args.set("base", money(*base));
            args.set("result", money(*result));
            words.with("why-percentage", &args)
        }
    }
}

/// One of several who share the credit.
fn share_text(words: &Words, commission: &Commission, name: &dyn Fn(PartnerId) -> String) -> String {
    let mut args = FluentArgs::new();
    args.set("partner", name(commission.partner));
    args.set("share", percent(Rate(commission.share)));
    args.set("amount", money(commission.amount));
    args.set("version", commission.terms_version.to_string());
    args.set("status", words.coded("status", commission.status.as_str()));
    args.set("reason", words.coded("reason", commission.reason));
    words.with("why-share", &args)
}

fn status_text(words: &Words, commission: &Commission) -> String {
    let mut args = FluentArgs::new();
    args.set("status", words.coded("status", commission.status.as_str()));
    args.set("reason", words.coded("reason", commission.reason));
    let text = words.with("why-status", &args);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub fn money(amount: Amount) -> String {
    format!("{} {}", amount.decimal(), amount.currency)
}

/// `10` for a tenth, without trailing zeros.
fn percent(rate: Rate) -> String {
    let text = format!("{}.{:04}", rate.0 / 10_000, rate.0 % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::language::Language;
    use super::*;

    #[test]
    fn who_is_passed_over_is_said() {
        let [english, chinese] = Language::ALL.map(Words);
        assert_eq!(passed_over(&english, 0), None);
        let said = |words, count| passed_over(&words, count).unwrap();
        assert!(said(english, 1).starts_with("One later click did not count"));
        assert!(said(english, 3).starts_with("3 later clicks did not count"));
        assert!(said(chinese, 2).starts_with("有 2 次"));
    }

    #[test]
    fn rates_read_as_percent() {
        let cases = [(100_000, "10"), (125_000, "12.5"), (1, "0.0001"), (0, "0"), (1_000_000, "100")];
        for (ppm, expected) in cases {
            assert_eq!(percent(Rate(ppm)), expected);
        }
    }
}
