//! What a database must pass before it takes the place of the one in use.

use crate::database::GeoDatabase;
use crate::place::{Place, parse_asn};
use crate::survey::Survey;
use proto_model::Country;
use std::net::IpAddr;
use std::str::FromStr;

const DAY: u64 = 86_400;
/// Publishers bring out a new one every month or more often.
pub const OLD_DAYS: u64 = 45;
/// Addresses that belong to nobody in particular, so that no country can be right.
const PRIVATE: &[&str] =
    &["10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "169.254.0.1", "fc00::1", "fe80::1"];

/// Well-known addresses that have been in one place for many years: of public resolvers. Their IPv6 addresses are
/// not as firm; where the best known one is, the suggested database and the others disagree.
const CANARIES: &[&str] =
    &["8.8.8.8=US", "114.114.114.114=CN", "2620:fe::fe=US", "8.8.8.8=AS15169", "1.1.1.1=AS13335"];

/// An address and what must be said of it: `8.8.8.8=US`, `8.8.8.8=AS15169`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Canary {
    pub address: IpAddr,
    pub expected: Expected,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Country(Country),
    Asn(u32),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address and its country or system, such as 8.8.8.8=US or 8.8.8.8=AS15169")]
pub struct NoCanary(String);

impl FromStr for Canary {
    type Err = NoCanary;

    fn from_str(text: &str) -> Result<Self, NoCanary> {
        let bad = || NoCanary(text.to_owned());
        let (address, expected) = text.split_once('=').ok_or_else(bad)?;
        let address = address.trim().parse().map_err(|_| bad())?;
        let expected = expected.trim();
        let expected = match Country::parse(expected) {
            Country::UNKNOWN => Expected::Asn(parse_asn(expected).ok_or_else(bad)?),
            country => Expected::Country(country),
        };
        Ok(Self { address, expected })
    }
}

impl Expected {
    fn is_met_by(self, place: &Place) -> bool {
        match self {
            Self::Country(country) => place.country == country,
            Self::Asn(asn) => place.asn == Some(asn),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Country(country) => f.write_str(country.code()),
            Self::Asn(asn) => write!(f, "AS{asn}"),
        }
    }
}

/// What an operator asks of a database.
#[derive(Clone, Debug)]
pub struct Terms {
    pub max_age_days: u64,
    /// Besides the built-in ones, or in place of them.
    pub canaries: Vec<Canary>,
    pub built_in_canaries: bool,
}

/// What the checks look at.
pub struct Candidate<'a> {
    pub build_epoch: u64,
    pub ip_version: u16,
    pub survey: Survey,
    pub place: &'a dyn Fn(IpAddr) -> Place,
}

/// Why a database is not put in place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("it holds neither countries nor autonomous systems; use a country, city or ASN database")]
    Nothing,
    #[error("it was built {days} days ago, more than --max-age allows ({max}); get a newer one")]
    Old { days: u64, max: u64 },
    #[error("it was built {days} days in the future; check this machine's clock")]
    Future { days: u64 },
    #[error(
        "it has {networks} networks, less than half of the {in_use} in the one in use; if that is right, remove the \
         one in use first"
    )]
    Small { networks: u64, in_use: u64 },
    #[error("it says {found} of {address}, which is {expected}; if that is right, say so with --canary")]
    Canary { address: IpAddr, found: String, expected: String },
    #[error("it says {found} of {address}, which is private")]
    Private { address: IpAddr, found: String },
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Findings {
    pub refusals: Vec<Refusal>,
    pub warnings: Vec<String>,
}

/// Whole days between the build and now.
pub fn age_days(build_epoch: u64, now: u64) -> u64 {
    now.saturating_sub(build_epoch) / DAY
}

