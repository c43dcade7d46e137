//! `meridian agent`: the daemon of one machine in a region.
//!
//! ```text
//! configuration -> log, metrics -> data directory locked, all ports open      Agent::build
//!   -> HTTP and peer port served -> part of a cluster -> node -> client port  Agent::run
//! ```
//!
//! This is where the rooms are put together; each is documented in its own crate.

mod admission;
mod compose;
mod peer_port;
mod readiness;
mod registration;
pub mod shutdown;
mod units;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::cli::AgentArgs;
use crate::config::values::Values;
use crate::config::{self, AgentConfig, ConfigError, render};
use crate::exit;
use crate::telemetry::{logs, metrics};
use compose::{Agent, AgentError};

pub use units::{REMOVED, RUN_DIRECTORY};

/// Runs the agent until it is told to stop, and returns the code to exit with.
pub fn run(args: AgentArgs) -> ExitCode {
    let (values, config) = match configure(&args) {
        Ok(configured) => configured,
        Err(error) => {
            exit::report(&error.to_string(), &error.next_step());
            return ExitCode::from(exit::USAGE);
        }
    };
    if args.check_config {
        anstream::print!("{}", render::in_effect(&values));
        return ExitCode::SUCCESS;
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::report(&with_causes(&error), error.next_step());
            ExitCode::FAILURE
        }
    }
}

fn configure(args: &AgentArgs) -> Result<(Values, AgentConfig), ConfigError> {
    let values = config::layers(args.flags.0.clone(), args.config.as_deref())?;
    let config = AgentConfig::resolve(&values)?;
    Ok((values, config))
}

fn serve(config: AgentConfig) -> Result<(), AgentError> {
    logs::start(config.log_format, &config.log_level)?;
    let metrics = metrics::start()?;
    let runtime = runtime().map_err(AgentError::Runtime)?;
    let served = runtime.block_on(async {
        let told = shutdown::listen().map_err(AgentError::Runtime)?;
        told.exit_when_told_twice();
        Agent::build(config, metrics).await?.run(told.once).await
    });
    // A name that is still being looked up must not keep the process.
    runtime.shutdown_background();
    served
}

/// A change is a chain of short steps that wait for each other: each that goes to another thread costs
/// more than it does. So half of the processors, and the rest for what writes to the disk.
fn runtime() -> io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(processors.div_ceil(2)).enable_all().build()
}

/// The error with its causes, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
