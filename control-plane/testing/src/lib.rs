//! A real PostgreSQL for tests, of Debian's package: for development only, no crate ships it.
//!
//! [`server`] is one server for all tests of a process; each takes databases of its own from it. Tests that
//! stop it, or want TLS, start a private [`Server`]. Either dies with the process, also when that is killed.
//! Everything here blocks. `TMPDIR=/dev/shm` makes it some times faster, where there is memory to spare.

mod keeper;
mod programs;
mod server;

pub use keeper::KeeperError;
pub use programs::{NoAccount, NotInstalled, PsqlError};
pub use server::{Database, Options, Server, StartError, Stop, StopError, Tls};

use std::error::Error;
use std::sync::LazyLock;

/// The server of this process, started at first use. Panics when there is none to be had.
#[track_caller]
pub fn server() -> &'static Server {
    static SERVER: LazyLock<Result<Server, StartError>> = LazyLock::new(|| Server::start(Options::default()));
    or_fail(SERVER.as_ref())
}

#[track_caller]
#[expect(clippy::panic, reason = "only tests call this, and a test without its database has failed")]
fn or_fail<T, E: Error>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |cause| (*cause).source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            panic!("{error}{causes}")
        }
    }
}