/// `now` in Unix seconds; `in_use` is what it would take the place of.
pub fn check(candidate: &Candidate<'_>, in_use: Option<&Survey>, terms: &Terms, now: u64) -> Findings {
    let mut findings = Findings::default();
    let facts = candidate.survey.facts;
    if !facts.country && !facts.asn {
        findings.refusals.push(Refusal::Nothing);
        return findings;
    }
    age(candidate.build_epoch, terms.max_age_days, now, &mut findings);
    // A city database has many more networks than a country database, and neither is wrong.
    if let Some(in_use) = in_use.filter(|in_use| in_use.facts == facts)
        && candidate.survey.networks < in_use.networks.div_ceil(2)
    {
        let (networks, in_use) = (candidate.survey.networks, in_use.networks);
        findings.refusals.push(Refusal::Small { networks, in_use });
    }
    let built_in = built_in(candidate, terms);
    for Canary { address, expected } in terms.canaries.iter().copied().chain(built_in) {
        let place = (candidate.place)(address);
        if !expected.is_met_by(&place) {
            let found = said(&place, expected);
            findings.refusals.push(Refusal::Canary { address, found, expected: expected.to_string() });
        }
    }
    for address in PRIVATE.iter().filter_map(|text| text.parse().ok()) {
        let place = (candidate.place)(address);
        if place.country != Country::UNKNOWN {
            findings.refusals.push(Refusal::Private { address, found: place.country.code().to_owned() });
        }
    }
    findings
}

fn age(build_epoch: u64, max: u64, now: u64, findings: &mut Findings) {
    // A clock that is a day off is no reason.
    if build_epoch > now + DAY {
        findings.refusals.push(Refusal::Future { days: (build_epoch - now) / DAY });
        return;
    }
    let days = age_days(build_epoch, now);
    if days > max {
        findings.refusals.push(Refusal::Old { days, max });
    } else if days > OLD_DAYS {
        findings.warnings.push(format!("it was built {days} days ago; publishers have newer ones"));
    }
}

/// Those that the database can know, and that the operator does not know better.
fn built_in<'a>(candidate: &'a Candidate<'_>, terms: &'a Terms) -> impl Iterator<Item = Canary> + 'a {
    let facts = candidate.survey.facts;
    let all = CANARIES.iter().filter(|_| terms.built_in_canaries).filter_map(|text| text.parse().ok());
    all.filter(move |canary: &Canary| {
        let known = match canary.expected {
            Expected::Country(_) => facts.country,
            Expected::Asn(_) => facts.asn,
        };
        let reached = canary.address.is_ipv4() || candidate.ip_version == 6;
        let overruled = terms.canaries.iter().any(|given| {
            given.address == canary.address
                && std::mem::discriminant(&given.expected) == std::mem::discriminant(&canary.expected)
        });
        known && reached && !overruled
    })
}

fn said(place: &Place, expected: Expected) -> String {
    match expected {
        Expected::Country(_) if place.country == Country::UNKNOWN => "nothing".to_owned(),
        Expected::Country(_) => place.country.code().to_owned(),
        Expected::Asn(_) => place.asn.map_or_else(|| "nothing".to_owned(), |asn| format!("AS{asn}")),
    }
}

