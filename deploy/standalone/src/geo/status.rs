//! `tributary geo status`.

use super::files_in;
use super::put::moment;
use crate::ctl::{Format, files};
use crate::error::{BoxError, Failure};
use geoip::check::{OLD_DAYS, age_days};
use geoip::{Attribution, Files, Geo, GeoDatabase};
use serde::Serialize;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Options {
    /// Of `up` or of `edge run`.
    #[arg(long, default_value = "tributary-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// A database elsewhere; may be repeated.
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Addresses to look up.
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    lookup: Vec<IpAddr>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Serialize)]
struct Status {
    databases: Vec<Database>,
    lookups: Vec<Lookup>,
}

#[derive(Serialize)]
struct Database {
    file: String,
    database_type: String,
    built: String,
    age_days: u64,
    old: bool,
    facts: Vec<&'static str>,
    networks: u64,
    records: u64,
    source: Option<String>,
    fetched_at: Option<String>,
    /// The file is the one that was put there.
    as_fetched: Option<bool>,
    licence: Option<String>,
    attribution: Option<Attribution>,
}

#[derive(Serialize)]
struct Lookup {
    address: IpAddr,
    country: String,
    region: Option<String>,
    city: Option<String>,
    asn: Option<u32>,
}

pub fn run(options: Options) -> Result<ExitCode, BoxError> {
    let (paths, mut roles) = if options.file.is_empty() {
        let files = files_in(&options.data_dir);
        (files.places.iter().chain(&files.asns).cloned().collect(), files)
    } else {
        (options.file.clone(), Files::default())
    };
    if paths.is_empty() {
        return Err(Failure::new(format!(
            "there is no database in {}, so that every country is unknown; `tributary geo fetch` gets one",
            options.data_dir.join("geo").display()
        ))
        .into());
    }
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let mut databases = Vec::new();
    for path in &paths {
        let database = GeoDatabase::open(path)?;
        let described = describe(&database, now)?;
        let role = if described.facts.contains(&"country") { &mut roles.places } else { &mut roles.asns };
        role.get_or_insert_with(|| path.clone());
        databases.push(described);
    }
    let (geo, errors) = Geo::open(roles);
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let lookups = options.lookup.iter().map(|address| look_up(&geo, *address)).collect();
    let old = databases.iter().any(|database| database.old);
    print(options.output, &Status { databases, lookups })?;
    Ok(if old { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn describe(database: &GeoDatabase, now: u64) -> Result<Database, BoxError> {
    let survey = database.survey()?;
    let age_days = age_days(database.build_epoch(), now);
    let about = database.about();
    let as_fetched = match about {
        Some(about) => Some(digest(database.path())? == about.sha256),
        None => None,
    };
    Ok(Database {
        file: database.path().display().to_string(),
        database_type: database.database_type().to_owned(),
        built: moment(database.build_epoch()),
        age_days,
        old: age_days > OLD_DAYS,
        facts: survey.facts.names(),
        networks: survey.networks,
        records: survey.records,
        source: about.map(|about| about.source.clone()),
        fetched_at: about.map(|about| about.fetched_at.clone()),
        as_fetched,
        licence: about.and_then(|about| about.licence.clone()),
        attribution: database.attribution(),
    })
}

fn digest(path: &Path) -> Result<String, BoxError> {
    files::digest(path).map(|(_, digest)| digest).map_err(files::failed("read", path))
}

fn look_up(geo: &Geo, address: IpAddr) -> Lookup {
    let place = geo.place(address);
    let text = |text: Option<std::sync::Arc<str>>| text.map(|text| text.to_string());
    let (country, region, city) = (place.country.code().to_owned(), text(place.region), text(place.city));
    Lookup { address, country, region, city, asn: place.asn }
}

fn print(format: Format, status: &Status) -> Result<(), BoxError> {
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_value(status)?)?;
        return Ok(out.flush()?);
    }
    for database in &status.databases {
        let mut line = |name: &str, text: &str| writeln!(out, "{name:<14}{text}");
        line("file", &database.file)?;
        line("type", &database.database_type)?;
        let old = if database.old { "; old: `tributary geo fetch` gets a newer one" } else { "" };
        line("built", &format!("{} ({} days ago{old})", database.built, database.age_days))?;
        line("facts", &database.facts.join(", "))?;
        line("networks", &format!("{} with {} different records", database.networks, database.records))?;
        if let (Some(source), Some(at)) = (&database.source, &database.fetched_at) {
            let changed =
                if database.as_fetched == Some(false) { "; the file has changed since" } else { "" };
            line("source", &format!("{source}, put here {at}{changed}"))?;
        }
        if let Some(licence) = &database.licence {
            line("licence", licence)?;
        }
        if let Some(Attribution { text, url }) = &database.attribution {
            line("attribution", &format!("{text} ({url}), to be shown where results are"))?;
        }
        writeln!(out)?;
    }
    for Lookup { address, country, region, city, asn } in &status.lookups {
        let texts = [Some(country.clone()), region.clone(), city.clone(), asn.map(|asn| format!("AS{asn}"))];
        let texts: Vec<_> = texts.into_iter().flatten().collect();
        writeln!(out, "{:<40}{}", address.to_string(), texts.join("  "))?;
    }
    Ok(out.flush()?)
}
