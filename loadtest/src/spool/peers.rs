//! Who makes records durable.

use super::{Run, SpoolError};
use crate::compare::{cpu, sync};
use crate::store::events::{Catalog, Hits};
use edge::disk::RealDisk;
use edge::lanes::PerLane;
use edge::spool::{LocalSpool, OpenAs, Spool, SpoolConfig, Streams};
use hdrhistogram::Histogram;
use prost::Message;
use proto_model::{AdvertiserId, EdgeId, Lane, ProgramId, StreamNo, TenantId};
use proto_wire::edge_v1::Sidecar;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Spool,
    /// One buffer, one write and one `fdatasync` for all who wait, at the end of a file that grows.
    Raw,
    /// The same over zeros that were written and synced before: no commit of the file system's journal.
    RawOverZeros,
    /// An insert each, one `flush` for all.
    Sled,
}

/// Before a write begins there again; more than a disk's cache would help with.
const ZEROS: usize = 64 << 20;

impl Peer {
    pub const ALL: [Self; 4] = [Self::Spool, Self::Raw, Self::RawOverZeros, Self::Sled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Raw => "raw",
            Self::RawOverZeros => "raw over zeros",
            Self::Sled => "sled",
        }
    }

    pub fn run(self, dir: &Path, record: &Record, waiting: usize, millis: u64) -> Result<Run, SpoolError> {
        let length = Duration::from_millis(millis);
        match self {
            Self::Spool => spool(dir, record, waiting, length),
            Self::Raw => raw(dir, record, waiting, length, 0),
            Self::RawOverZeros => raw(dir, record, waiting, length, ZEROS),
            Self::Sled => sled(dir, record, waiting, length),
        }
    }
}

/// A click with its network values, as an edge keeps it.
pub struct Record {
    event: Vec<u8>,
    sidecar: Vec<u8>,
}

/// What the spool puts around it: magic, checksum, lane, ordinals and two lengths.
const FRAME: usize = 33;

impl Record {
    pub fn of_a_click() -> Self {
        let catalog = Catalog {
            tenant: TenantId::from_random(1),
            advertiser: AdvertiserId::from_random(1),
            program: ProgramId::from_random(1),
            links: Vec::new(),
        };
        let (event, personal) = Hits::new(&catalog).click();
        let (event, entries) =
            proto_wire::convert::event_to_wire(&event, StreamNo(2), 1, &personal, || [7; 16]);
        Self { event: event.encode_to_vec(), sidecar: Sidecar { entries }.encode_to_vec() }
    }

    pub fn framed(&self) -> usize {
        FRAME + self.event.len() + self.sidecar.len()
    }

    fn write(&self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(&self.event);
        out.extend_from_slice(&self.sidecar);
        self.event.len()
    }
}