/// A database of one's own, and what [`check`] needs of it.
pub fn check_database(
    database: &GeoDatabase,
    survey: Survey,
    in_use: Option<&Survey>,
    terms: &Terms,
    now: u64,
) -> Findings {
    let place = |address| database.place(address);
    let (build_epoch, ip_version) = (database.build_epoch(), database.ip_version());
    check(&Candidate { build_epoch, ip_version, survey, place: &place }, in_use, terms, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Facts;

    const NOW: u64 = 1_800_000_000;
    const COUNTRY: Facts = Facts { country: true, region: false, city: false, asn: false };
    const ASN: Facts = Facts { country: false, region: false, city: false, asn: true };

    fn right(address: IpAddr) -> Place {
        let country = match address.to_string().as_str() {
            "8.8.8.8" | "2620:fe::fe" => "US",
            "114.114.114.114" => "CN",
            _ => "ZZ",
        };
        let asn = match address.to_string().as_str() {
            "8.8.8.8" => Some(15169),
            "1.1.1.1" => Some(13335),
            _ => None,
        };
        Place { country: Country::parse(country), asn, ..Place::UNKNOWN }
    }

    fn survey(networks: u64, facts: Facts) -> Survey {
        Survey { networks, records: 1, facts }
    }

    fn terms(canaries: &[&str]) -> Terms {
        let canaries = canaries.iter().map(|text| text.parse().unwrap()).collect();
        Terms { max_age_days: 400, canaries, built_in_canaries: true }
    }

    fn found(days: u64, networks: u64, in_use: Option<u64>, canaries: &[&str]) -> Findings {
        let survey_of = |networks| survey(networks, COUNTRY);
        let candidate = Candidate {
            build_epoch: NOW - days * DAY,
            ip_version: 6,
            survey: survey_of(networks),
            place: &right,
        };
        check(&candidate, in_use.map(survey_of).as_ref(), &terms(canaries), NOW)
    }

    #[test]
    fn age_and_size_decide() {
        let cases = [
            (0, 100, None, 0, 0),
            (45, 100, Some(100), 0, 0),
            (46, 100, Some(200), 0, 1),
            (400, 100, Some(201), 1, 1),
            (401, 100, None, 1, 0),
            (401, 1, Some(100), 2, 0),
        ];
        for (days, networks, in_use, refusals, warnings) in cases {
            let found = found(days, networks, in_use, &[]);
            let counts = (found.refusals.len(), found.warnings.len());
            assert_eq!(counts, (refusals, warnings), "{days} {networks} {in_use:?}: {found:?}");
        }
    }

    #[test]
    fn canaries_must_agree() {
        let cases: &[(&[&str], usize)] = &[
            (&[], 0),
            (&["8.8.8.8=US", "203.0.113.1=CN"], 1),
            (&["8.8.8.8=DE"], 1),
            (&["8.8.8.8=AS15169"], 0),
            (&["8.8.8.8=AS64496", "114.114.114.114=us"], 2),
        ];
        for (canaries, refusals) in cases {
            let found = found(0, 1, None, canaries);
            assert_eq!(found.refusals.len(), *refusals, "{canaries:?}: {found:?}");
        }
        assert_eq!(
            found(0, 1, None, &["8.8.8.8=DE"]).refusals[0].to_string(),
            "it says US of 8.8.8.8, which is DE; if that is right, say so with --canary"
        );
    }

    #[test]
    fn what_knows_nothing_everything_or_the_future_is_refused() {
        let wrong = |_| Place { country: Country::parse("US"), ..Place::UNKNOWN };
        let of = |facts, place: &dyn Fn(IpAddr) -> Place, build_epoch| {
            let survey = survey(1, facts);
            check(&Candidate { build_epoch, ip_version: 6, survey, place }, None, &terms(&[]), NOW).refusals
        };
        assert_eq!(of(Facts::default(), &right, NOW), [Refusal::Nothing]);
        assert_eq!(of(COUNTRY, &right, NOW + 2 * DAY), [Refusal::Future { days: 2 }]);
        assert_eq!(of(ASN, &right, NOW), []);
        let private = of(COUNTRY, &wrong, NOW);
        assert_eq!(private.iter().filter(|r| matches!(r, Refusal::Private { .. })).count(), PRIVATE.len());
        assert_eq!(of(ASN, &|_| Place::UNKNOWN, NOW).len(), 2, "systems have canaries of their own");
    }

    #[test]
    fn an_ipv4_database_is_not_asked_for_ipv6() {
        let place = |address: IpAddr| if address.is_ipv4() { right(address) } else { Place::UNKNOWN };
        for (ip_version, refusals) in [(4, 0), (6, 1)] {
            let candidate =
                Candidate { build_epoch: NOW, ip_version, survey: survey(1, COUNTRY), place: &place };
            assert_eq!(check(&candidate, None, &terms(&[]), NOW).refusals.len(), refusals);
        }
    }

    #[test]
    fn canaries_are_read() {
        for text in ["8.8.8.8", "8.8.8.8=", "8.8.8.8=USA", "x=US", "8.8.8.8=AS0"] {
            assert_eq!(text.parse::<Canary>(), Err(NoCanary(text.to_owned())));
        }
        for text in CANARIES {
            let canary: Canary = text.parse().unwrap();
            assert_eq!(format!("{}={}", canary.address, canary.expected), *text);
        }
        assert!(PRIVATE.iter().all(|text| text.parse::<IpAddr>().is_ok()));
    }
}
