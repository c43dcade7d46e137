//! Clusters of real processes, under real faults: the binary, its agents, their units, and the
//! command line.
//!
//! Each test has directories and addresses of its own, so they may run beside each other and beside
//! a `meridian dev`; how many do at a time is decided by `meridian_testkit::process::Sandbox`.

mod configurations;
mod development;
mod leader_loss;
mod load;
mod membership;
mod messages;
mod quorum;
mod refusals;
mod regions;
mod restarts;
mod snapshots;
mod support;
