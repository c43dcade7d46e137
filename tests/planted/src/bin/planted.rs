//! Checks for planted bugs that need no cluster, each determined by a seed. Exits with 1 and prints
//! the violation if a check fails.

#[path = "planted/adoption.rs"]
mod adoption;
#[path = "planted/log.rs"]
mod log;
#[path = "planted/units.rs"]
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// A state machine that receives entries decided in another state.
    Log {
        /// Seed of the check.
        #[arg(long)]
        seed: u64,
    },
    /// A reconciler whose reads are never confirmed by a quorum.
    Units {
        /// Seed of the check.
        #[arg(long)]
        seed: u64,
    },
    /// A driver whose unit exits while no agent is running.
    Adoption {
        /// Seed of the check.
        #[arg(long)]
        seed: u64,
    },
    /// Runs a unit; used by the driver.
    #[command(hide = true, disable_help_flag = true)]
    Unit {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().check {
        Check::Log { seed } => log::check(seed),
        Check::Units { seed } => units::check(seed),
        Check::Adoption { seed } => adoption::check(seed),
        Check::Unit { arguments } => adoption::unit(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            println!("{violation:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
