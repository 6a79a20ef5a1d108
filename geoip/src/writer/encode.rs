//! The data section and the metadata.

use super::{Layout, Value, invalid};
use std::collections::BTreeMap;
use std::io;

const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

// Types, in the top three bits of the control byte. 0 = the byte after it holds the type less 7.
const POINTER: u8 = 1;
const STRING: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// A pointer to a shorter text would save nothing.
const WORTH_A_POINTER: usize = 4;

/// The data section. A text stands in it once; later records point to it.
#[derive(Default)]
pub(super) struct Data {
    bytes: Vec<u8>,
    texts: BTreeMap<String, usize>,
}

impl Data {
    /// Appends a record and says where it begins.
    pub fn add(&mut self, value: &Value) -> io::Result<usize> {
        let offset = self.bytes.len();
        self.value(value)?;
        Ok(offset)
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn value(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::Text(text) => self.text(text),
            Value::Uint32(number) => {
                uint(&mut self.bytes, UINT32, &number.to_be_bytes());
                Ok(())
            }
            Value::Map(fields) => {
                control(&mut self.bytes, MAP, fields.len())?;
                fields.iter().try_for_each(|(key, value)| {
                    self.text(key)?;
                    self.value(value)
                })
            }
            Value::List(items) => {
                control(&mut self.bytes, ARRAY, items.len())?;
                items.iter().try_for_each(|item| self.value(item))
            }
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        if text.len() < WORTH_A_POINTER {
            return string(&mut self.bytes, text);
        }
        if let Some(offset) = self.texts.get(text) {
            return pointer(&mut self.bytes, *offset);
        }
        self.texts.insert(text.to_owned(), self.bytes.len());
        string(&mut self.bytes, text)
    }
}

/// Type and size of what follows.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) -> io::Result<()> {
    let too_long = || invalid(format!("{size} bytes or fields are more than a record may have"));
    // 29, 30 and 31 say that the rest of the size follows in one, two or three bytes.
    let (low, more) = match size {
        0..29 => (u8::try_from(size).unwrap_or_default(), &[][..]),
        29..285 => (29, &(size - 29).to_be_bytes()[7..]),
        285..65_821 => (30, &(size - 285).to_be_bytes()[6..]),
        _ => return Err(too_long()),
    };
    if kind > MAP {
        out.extend([low, kind - 7]);
    } else {
        out.push(kind << 5 | low);
    }
    out.extend_from_slice(more);
    Ok(())
}

fn string(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    control(out, STRING, text.len())?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Numbers are written at their full width, which every reader understands.
fn uint(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let size = u8::try_from(bytes.len()).unwrap_or_default();
    if kind > MAP {
        out.extend([size, kind - 7]);
    } else {
        out.push(kind << 5 | size);
    }
    out.extend_from_slice(bytes);
}

fn pointer(out: &mut Vec<u8>, offset: usize) -> io::Result<()> {
    let offset = u32::try_from(offset).map_err(|_| invalid("too many records".to_owned()))?;
    // The shorter forms count on from where the form before them ends.
    let (size, value) = match offset {
        0..2_048 => (0, offset),
        2_048..526_336 => (1, offset - 2_048),
        526_336..134_744_064 => (2, offset - 526_336),
        _ => (3, offset),
    };
    let [a, b, c, d] = value.to_be_bytes();
    let head = POINTER << 5 | size << 3;
    match size {
        0 => out.extend([head | c, d]),
        1 => out.extend([head | b, c, d]),
        2 => out.extend([head | a, b, c, d]),
        _ => out.extend([head, a, b, c, d]),
    }
    Ok(())
}

pub(super) fn metadata(layout: &Layout, record_bits: u16, node_count: usize) -> io::Result<Vec<u8>> {
    let mut out = METADATA_MARKER.to_vec();
    let nodes = u32::try_from(node_count).map_err(|_| invalid("too many networks".to_owned()))?;
    let numbers: [(&str, u8, &[u8]); 6] = [
        ("binary_format_major_version", UINT16, &2u16.to_be_bytes()),
        ("binary_format_minor_version", UINT16, &0u16.to_be_bytes()),
        ("ip_version", UINT16, &(if layout.ipv6 { 6u16 } else { 4 }).to_be_bytes()),
        ("record_size", UINT16, &record_bits.to_be_bytes()),
        ("node_count", UINT32, &nodes.to_be_bytes()),
        ("build_epoch", UINT64, &layout.build_epoch.to_be_bytes()),
    ];
    control(&mut out, MAP, numbers.len() + 3)?;
    for (key, kind, bytes) in numbers {
        string(&mut out, key)?;
        uint(&mut out, kind, bytes);
    }
    string(&mut out, "database_type")?;
    string(&mut out, layout.database_type)?;
    string(&mut out, "languages")?;
    control(&mut out, ARRAY, 1)?;
    string(&mut out, "en")?;
    string(&mut out, "description")?;
    control(&mut out, MAP, 1)?;
    string(&mut out, "en")?;
    string(&mut out, layout.description)?;
    Ok(out)
}
