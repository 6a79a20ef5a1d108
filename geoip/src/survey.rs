//! A walk over all of a database: is it sound, and how much is in it?

use crate::database::GeoDatabase;
use crate::error::GeoError;
use crate::place::{self, Facts};
use maxminddb::{MaxMindDbError, WithinOptions};
use serde::de::IgnoredAny;
use std::collections::HashSet;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Survey {
    /// Networks that a record stands at.
    pub networks: u64,
    /// Different records.
    pub records: u64,
    pub facts: Facts,
}

impl GeoDatabase {
    /// Follows every branch and decodes every record. The reader's own check is not used: it also refuses a file
    /// that has no description, and those of well-known publishers have none.
    pub fn survey(&self) -> Result<Survey, GeoError> {
        self.walk().map_err(|source| self.corrupt(source))
    }

    fn walk(&self) -> Result<Survey, MaxMindDbError> {
        let reader = self.reader();
        // A tree of n nodes has n + 1 ends; a damaged one may lead in circles.
        let most = u64::from(reader.metadata().node_count) * 3;
        let mut survey = Survey { networks: 0, records: 0, facts: Facts::default() };
        let (mut seen, mut ends) = (HashSet::new(), 0);
        for end in reader.networks(WithinOptions::default().include_networks_without_data())? {
            ends += 1;
            if ends > most {
                return Err(MaxMindDbError::invalid_database("the tree leads in circles"));
            }
            let record = end?;
            let Some(offset) = record.offset() else { continue };
            survey.networks += 1;
            if seen.insert(offset) {
                record.decode::<IgnoredAny>()?;
                survey.facts.add(&place::decode(&record)?);
            }
        }
        survey.records = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        Ok(survey)
    }
}
