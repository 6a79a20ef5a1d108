//! After an end that was not orderly: what was spent since it was last written down stands in the spool.

use crate::forward::SealedFiles;
use crate::spool::SpoolLog;
use crate::state::SavedLease;
use proto_model::{Capped, Lane, VerdictKind};
use proto_wire::edge_v1::{Event, event};
use std::io;

/// The events of a lane from an ordinal on.
pub struct Recorded<'a> {
    pub files: &'a SealedFiles,
    pub log: &'a SpoolLog,
}

/// Adds to each lease the clicks that were recorded after it was written down. Where they cannot be read, it counts
/// as spent: the cap holds rather than the last click.
pub fn recount(saved: &mut [SavedLease], recorded: &Recorded<'_>) {
    let stream = recorded.log.streams().stream(Lane::Traffic);
    let open = |lease: &SavedLease| !lease.over && lease.stream == stream;
    saved.iter_mut().filter(|lease| !lease.over && lease.stream != stream).for_each(spend_all);
    let Some(from) = saved.iter().filter(|lease| open(lease)).map(|lease| lease.from).min() else { return };
    let counting = |event: &Event| {
        for lease in saved.iter_mut().filter(|lease| open(lease)) {
            let since = event.ordinal >= lease.from && event.occurred_at_micros >= begins(lease);
            lease.spent += u64::from(since && counts(lease, event));
        }
    };
    if let Err(error) = recorded.each(from, counting) {
        tracing::warn!(error = %error, "what was spent of click caps is not known; the leases count as spent");
        saved.iter_mut().filter(|lease| open(lease)).for_each(spend_all);
    }
}

/// A lease is held a little before its window begins; clicks of before then are not of it. One that came just before
/// may have waited, and is.
fn begins(lease: &SavedLease) -> i64 {
    lease.lease.window.start.plus_secs(-1).0
}

fn spend_all(lease: &mut SavedLease) {
    lease.spent = lease.lease.granted;
}

/// Whether the event is a click that went onward to the offer, or through the link.
fn counts(lease: &SavedLease, event: &Event) -> bool {
    let Some(event::Body::Click(click)) = &event.body else { return false };
    let blocked = u32::from(VerdictKind::Block.code());
    let onward = event.verdict.as_ref().is_none_or(|verdict| verdict.kind != blocked);
    let taken = match lease.lease.subject {
        Capped::Offer(id) => click.offer == id.get(),
        Capped::Link(id) => click.link == id.get(),
    };
    onward && taken && event.tenant == lease.tenant.get()
}

impl Recorded<'_> {
    fn each(&self, from: u64, mut visit: impl FnMut(&Event)) -> io::Result<()> {
        let sealed = self.files.head().last;
        if from <= sealed {
            for first in self.files.firsts_from(from).map_err(io::Error::other)? {
                let (batch, header) = self.files.load(first).map_err(io::Error::other)?;
                let opened = batch.open(&header).map_err(io::Error::other)?;
                opened.events.iter().for_each(&mut visit);
            }
        }
        let mut reader = self.log.reader(Lane::Traffic, sealed);
        while let Some(spooled) = reader.read_next()? {
            visit(&spooled.event);
        }
        Ok(())
    }
}