/// Times `group` again and again; each makes `waiting` records durable.
fn groups(
    waiting: usize,
    length: Duration,
    mut group: impl FnMut(u64) -> Result<(), SpoolError>,
) -> Result<Run, SpoolError> {
    let (mut waits, cpu_before) = (sync::histogram()?, cpu::precise(std::process::id())?);
    let (began, each) = (Instant::now(), u64::try_from(waiting).unwrap_or(u64::MAX));
    let mut records = 0;
    while records == 0 || began.elapsed() < length {
        let start = Instant::now();
        group(records)?;
        waits.saturating_record_n(micros(start.elapsed()), each);
        records += each;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Run { records, seconds, cpu: cpu::precise(std::process::id())? - cpu_before, waits })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn raw(
    dir: &Path,
    record: &Record,
    waiting: usize,
    length: Duration,
    zeros: usize,
) -> Result<Run, SpoolError> {
    let failed = |source| SpoolError::Io { dir: dir.to_owned(), source };
    let file = File::create(dir.join("log")).map_err(failed)?;
    file.write_all_at(&vec![0; zeros], 0).and_then(|()| file.sync_all()).map_err(failed)?;
    let group = vec![0x5a; record.framed() * waiting];
    let (mut at, step) = (0, group.len() as u64);
    groups(waiting, length, |_| {
        if zeros > 0 && at + step > zeros as u64 {
            at = 0;
        }
        file.write_all_at(&group, at).and_then(|()| file.sync_data()).map_err(failed)?;
        at += step;
        Ok(())
    })
}

fn sled(dir: &Path, record: &Record, waiting: usize, length: Duration) -> Result<Run, SpoolError> {
    let database = sled::Config::new().path(dir.join("sled")).flush_every_ms(None).open()?;
    let mut value = Vec::new();
    record.write(&mut value);
    groups(waiting, length, |first| {
        for ordinal in (first..).take(waiting) {
            database.insert(ordinal.to_be_bytes(), value.as_slice())?;
        }
        database.flush()?;
        Ok(())
    })
}

/// Of the tasks that wait.
struct Waits {
    times: RefCell<Histogram<u64>>,
    until: Instant,
}

/// As in a worker of the edge: one thread, a task for each who waits, and a word when it has run out of work.
fn spool(dir: &Path, record: &Record, waiting: usize, length: Duration) -> Result<Run, SpoolError> {
    let failed = |source| SpoolError::Io { dir: dir.to_owned(), source };
    let (money, traffic) = (StreamNo(1), StreamNo(2));
    let streams = Streams { edge: EdgeId::from_random(1), epoch: 1, money, traffic };
    let open = OpenAs { streams, sealed: PerLane::default(), existed: false };
    // Nobody takes anything away.
    let config = SpoolConfig { max_bytes: 64 << 30, ..SpoolConfig::default() };
    let spool = Spool::open(Arc::new(RealDisk), &dir.join("spool"), config, open)?;
    let handle = spool.handle();
    let idle = handle.idle();
    let parked = Arc::clone(&idle);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || parked.now())
        .build()
        .map_err(failed)?;
    let local: Rc<LocalSpool> = Rc::new(handle.local_until(idle));
    let cpu_before = cpu::precise(std::process::id())?;
    let began = Instant::now();
    let waits = Rc::new(Waits { times: RefCell::new(sync::histogram()?), until: began + length });
    let tasks = tokio::task::LocalSet::new();
    let record = Rc::new(Record { event: record.event.clone(), sidecar: record.sidecar.clone() });
    let all: Vec<_> = (0..waiting)
        .map(|_| tasks.spawn_local(one(Rc::clone(&local), Rc::clone(&record), Rc::clone(&waits))))
        .collect();
    runtime.block_on(tasks.run_until(async {
        for task in all {
            // Tasks neither panic nor are cancelled.
            task.await.unwrap_or(Ok(()))?;
        }
        Ok::<_, SpoolError>(())
    }))?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = cpu::precise(std::process::id())? - cpu_before;
    let waits = waits.times.borrow().clone();
    Ok(Run { records: waits.len(), seconds, cpu, waits })
}

/// Waits for one record after another.
async fn one(spool: Rc<LocalSpool>, record: Rc<Record>, waits: Rc<Waits>) -> Result<(), SpoolError> {
    loop {
        let start = Instant::now();
        let (_, durable) = spool.append(Lane::Traffic, |_, out| Some(record.write(out)))?;
        durable.await?;
        waits.times.borrow_mut().saturating_record(micros(start.elapsed()));
        if Instant::now() >= waits.until {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_write_as_many_bytes_as_the_spool() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of_a_click();
        let streams =
            Streams { edge: EdgeId::from_random(1), epoch: 1, money: StreamNo(1), traffic: StreamNo(2) };
        let open = OpenAs { streams, sealed: PerLane::default(), existed: false };
        let spool = Spool::open(Arc::new(RealDisk), dir.path(), SpoolConfig::default(), open).unwrap();
        let before = spool.handle().status().bytes;
        let (_, durable) =
            spool.handle().local().append(Lane::Traffic, |_, out| Some(record.write(out))).unwrap();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(durable).unwrap();
        let frame = spool.handle().status().bytes - before;
        assert_eq!(frame, record.framed() as u64);
    }
}
