//! One database of several: publishers split large ones by IPv4 and IPv6.

use crate::database::GeoDatabase;
use crate::error::GeoError;
use crate::place::{self, Place};
use crate::ranges::place_value;
use crate::writer::{Layout, Network, RecordId, Writer};
use std::collections::HashMap;
use std::io::{self, Write};

#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Geo(#[from] GeoError),
    #[error("cannot write the database")]
    Write(#[source] io::Error),
}

/// Writes the countries, regions and cities of all of them, and leaves the rest out: the file is a good deal
/// smaller than they are. Where two know a network, the later one is heard.
pub fn merge(databases: &[GeoDatabase], out: &mut impl Write) -> Result<(), MergeError> {
    let built = databases.iter().map(GeoDatabase::build_epoch).min().unwrap_or_default();
    let mut writer = Writer::new(Layout {
        record_bits: None,
        ipv6: true,
        build_epoch: built,
        database_type: "Tributary-City",
        description: "Merged by tributary",
    });
    for database in databases {
        let corrupt = |source| database.corrupt(source);
        let mut ids: HashMap<usize, Option<RecordId>> = HashMap::new();
        for record in database.reader().networks(Default::default()).map_err(corrupt)? {
            let record = record.map_err(corrupt)?;
            let network = record.network().map_err(corrupt)?;
            let (Some(offset), Some(network)) =
                (record.offset(), Network::new(network.ip(), network.prefix().into()))
            else {
                continue;
            };
            let id = match ids.get(&offset) {
                Some(id) => *id,
                None => {
                    let id = add(&mut writer, &place::decode(&record).map_err(corrupt)?)?;
                    ids.insert(offset, id);
                    id
                }
            };
            if let Some(id) = id {
                writer.insert(network, id).map_err(MergeError::Write)?;
            }
        }
    }
    writer.finish(out).map_err(MergeError::Write)
}

fn add(writer: &mut Writer, place: &Place) -> Result<Option<RecordId>, MergeError> {
    if place.country == proto_model::Country::UNKNOWN {
        return Ok(None);
    }
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let value = place_value(place.country, &text(&place.region), &text(&place.city));
    writer.record(&value).map(Some).map_err(MergeError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Layout as TestLayout, city, write_records};

    #[test]
    fn both_halves_are_in_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let v4 = TestLayout { ipv6: false, build_epoch: 7, ..TestLayout::default() };
        let half = [("203.0.113.0/24", city("US", Some("CA"), "California", "Berkeley"))];
        write_records(at("4"), v4, &half).unwrap();
        let half = [
            ("2001:db8::/32", city("CN", None, "Shandong", "Jinan")),
            ("fd00::/8", city("ZZ", None, "", "")),
        ];
        write_records(at("6"), TestLayout::default(), &half).unwrap();
        let halves = [GeoDatabase::open(at("4")).unwrap(), GeoDatabase::open(at("6")).unwrap()];
        let mut bytes = Vec::new();
        merge(&halves, &mut bytes).unwrap();
        std::fs::write(at("all"), bytes).unwrap();
        let whole = GeoDatabase::open_verified(at("all")).unwrap();
        assert_eq!(whole.build_epoch(), 7, "no newer than its oldest part");
        for (address, part) in
            [("203.0.113.9", &halves[0]), ("2001:db8::9", &halves[1]), ("fd00::1", &halves[1])]
        {
            let address = address.parse().unwrap();
            assert_eq!(whole.place(address), part.place(address), "{address}");
        }
        assert_eq!(whole.survey().unwrap().networks, 2);
    }
}
