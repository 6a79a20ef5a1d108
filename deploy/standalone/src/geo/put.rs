//! The last steps of fetching and importing: check, exchange, and say what was done.

use super::{Common, Refused};
use crate::ctl::{self, files};
use crate::error::{BoxError, Failure};
use geoip::check::{age_days, check_database};
use geoip::{About, Attribution, GeoDatabase, Publisher, install};
use jiff::Timestamp;
use serde::Serialize;
use tempfile::NamedTempFile;

/// Where a candidate comes from.
pub struct Origin {
    pub source: String,
    pub publisher: Option<Publisher>,
}

#[derive(Serialize)]
struct Done {
    file: String,
    source: String,
    database_type: String,
    built: String,
    age_days: u64,
    facts: Vec<&'static str>,
    networks: u64,
    sha256: String,
    licence: Option<String>,
    attribution: Option<Attribution>,
    /// The one before is kept; `geo import --previous` brings it back.
    previous: Option<String>,
}

pub fn put(mut candidate: NamedTempFile, common: &Common, origin: Origin) -> Result<(), BoxError> {
    let path = candidate.path().to_owned();
    candidate.as_file_mut().sync_all().map_err(files::failed("sync", &path))?;
    let unsound = |error: BoxError| {
        Refused::damaged_because("the file is not a sound database; nothing was changed", error)
    };
    let database = GeoDatabase::open(&path).map_err(|error| unsound(error.into()))?;
    let survey = database.survey().map_err(|error| unsound(error.into()))?;
    let to = common.target.file(survey.facts);
    // A damaged one is no measure.
    let in_use = GeoDatabase::open(&to).and_then(|database| database.survey()).ok();
    let now = Timestamp::now();
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let findings = check_database(&database, survey, in_use.as_ref(), &common.checks.terms(), seconds);
    for warning in &findings.warnings {
        eprintln!("warning: {warning}");
    }
    if !findings.refusals.is_empty() {
        let reasons: Vec<_> = findings.refusals.iter().map(ToString::to_string).collect();
        let message = format!("the database was not put in place: {}", reasons.join("; "));
        return Err(Refused::unfit(message).into());
    }
    let (bytes, sha256) = files::digest(&path).map_err(files::failed("read", &path))?;
    let publisher = origin.publisher.or_else(|| Publisher::of_type(database.database_type()));
    let about = About {
        source: origin.source,
        licence: publisher.map(|publisher| publisher.licence().to_owned()),
        attribution: publisher.map(Publisher::attribution),
        fetched_at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        sha256,
        bytes,
    };
    let same = files::digest(&to).is_ok_and(|(_, digest)| digest == about.sha256);
    let placed = if same { install::describe(&to, &about) } else { install::install(&path, &to, &about) };
    placed.map_err(|error| Failure::because(format!("cannot put {} in place", to.display()), error))?;
    let previous = install::previous_of(&to);
    ctl::print(
        common.output,
        &Done {
            file: to.display().to_string(),
            source: about.source,
            database_type: database.database_type().to_owned(),
            built: moment(database.build_epoch()),
            age_days: age_days(database.build_epoch(), seconds),
            facts: survey.facts.names(),
            networks: survey.networks,
            sha256: about.sha256,
            licence: about.licence,
            attribution: about.attribution,
            previous: previous.exists().then(|| previous.display().to_string()),
        },
    )
}

/// RFC 3339, UTC.
pub fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "unknown".to_owned(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
