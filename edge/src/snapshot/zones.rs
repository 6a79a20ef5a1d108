//! Time zones as offsets from UTC, as far ahead as the control plane has sent them.

use proto_model::UnixMicros;
use proto_wire::edge_v1;
use std::collections::HashMap;
use std::sync::Arc;

/// No zone is further from UTC than 14 hours; the calendar allows 26.
const MAX_OFFSET_SECS: i32 = 26 * 3_600;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimeZone {
    /// From when (Unix seconds) which offset holds; ascending. Empty = UTC.
    offsets: Box<[(i64, i32)]>,
}

impl TimeZone {
    fn try_new(zone: &edge_v1::TimeZone) -> Option<Self> {
        let offsets: Box<[_]> = zone.offsets.iter().map(|o| (o.from_secs, o.offset_secs)).collect();
        let ascends = offsets.is_sorted_by(|(one, _), (next, _)| one < next);
        let sane = offsets.iter().all(|(_, offset)| offset.abs() <= MAX_OFFSET_SECS);
        (ascends && sane && !offsets.is_empty()).then_some(Self { offsets })
    }

    pub fn offset_secs(&self, at: UnixMicros) -> i32 {
        let later = self.offsets.partition_point(|(from, _)| *from <= at.secs());
        self.offsets.get(later.saturating_sub(1)).map_or(0, |(_, offset)| *offset)
    }
}

pub(super) type Zones<'c> = HashMap<&'c str, Arc<TimeZone>>;

pub(super) fn read<'c>(zones: &'c [edge_v1::TimeZone], left_out: &mut usize) -> Zones<'c> {
    let mut read = HashMap::with_capacity(zones.len());
    for zone in zones {
        match TimeZone::try_new(zone) {
            Some(offsets) => _ = read.insert(zone.name.as_str(), Arc::new(offsets)),
            None => *left_out += 1,
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(offsets: &[(i64, i32)]) -> Option<TimeZone> {
        let offsets = offsets.iter().map(|(from_secs, offset_secs)| edge_v1::UtcOffset {
            from_secs: *from_secs,
            offset_secs: *offset_secs,
        });
        TimeZone::try_new(&edge_v1::TimeZone { name: "x".into(), offsets: offsets.collect() })
    }

    #[test]
    fn an_offset_holds_until_the_next() {
        let berlin = zone(&[(0, 3_600), (100, 7_200), (200, 3_600)]).unwrap();
        for (at, offset) in [(-5, 3_600), (0, 3_600), (99, 3_600), (100, 7_200), (199, 7_200), (999, 3_600)] {
            assert_eq!(berlin.offset_secs(UnixMicros::from_secs(at)), offset, "{at}");
        }
        assert_eq!(TimeZone::default().offset_secs(UnixMicros(0)), 0);
        for bad in [&[][..], &[(1, 0), (1, 5)], &[(2, 0), (1, 0)], &[(0, 100_000)]] {
            assert_eq!(zone(bad), None, "{bad:?}");
        }
    }
}
