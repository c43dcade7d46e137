//! The built-in driver on real processes, sockets and files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crashes;
mod lifecycle;
mod load;
mod support;

#[test]
fn unit_process() {
    support::become_unit();
}

#[test]
fn agent_process() {
    support::become_agent();
}
