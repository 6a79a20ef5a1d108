//! What stands against a comparison's figures and is easily overlooked in them.

use super::{Measured, Sample};
use crate::run::Transport;

/// Of a core, in percent: more than this, and the generator has nothing left.
const FULL: f64 = 90.0;
/// Of connections, at least, for the figure to be one of resumed sessions.
const RESUMED: f64 = 0.95;

pub fn doubts(measured: &Measured) -> Vec<String> {
    let mut found = Vec::new();
    for (peer, samples) in measured.comparison.peers.iter().zip(&measured.peak) {
        let count = |is: fn(&Sample) -> bool| samples.iter().filter(|sample| is(sample)).count();
        let limited = count(|sample| sample.outcome.own_share() > FULL && sample.server_share < FULL);
        if limited > 0 {
            found.push(format!(
                "{}: the generator was the limit in {limited} of {} runs at full speed; CPU time tells, the rate does not",
                peer.name,
                samples.len()
            ));
        }
        let mostly_full = count(|sample| {
            let made = sample.outcome.connections;
            (made.resumed as f64) < RESUMED * made.made as f64
        });
        if peer.transport == Transport::Resumed && mostly_full > 0 {
            found.push(format!(
                "{}: too many full handshakes in {mostly_full} of {} runs; see that the server gives tickets",
                peer.name,
                samples.len()
            ));
        }
    }
    for open in &measured.open {
        for (peer, samples) in measured.comparison.peers.iter().zip(&open.samples) {
            let lagged = samples.iter().filter(|s| s.outcome.lagged()).count();
            if lagged > 0 {
                found.push(format!(
                    "{}: at {}/s the generator lagged more than 1 ms (p99) in {lagged} of {} runs",
                    peer.name,
                    open.rate,
                    samples.len()
                ));
            }
        }
    }
    found
}
