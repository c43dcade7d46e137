//! One check of what a planted bug would break, with what follows from one seed. Exits with 1 where
//! something is wrong, and says what.

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
    /// A state machine that is given entries decided against another state.
    Log {
        /// What everything is drawn from.
        #[arg(long)]
        seed: u64,
    },
    /// A reconciler whose reads no majority confirms.
    Units {
        /// What everything is drawn from.
        #[arg(long)]
        seed: u64,
    },
    /// A driver whose unit dies while no agent runs.
    Adoption {
        /// What everything is drawn from.
        #[arg(long)]
        seed: u64,
    },
    /// A unit, which the driver starts.
    #[command(hide = true, disable_help_flag = true)]
    Unit {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let found = match Arguments::parse().check {
        Check::Log { seed } => log::check(seed),
        Check::Units { seed } => units::check(seed),
        Check::Adoption { seed } => adoption::check(seed),
        Check::Unit { arguments } => adoption::unit(arguments),
    };
    match found {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            println!("{wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
