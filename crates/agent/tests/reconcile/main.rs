//! Tests of the reconciler with a simulated driver and log, and the real domain. Time is virtual,
//! so hours pass within milliseconds.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod chaos;
mod configuring;
mod converging;
mod failing;
mod hanging;
mod large;
mod leaving;
mod lingering;
mod log;
mod machine;
mod redirects;
mod without_quorum;
mod world;
