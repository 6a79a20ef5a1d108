//! Puts the parts of a node together and takes them down in order.

use crate::config::Config;
use crate::forward::ForwardStatus;
use crate::http::{self, ServeError};
use crate::snapshot::SharedSnapshot;
use crate::spool::SpoolHandle;
use crate::state::State;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the HTTP side gets to see of the node.
#[derive(Clone)]
pub struct Parts {
    pub snapshot: SharedSnapshot,
    pub spool: SpoolHandle,
    pub state: State,
    pub forward: Arc<ForwardStatus>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("this node is not enrolled (run `enroll` with a join bundle from the control plane)")]
    NotEnrolled,
}

/// A running node.
pub struct EdgeHandle {
    server: http::Server,
    parts: Parts,
}

/// Starts from what is on disk; the control plane need not be up.
pub async fn start(_config: Config) -> Result<EdgeHandle, StartError> {
    Err(StartError::NotEnrolled)
}

impl EdgeHandle {
    pub fn http_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Resolves when there is a snapshot to answer from.
    pub async fn wait_ready(&self) {}

    /// Drains: no hit that was answered is lost.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}
