//! HTTP listeners of the node.

use crate::config::Config;
use crate::node::Parts;
use std::net::SocketAddr;

/// The listeners could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for hits on {addr}")]
pub struct ServeError {
    pub addr: SocketAddr,
    #[source]
    pub source: std::io::Error,
}

/// The running listeners.
pub struct Server {
    addr: SocketAddr,
}

impl Server {
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, finishes the replies under way, and returns.
    pub async fn shutdown(self) {}
}

pub async fn serve(config: &Config, _parts: Parts) -> Result<Server, ServeError> {
    Ok(Server { addr: config.listen })
}
