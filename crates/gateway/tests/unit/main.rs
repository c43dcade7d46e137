//! Black-box tests of the unit: its port, its control socket, its signals, its lock.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod backend;
mod control;
mod forwarding;
mod http2;
mod http2_support;
mod limits;
mod metrics;
mod misbehavior;
mod process;
mod redirects;
mod refused_streams;
mod serving;
mod smuggling;
mod support;
mod tls;
mod upgrade;

#[test]
fn unit_process() {
    support::become_unit();
}
