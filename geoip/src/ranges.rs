//! Tables of ranges (CSV), made into a MaxMind DB file.

mod columns;

use crate::writer::{Layout, Network, RecordId, Writer, position};
use columns::Columns;
pub(crate) use columns::place_value;
use csv::{ReaderBuilder, StringRecord, Trim};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::IpAddr;

#[derive(Debug, thiserror::Error)]
pub enum RangesError {
    #[error("line {line}: {why}")]
    Row { line: u64, why: String },
    #[error("cannot read the table as CSV in UTF-8")]
    Csv(#[from] csv::Error),
    #[error("the table has no ranges; see docs/geo.md for the columns it may have")]
    Empty,
    #[error("cannot write the database")]
    Write(#[source] std::io::Error),
}

/// From the first to the last address, both included.
struct Range {
    start: u128,
    end: u128,
    record: RecordId,
    line: u32,
}

/// Reads `start,end,...` rows in any order and writes the database. Rows that say nothing are left out; ranges that
/// overlap are refused, since nobody could tell which one is right. Says how many ranges there were.
pub fn convert(input: impl Read, out: &mut impl Write, build_epoch: u64) -> Result<usize, RangesError> {
    let mut rows = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(input);
    let mut table: Option<Table> = None;
    let mut row = StringRecord::new();
    while rows.read_record(&mut row)? {
        let line = row.position().map_or(0, csv::Position::line);
        let bad = |why| RangesError::Row { line, why };
        match &mut table {
            Some(table) => table.add(&row, line).map_err(bad)?,
            None if is_header(&row, line) => {}
            none => {
                let columns = Columns::of(&row).map_err(bad)?;
                none.insert(Table::new(columns, build_epoch)).add(&row, line).map_err(bad)?;
            }
        }
    }
    let table = table.filter(|table| !table.ranges.is_empty()).ok_or(RangesError::Empty)?;
    table.write(out)
}

/// Names of columns begin with a letter, and so may an IPv6 address.
fn is_header(row: &StringRecord, line: u64) -> bool {
    line == 1
        && row
            .get(0)
            .is_some_and(|field| field.parse::<IpAddr>().is_err() && field.starts_with(char::is_alphabetic))
}

struct Table {
    columns: Columns,
    writer: Writer,
    /// By what a row says, so that a record is built once.
    records: HashMap<String, Option<RecordId>>,
    key: String,
    ranges: Vec<Range>,
}

impl Table {
    fn new(columns: Columns, build_epoch: u64) -> Self {
        let layout = Layout {
            record_bits: None,
            ipv6: true,
            build_epoch,
            database_type: columns.database_type(),
            description: "Made from a table of ranges by tributary",
        };
        let (records, key, ranges) = (HashMap::new(), String::new(), Vec::new());
        Self { columns, writer: Writer::new(layout), records, key, ranges }
    }

    fn add(&mut self, row: &StringRecord, line: u64) -> Result<(), String> {
        self.columns.check(row)?;
        let (start, end) = (address(row, 0)?, address(row, 1)?);
        if start.is_ipv4() != end.is_ipv4() {
            return Err(format!("{start} and {end} are not of one kind"));
        }
        if start > end {
            return Err(format!("the range ends before it begins: {start} - {end}"));
        }
        let Some(record) = self.record(row)? else { return Ok(()) };
        let (start, end) = (position(start), position(end));
        self.ranges.push(Range { start, end, record, line: u32::try_from(line).unwrap_or(u32::MAX) });
        Ok(())
    }

    fn record(&mut self, row: &StringRecord) -> Result<Option<RecordId>, String> {
        self.key.clear();
        for field in row.iter().skip(2) {
            self.key.push_str(field);
            // Stands in no name.
            self.key.push('\u{1f}');
        }
        if let Some(known) = self.records.get(&self.key) {
            return Ok(*known);
        }
        let record = match self.columns.value(row)? {
            Some(value) => Some(self.writer.record(&value).map_err(|error| error.to_string())?),
            None => None,
        };
        self.records.insert(self.key.clone(), record);
        Ok(record)
    }

    fn write(mut self, out: &mut impl Write) -> Result<usize, RangesError> {
        self.ranges.sort_unstable_by_key(|range| (range.start, range.line));
        for pair in self.ranges.windows(2) {
            if pair[1].start <= pair[0].end {
                let line = u64::from(pair[0].line.max(pair[1].line));
                let why = format!("the range overlaps that of line {}", pair[0].line.min(pair[1].line));
                return Err(RangesError::Row { line, why });
            }
        }
        for range in &self.ranges {
            for network in Network::of_range(range.start, range.end) {
                self.writer.insert(network, range.record).map_err(RangesError::Write)?;
            }
        }
        let count = self.ranges.len();
        self.writer.finish(out).map_err(RangesError::Write)?;
        Ok(count)
    }
}

fn address(row: &StringRecord, at: usize) -> Result<IpAddr, String> {
    let text = row.get(at).unwrap_or_default();
    text.parse().map_err(|_| format!("{text:?} is not an address such as 203.0.113.0 or 2001:db8::"))
}

#[cfg(test)]
mod tests;
