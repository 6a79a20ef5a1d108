//! The geo databases that an edge beside this control plane would use.

use super::report::Report;
use crate::geo::files_in;
use geoip::GeoDatabase;
use geoip::check::{OLD_DAYS, age_days};
use std::path::Path;

const CHECK: &str = "geo";

pub fn check(data_dir: &Path, now_secs: u64, report: &mut Report) {
    let files = files_in(data_dir);
    let paths: Vec<_> = files.places.iter().chain(&files.asns).collect();
    if paths.is_empty() {
        let why = "no database here: where this data directory has an edge, `tributary geo fetch` gets one";
        return report.skipped(CHECK, why);
    }
    let mut found = Vec::new();
    for path in paths {
        match GeoDatabase::open(path) {
            Err(error) => return report.failed(CHECK, &error),
            Ok(database) => {
                let days = age_days(database.build_epoch(), now_secs);
                found.push((days, format!("{} is {days} days old", path.display())));
            }
        }
    }
    let old = found.iter().any(|(days, _)| *days > OLD_DAYS);
    let found: Vec<String> = found.into_iter().map(|(_, text)| text).collect();
    let found = found.join(", ");
    if old {
        report.warning(CHECK, found, "tributary geo fetch; addresses move from one country to another");
    } else {
        report.ok(CHECK, found);
    }
}
