//! Writes small MaxMind DB files (format 2.0) with countries, for tests and demos. Real databases come
//! from a publisher; this keeps the whole tree in memory and shares nothing but equal records.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// What [`write_mmdb`] writes as build time: 2024-01-01.
pub const DEFAULT_BUILD_EPOCH: u64 = 1_704_067_200;

const SEPARATOR: [u8; 16] = [0; 16];
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// How the file is laid out. Readers must cope with each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// 24, 28 or 32 bits a record.
    pub record_bits: u16,
    /// `false` = a tree of 32 levels that has no place for IPv6.
    pub ipv6: bool,
    pub build_epoch: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { record_bits: 24, ipv6: true, build_epoch: DEFAULT_BUILD_EPOCH }
    }
}

/// Writes `(network, country code)` pairs; where networks nest, the longer prefix wins.
pub fn write_mmdb(path: impl AsRef<Path>, entries: &[(&str, &str)]) -> io::Result<()> {
    write_mmdb_as(path, Layout::default(), entries)
}

/// The file appears whole or not at all, as a good publisher's would.
pub fn write_mmdb_as(path: impl AsRef<Path>, layout: Layout, entries: &[(&str, &str)]) -> io::Result<()> {
    let path = path.as_ref();
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    std::fs::write(&unfinished, mmdb_bytes(layout, entries)?)?;
    std::fs::rename(&unfinished, path)
}

