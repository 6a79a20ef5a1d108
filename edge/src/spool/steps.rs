//! The writer of a spool, step by step on the calling thread.

use super::writer::Writer;
use std::sync::Arc;

/// Nothing happens to the disk but in these calls, and nothing depends on the time: the same calls, the same log.
pub struct Steps {
    writer: Option<Writer>,
}

impl Steps {
    pub(super) fn new(writer: Writer) -> Self {
        Self { writer: Some(writer) }
    }

    /// Writes what is queued; in strict mode makes it durable, too. `false` once the spool was closed or dropped, or its
    /// disk failed for good, and all is done that there was to do.
    pub fn turn(&mut self) -> bool {
        let Some(mut writer) = self.writer.take() else { return false };
        let shared = Arc::clone(&writer.log.shared);
        match writer.turn(shared.lock()) {
            Some(last) => writer.finish(last),
            None => self.writer = Some(writer),
        }
        self.writer.is_some()
    }

    /// Bounded mode: makes durable what is written. What comes of a failure is for the next [`Steps::turn`].
    pub fn sync(&mut self) {
        if let Some(unsynced) = self.writer.as_ref().and_then(|writer| writer.unsynced.as_ref()) {
            unsynced.sync_now();
        }
    }
}
