//! A real PostgreSQL for tests, of Debian's package: for development only, no crate ships it.
//!
//! [`server`] is one server for all tests of a process; each takes databases of its own from it. Tests that
//! stop it, or want TLS, start a private [`Server`]. Either dies with the process, also when that is killed.
//! A [`Proxy`] before it is a network that fails.
//! Everything here blocks.

mod keeper;
mod programs;
mod proxy;
mod server;

pub use keeper::KeeperError;
pub use programs::{NoAccount, NotInstalled, PsqlError};
pub use proxy::Proxy;
pub use server::{Database, Options, Server, StartError, Stop, StopError, Tls};

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// The server of this process, started at first use. Panics when there is none to be had.
#[track_caller]
pub fn server() -> &'static Server {
    static SERVER: LazyLock<Result<Server, StartError>> =
        LazyLock::new(|| Server::start(Options { parent: roomy_memory(), ..Options::default() }));
    or_fail(SERVER.as_ref())
}

/// Where there is memory to spare: making a database there takes a fifth of the time.
fn roomy_memory() -> Option<PathBuf> {
    const ENOUGH_KIB: u64 = 4 * 1024 * 1024;
    let memory = "/dev/shm";
    let df = Command::new("df").args(["-k", "--output=avail", memory]).output().ok()?;
    let free: u64 = String::from_utf8_lossy(&df.stdout).lines().last()?.trim().parse().ok()?;
    (free >= ENOUGH_KIB).then(|| memory.into())
}

/// The server, if the tests shall run on PostgreSQL: `TRIBUTARY_TEST_DATABASE=postgres`. Otherwise they run on
/// SQLite. Panics on anything else, so that a typing error does not run the wrong tests.
#[track_caller]
#[expect(clippy::panic, reason = "only tests call this")]
pub fn chosen() -> Option<&'static Server> {
    match std::env::var("TRIBUTARY_TEST_DATABASE").as_deref() {
        Err(_) | Ok("" | "sqlite") => None,
        Ok("postgres") => Some(server()),
        Ok(other) => panic!("TRIBUTARY_TEST_DATABASE is sqlite or postgres, not {other}"),
    }
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
