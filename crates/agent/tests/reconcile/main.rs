//! The reconciler against a driver and a log of the test's own, whose rules are the real ones. Time is
//! virtual, so hours pass in moments.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chaos;
mod configuring;
mod converging;
mod failing;
mod leaving;
mod log;
mod machine;
mod without_quorum;
mod world;
