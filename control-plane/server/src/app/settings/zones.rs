//! Time zones as edges want them: a list of offsets, from the table that is built into this program. Two control
//! planes of one version therefore send the same bytes.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proto_model::UnixMicros;
use proto_wire::edge_v1;

/// From 2025-01-01 to 2045-01-01: later clicks get the last offset.
const FROM_SECS: i64 = 1_735_689_600;
const UNTIL_SECS: i64 = 2_366_841_600;

/// `None` when nobody knows the name.
pub fn zone(name: &str) -> Option<edge_v1::TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    let begin = Timestamp::from_second(FROM_SECS).ok()?;
    let shift = |at: Timestamp, offset: jiff::tz::Offset| edge_v1::UtcOffset {
        from_secs: at.as_second(),
        offset_secs: offset.seconds(),
    };
    let mut offsets = vec![shift(begin, zone.to_offset(begin))];
    let changes = zone.following(begin).take_while(|change| change.timestamp().as_second() < UNTIL_SECS);
    offsets.extend(changes.map(|change| shift(change.timestamp(), change.offset())));
    Some(edge_v1::TimeZone { name: name.to_owned(), offsets })
}

/// The zone's offset from UTC in seconds, as edges have it; UTC without a name.
pub fn offset_at(name: Option<&str>) -> impl Fn(UnixMicros) -> i32 {
    let offsets = name.and_then(zone).map(|zone| zone.offsets).unwrap_or_default();
    move |at| {
        let later = offsets.partition_point(|shift| shift.from_secs <= at.secs());
        offsets.get(later.saturating_sub(1)).map_or(0, |shift| shift.offset_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(name: &str) -> Vec<(i64, i32)> {
        zone(name).unwrap().offsets.iter().map(|shift| (shift.from_secs, shift.offset_secs)).collect()
    }

    #[test]
    fn zones_are_lists_of_offsets() {
        assert_eq!(offsets("Asia/Shanghai"), [(FROM_SECS, 28_800)]);
        assert_eq!(offsets("UTC"), [(FROM_SECS, 0)]);
        let berlin = offsets("Europe/Berlin");
        // Summer time of 2025 begins on 30 March and ends on 26 October, both at 1:00 UTC.
        assert_eq!(berlin[..3], [(FROM_SECS, 3_600), (1_743_296_400, 7_200), (1_761_440_400, 3_600)]);
        assert_eq!(berlin.len(), 1 + 2 * 20);
        assert_eq!(zone("Mars/Olympus"), None);
    }
}
