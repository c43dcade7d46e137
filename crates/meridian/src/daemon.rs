//! `meridian agent`: the daemon of one machine in a region.
//!
//! ```text
//! configuration -> log, metrics -> data directory locked, all ports open      Agent::build
//!   -> HTTP and peer port served -> member of a cluster                       Agent::run
//!   -> node -> client port, units                                             Member::run
//! ```
//!
//! This module wires the layers together; each layer is documented in its own crate. The reconciler
//! and the unit drivers are in `crates/agent`.

mod admission;
mod client_port;
mod compose;
mod descriptors;
mod error;
mod http_port;
mod member;
mod peer_port;
mod prepare;
mod readiness;
mod registration;
pub mod shutdown;
mod units;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use error_reporter::Report;
use tokio::runtime::Runtime;

use crate::cli::AgentArgs;
use crate::config::values::Values;
use crate::config::{self, AgentConfig, ConfigError, region, render};
use crate::exit;
use crate::telemetry::{logs, metrics};
use compose::Agent;
use descriptors::Shares;
use error::AgentError;

pub use units::{REMOVED, RUN_DIRECTORY};

/// Runs the agent until it is signaled to stop, and returns the exit code.
pub fn run(args: AgentArgs) -> ExitCode {
    let (values, config) = match configure(&args) {
        Ok(configured) => configured,
        Err(error) => {
            exit::report(&error.to_string(), &error.next_step());
            return ExitCode::from(exit::USAGE);
        }
    };
    if args.check_config {
        let printed = exit::print(render::in_effect(&values).as_bytes());
        note_custom_region(&config);
        return printed;
    }
    if let Err(error) = protect() {
        let error = AgentError::Runtime(error);
        exit::report(&Report::new(&error).to_string(), error.next_step());
        return ExitCode::FAILURE;
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::report(&Report::new(&error).to_string(), error.next_step());
            ExitCode::FAILURE
        }
    }
}

fn configure(args: &AgentArgs) -> Result<(Values, AgentConfig), ConfigError> {
    let values = config::layers(args.flags.0.clone(), args.config.as_deref())?;
    let config = AgentConfig::resolve(&values)?;
    Ok((values, config))
}

/// Prints a note if the region is not in the catalog: it is custom, or misspelled.
fn note_custom_region(config: &AgentConfig) {
    if let Err(cause) = region::check(&config.region) {
        exit::note(
            &format!("region {}: {cause}", config.region),
            "correct the name, or define the region in the cluster with `meridian region define` before \
             the agent joins",
        );
    }
}

/// Protects the files, the descriptors and the memory of this process, before it opens anything.
fn protect() -> io::Result<()> {
    meridian_process::restrict_new_files();
    meridian_process::inherited::close_on_exec()?;
    meridian_process::deny_inspection()
}

fn serve(config: AgentConfig) -> Result<(), AgentError> {
    logs::start(config.log_format, &config.log_level)?;
    let metrics = metrics::start()?;
    let (limit, raised) = meridian_process::raise_file_limit();
    if let Err(error) = raised {
        tracing::warn!(limit, %error, "cannot raise the limit of open files");
    }
    let shares = Shares::of(limit)?;
    let runtime = runtime().map_err(AgentError::Runtime)?;
    let result = runtime.block_on(async {
        let shutdown = shutdown::listen(shutdown::Hangup::Ignored).map_err(AgentError::Runtime)?;
        shutdown.exit_on_second_signal();
        Agent::build(config, shares, metrics).await?.run(shutdown.graceful).await
    });
    // A pending DNS lookup must not keep the process alive.
    runtime.shutdown_background();
    result
}

/// Builds the runtime of an agent. A change is a chain of short steps that wait for each other, and
/// passing a step to another thread takes longer than the step. So the runtime uses half of the
/// CPUs and leaves the rest to the threads that write to disk.
fn runtime() -> io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(processors.div_ceil(2)).enable_all().build()
}
