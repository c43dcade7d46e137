//! Meridian: one binary that is the agent, the gateway unit and the command line.
//!
//! Start with [`cli`] for the commands and options, [`client`] for the client commands, [`daemon`]
//! for the agent, [`recover`] for the data of a stopped agent, and [`dev`] for a cluster on one
//! machine.

mod cli;
mod client;
mod config;
mod daemon;
mod dev;
mod exit;
mod recover;
mod telemetry;
mod unit;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use cli::{AgentCommand, Cli, Command, generate};

/// Changes and requests make many small allocations that other threads free; the documentation of
/// the benchmarks has the measurements. Huge pages are off: with them, an idle agent used 111 MB
/// instead of 47 MB.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

// The released binary contains no planted bugs: see tests/planted.
const _: () = assert!(!meridian_storage::planted::PLANTED_BUGS && !meridian_agent::PLANTED_BUGS);

fn main() -> ExitCode {
    if let Some(config) = unit::requested() {
        return unit::run(config);
    }
    let Cli { command } = match Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match command {
        Command::Client(command) => client::run(command),
        Command::Agent(invocation) => match invocation.command {
            None => daemon::run(invocation.daemon),
            Some(AgentCommand::Drain(args)) => client::run(client::Command::AgentDrain(args)),
        },
        Command::Dev(args) => dev::run(args),
        Command::Recover(args) => recover::run(args),
        Command::Completion { shell } => generate::completion(shell),
        Command::Man { directory } => generate::man_pages(&directory),
        Command::Version => generate::version(),
    }
}
