//! The main job, end to end, on real processes: what a newcomer does, what a crash must not undo.

#![allow(clippy::expect_used, clippy::panic)]

mod balancer;
mod browser;
mod by_curl;
mod chromium;
mod click_caps;
mod crash;
mod doctor;
mod failover;
mod geo;
mod harness;
mod hostile;
mod main_job;
mod named_routes;
mod outage;
mod privacy;
mod restore;
mod rules;
mod script;
mod stopping;
mod tail;
mod torture;
mod upgrade;
