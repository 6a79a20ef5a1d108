//! Time, and the CPU time of this process and of a PostgreSQL on this machine.

use super::BenchError;
use super::bare::Bare;
use crate::compare::cpu;
use std::time::Instant;

/// One peer in one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub events: f64,
    pub seconds: f64,
    /// CPU seconds of this process.
    pub own: f64,
    /// CPU seconds of the database's processes.
    pub server: f64,
}

impl Sample {
    pub fn rate(&self) -> f64 {
        self.events / self.seconds
    }

    /// As one core would do alone.
    pub fn per_core(&self) -> f64 {
        self.events / (self.own + self.server)
    }

    pub fn own_us(&self) -> f64 {
        self.own * 1e6 / self.events
    }

    pub fn server_us(&self) -> f64 {
        self.server * 1e6 / self.events
    }
}

#[derive(Clone, Copy, Default)]
pub struct Meter {
    postmaster: Option<u32>,
}

impl Meter {
    pub async fn of(conn: &mut Bare) -> Result<Self, BenchError> {
        if !conn.is_postgres() {
            return Ok(Self::default());
        }
        let pid = conn.fetch("SELECT pg_backend_pid()", &[]).await?;
        let pid = pid.first().and_then(|row| row.first()).map_or(0, |pid| pid.int());
        let backend = u32::try_from(pid).unwrap_or_default();
        Ok(Self { postmaster: Some(cpu::parent(backend)?) })
    }

    fn now(self) -> Result<(f64, f64), BenchError> {
        let server = self.postmaster.map_or(Ok(0.0), cpu::family)?;
        Ok((cpu::precise(std::process::id())?, server))
    }

    /// `work` says how many events it has dealt with.
    pub async fn measure<E>(self, work: impl Future<Output = Result<usize, E>>) -> Result<Sample, BenchError>
    where
        BenchError: From<E>,
    {
        let (own, server) = self.now()?;
        let start = Instant::now();
        let events = work.await? as f64;
        let seconds = start.elapsed().as_secs_f64();
        let after = self.now()?;
        Ok(Sample { events, seconds, own: (after.0 - own).max(0.0), server: (after.1 - server).max(0.0) })
    }
}
