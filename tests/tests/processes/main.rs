//! Clusters of real processes under real faults: the binary with its agents, units and command
//! line.
//!
//! Each test has its own directories and addresses, so tests may run concurrently with each other
//! and with a `meridian dev`. `meridian_testkit::process::Sandbox` limits the concurrency.

mod configurations;
mod descriptors;
mod development;
mod leader_loss;
mod load;
mod membership;
mod messages;
mod portal;
mod quorum;
mod reachability;
mod recovery;
mod redirects;
mod regions;
mod rejections;
mod resolvers;
mod restarts;
mod snapshots;
mod stops;
mod support;
mod units;
mod wide_area;
