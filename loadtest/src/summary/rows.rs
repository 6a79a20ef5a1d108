//! What the summary has a line for, and what is to be reached.

pub(super) struct Row {
    pub name: &'static str,
    /// Without `.json`.
    pub file: &'static str,
    pub figure: Figure,
    /// With whom ours is compared.
    pub peer: &'static str,
    pub goal: Goal,
}

#[derive(Clone, Copy)]
pub(super) enum Figure {
    /// At full speed.
    Peak(&'static str),
    /// Answers for a second of CPU time at full speed: holds where the generator is the limit, too.
    PerCpu,
    /// At a fixed rate of so many percent of the slowest peak.
    Open {
        percent: f64,
        key: &'static str,
    },
    /// Of memory, for each idle connection.
    IdleBytes,
    StartMs,
    /// Memory after all runs and after the first.
    Growth,
}

#[derive(Clone, Copy)]
pub(super) enum Goal {
    None,
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// Ours alone.
    AtMost(f64),
    /// What a durable answer may take: the peer's time and two of the disk's.
    PeerAndTwoSyncs,
}

use Figure::{Growth, IdleBytes, Open, Peak, PerCpu, StartMs};
use Goal::{AtMost, PeerAndTwoSyncs, RatioAtLeast, RatioAtMost};

const fn row(name: &'static str, file: &'static str, figure: Figure, peer: &'static str, goal: Goal) -> Row {
    Row { name, file, figure, peer, goal }
}

const fn p99(percent: f64) -> Figure {
    Open { percent, key: "p99_us" }
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("redirect, CPU-us", "redirect", Peak("cpu_us"), "nginx", RatioAtMost(0.80)),
    row("redirect, CPU-us, log buffered", "redirect", Peak("cpu_us"), "nginx-buffered", Goal::None),
    row("redirect, CPU-us, log off", "redirect", Peak("cpu_us"), "nginx-off", Goal::None),
    row("redirect, CPU-us, hyper alone", "redirect", Peak("cpu_us"), "bare", Goal::None),
    row("redirect, answers/s", "redirect", Peak("rate"), "nginx", Goal::None),
    row("pixel, CPU-us", "pixel", Peak("cpu_us"), "nginx", RatioAtMost(0.80)),
    row("pixel, CPU-us, log buffered", "pixel", Peak("cpu_us"), "nginx-buffered", Goal::None),
    row("pixel, CPU-us, log off", "pixel", Peak("cpu_us"), "nginx-off", Goal::None),
    row("pixel, CPU-us, hyper alone", "pixel", Peak("cpu_us"), "bare", Goal::None),
    row("pixel, answers/s", "pixel", Peak("rate"), "nginx", Goal::None),
    row("connection per request, answers/CPU-s", "each", PerCpu, "nginx", Goal::None),
    row("connection per request, answers/CPU-s", "each", PerCpu, "bare", Goal::None),
    row("TLS, full handshake, answers/CPU-s", "tls-full", PerCpu, "nginx", Goal::None),
    row("TLS, resumed, answers/CPU-s", "tls-resumed", PerCpu, "nginx", RatioAtLeast(1.30)),
    row("HTTP/2 in TLS, answers/CPU-s", "h2", PerCpu, "nginx", RatioAtLeast(1.20)),
    row("HTTP/2 in TLS, answers/s", "h2", Peak("rate"), "nginx", Goal::None),
    row("HTTP/3, answers/CPU-s", "h3", PerCpu, "edge-h2", RatioAtLeast(0.50)),
    row("HTTP/3, answers/s", "h3", Peak("rate"), "edge-h2", Goal::None),
    row("p99 at 25 % of peak, us", "sweep", p99(25.0), "nginx", Goal::None),
    row("p99 at 50 % of peak, us", "sweep", p99(50.0), "nginx", PeerAndTwoSyncs),
    row("p99 at 75 % of peak, us", "sweep", p99(75.0), "nginx", Goal::None),
    row("p99 at 90 % of peak, us", "sweep", p99(90.0), "nginx", Goal::None),
    row("memory, bytes an idle connection", "idle", IdleBytes, "bare", RatioAtMost(1.20)),
    row("cold start, ms", "start", StartMs, "", AtMost(100.0)),
    row("cold start of nginx, ms", "start-nginx", StartMs, "", Goal::None),
    row("flood of strangers: a regular's p99, us", "flood", p99(50.0), "clean", RatioAtMost(2.0)),
    row("flood: memory after / at first, MiB", "flood", Growth, "", RatioAtMost(1.10)),
];
