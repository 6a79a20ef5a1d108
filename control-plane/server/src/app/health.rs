//! Which parts of the process do their work. Readiness is the conjunction.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Ready, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Starting,
    Ok,
    /// Works, but somebody should look.
    Degraded(String),
    Failed(String),
}

#[derive(Default)]
pub struct Health {
    parts: Mutex<BTreeMap<&'static str, Status>>,
}

impl Health {
    pub fn set(&self, part: &'static str, status: Status) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(part, status);
    }

    pub fn parts(&self) -> Vec<(&'static str, Status)> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(part, status)| (*part, status.clone())).collect()
    }

    pub fn is_ready(&self) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        !parts.is_empty() && parts.values().all(|s| matches!(s, Status::Ok | Status::Degraded(_)))
    }
}