pub fn mmdb_bytes(layout: Layout, entries: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut offsets = BTreeMap::new();
    let mut routes = Vec::new();
    for (network, code) in entries {
        let offset = *offsets.entry(*code).or_insert(data.len());
        if offset == data.len() {
            write_country(&mut data, code)?;
        }
        let (bits, length) = parse_network(network, layout.ipv6)?;
        routes.push((length, bits, offset));
    }
    // Shorter prefixes first, so that longer ones are cut out of them.
    routes.sort_unstable();
    let mut tree = Tree { nodes: vec![[Slot::Empty; 2]] };
    for (length, bits, offset) in routes {
        tree.insert(bits, length, offset);
    }
    let mut file = tree.bytes(layout.record_bits)?;
    file.extend_from_slice(&SEPARATOR);
    file.extend_from_slice(&data);
    write_metadata(&mut file, layout, tree.nodes.len());
    Ok(file)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The network's bits from the top of a u128, and how many of them count. In an IPv6 tree IPv4 networks
/// stand under ::/96.
fn parse_network(text: &str, ipv6: bool) -> io::Result<(u128, u32)> {
    let bad = || invalid(format!("`{text}` is not a network such as 203.0.113.0/24"));
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let prefix: u32 = prefix.parse().map_err(|_| bad())?;
    match address.parse().map_err(|_| bad())? {
        IpAddr::V4(v4) if prefix <= 32 && ipv6 => Ok((u128::from(v4.to_bits()), 96 + prefix)),
        IpAddr::V4(v4) if prefix <= 32 => Ok((u128::from(v4.to_bits()) << 96, prefix)),
        IpAddr::V6(v6) if prefix <= 128 && ipv6 => Ok((v6.to_bits(), prefix)),
        IpAddr::V6(_) if !ipv6 => Err(invalid(format!("`{text}` has no place in an IPv4 tree"))),
        _ => Err(bad()),
    }
}

#[derive(Clone, Copy)]
enum Slot {
    Empty,
    Node(usize),
    /// Offset in the data section.
    Data(usize),
}

struct Tree {
    nodes: Vec<[Slot; 2]>,
}

impl Tree {
    fn insert(&mut self, bits: u128, length: u32, offset: usize) {
        if length == 0 {
            self.nodes[0] = [Slot::Data(offset); 2];
            return;
        }
        let side = |level: u32| usize::from(bits >> (127 - level) & 1 == 1);
        let mut at = 0;
        for level in 0..length - 1 {
            at = match self.nodes[at][side(level)] {
                Slot::Node(next) => next,
                // Both halves of a new node go on saying what the record above them said.
                covering => {
                    self.nodes.push([covering; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[at][side(level)] = Slot::Node(next);
                    next
                }
            };
        }
        self.nodes[at][side(length - 1)] = Slot::Data(offset);
    }

    fn bytes(&self, record_bits: u16) -> io::Result<Vec<u8>> {
        let count = self.nodes.len();
        let value = |slot: Slot| {
            let wide = match slot {
                Slot::Empty => count,
                Slot::Node(index) => index,
                Slot::Data(offset) => count + SEPARATOR.len() + offset,
            };
            let fits = u32::try_from(wide).ok().filter(|v| u64::from(*v) < 1 << record_bits);
            fits.ok_or_else(|| invalid(format!("too many networks for records of {record_bits} bits")))
        };
        let mut bytes = Vec::new();
        for [left, right] in &self.nodes {
            let (left, right) = (value(*left)?, value(*right)?);
            let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
            match record_bits {
                24 => bytes.extend([l[1], l[2], l[3], r[1], r[2], r[3]]),
                // The middle byte holds the top four bits of both.
                28 => bytes.extend([l[1], l[2], l[3], l[0] << 4 | r[0], r[1], r[2], r[3]]),
                32 => bytes.extend(l.iter().chain(&r)),
                other => return Err(invalid(format!("records have 24, 28 or 32 bits, not {other}"))),
            }
        }
        Ok(bytes)
    }
}

// Control byte: type in the top three bits (0 = the next byte holds the type less 7), size below.
const TYPE_STRING: u8 = 2 << 5;
const TYPE_UINT16: u8 = 5 << 5;
const TYPE_UINT32: u8 = 6 << 5;
const TYPE_MAP: u8 = 7 << 5;
const EXTENDED_UINT64: u8 = 9 - 7;
const EXTENDED_ARRAY: u8 = 11 - 7;
/// Longer strings need a longer size, which nothing here has.
const MAX_STRING: usize = 28;

/// Callers pass strings of at most [`MAX_STRING`] bytes.
fn write_string(out: &mut Vec<u8>, text: &str) {
    let size = u8::try_from(text.len().min(MAX_STRING)).unwrap_or_default();
    out.push(TYPE_STRING | size);
    out.extend(text.bytes().take(MAX_STRING));
}

fn write_country(out: &mut Vec<u8>, code: &str) -> io::Result<()> {
    if code.len() > MAX_STRING {
        return Err(invalid(format!("`{code}` is longer than a country code")));
    }
    out.push(TYPE_MAP | 1);
    write_string(out, "country");
    out.push(TYPE_MAP | 1);
    write_string(out, "iso_code");
    write_string(out, code);
    Ok(())
}

fn write_metadata(out: &mut Vec<u8>, layout: Layout, node_count: usize) {
    let uint16 = |out: &mut Vec<u8>, key: &str, value: u16| {
        write_string(out, key);
        out.push(TYPE_UINT16 | 2);
        out.extend(value.to_be_bytes());
    };
    out.extend_from_slice(METADATA_MARKER);
    out.push(TYPE_MAP | 9);
    uint16(out, "binary_format_major_version", 2);
    uint16(out, "binary_format_minor_version", 0);
    uint16(out, "ip_version", if layout.ipv6 { 6 } else { 4 });
    uint16(out, "record_size", layout.record_bits);
    write_string(out, "node_count");
    out.push(TYPE_UINT32 | 4);
    out.extend(u32::try_from(node_count).unwrap_or(u32::MAX).to_be_bytes());
    write_string(out, "build_epoch");
    out.extend([8, EXTENDED_UINT64]);
    out.extend(layout.build_epoch.to_be_bytes());
    write_string(out, "database_type");
    write_string(out, "Tributary-Country");
    write_string(out, "languages");
    out.extend([0, EXTENDED_ARRAY]);
    write_string(out, "description");
    out.push(TYPE_MAP | 1);
    write_string(out, "en");
    write_string(out, "Countries for tests");
}
