//! The unit from outside: its port, its control socket, its signals, its lock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backend;
mod control;
mod forwarding;
mod http2;
mod limits;
mod metrics;
mod misbehaviour;
mod process;
mod refused;
mod serving;
mod smuggling;
mod streams;
mod support;
mod tls;
mod upgrade;

#[test]
fn unit_process() {
    support::become_unit();
}
