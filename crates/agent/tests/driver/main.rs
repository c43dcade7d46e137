//! Tests of the drivers with real processes, sockets and files: the conformance suite, and tests of
//! single drivers.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

#[macro_use]
mod conformance;

mod backend;
mod builtin;
mod command;
#[cfg(feature = "docker")]
mod docker;
mod load;
mod support;

#[test]
fn unit_process() {
    builtin::become_unit();
}

#[test]
fn program_process() {
    command::become_program();
}

#[test]
fn agent_process() {
    let arguments = support::arguments();
    let Some(kind) = arguments.first() else { return };
    match kind.as_str() {
        <builtin::Kind as support::Kind>::NAME => {
            support::become_agent::<builtin::Kind>(&arguments[1..]);
        }
        <builtin::Late as support::Kind>::NAME => {
            support::become_agent::<builtin::Late>(&arguments[1..]);
        }
        <command::Kind as support::Kind>::NAME => {
            support::become_agent::<command::Kind>(&arguments[1..]);
        }
        #[cfg(feature = "docker")]
        <docker::Kind as support::Kind>::NAME => {
            support::become_agent::<docker::Kind>(&arguments[1..]);
        }
        kind => panic!("unknown driver {kind}"),
    }
}
