//! Meridian: one binary that is the agent, the gateway unit and the command line.
//!
//! Start with [`cli`] for what can be typed, [`client`] for what the client commands do, [`daemon`]
//! for the agent, and [`dev`] for a cluster on one machine.

mod cli;
mod client;
mod config;
mod daemon;
mod dev;
mod exit;
mod telemetry;
mod unit;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use cli::{AgentCommand, Cli, Command};

/// Changes and calls are made of many small allocations that end on other threads than they began:
/// the measurements are in the benchmarks' documentation. Without huge pages, by which an idle agent
/// took 111 MB instead of 47.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

// What is shipped has no bug on purpose: see tests/planted.
const _: () = assert!(!meridian_storage::planted::PLANTED_BUGS && !meridian_agent::PLANTED_BUGS);

fn main() -> ExitCode {
    if let Some(config) = unit::requested() {
        return unit::run(config);
    }
    let Cli { global, command } = match Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match command {
        Command::Client(command) => client::run(global, command),
        Command::Agent(invocation) => match invocation.command {
            None => daemon::run(invocation.daemon),
            Some(AgentCommand::Drain(args)) => {
                client::run(global, client::Command::AgentDrain(args))
            }
        },
        Command::Dev(args) => dev::run(args),
    }
}
