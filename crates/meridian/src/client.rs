//! Client commands: they send requests to any agent of a cluster, print data to standard output and
//! everything else to standard error, and report the outcome by the exit code.
//!
//! ```text
//! cli -> Session -> FailoverClient -> any agent
//!                -> view   -> output         data, as text or JSON
//!                -> Failure                  cause, next step and exit code
//! ```
//!
//! Nothing here depends on how an agent works, only on the contract in `proto/meridian/v1`. Start
//! with [`failover`] for how endpoints are tried, then [`failure`] for what can go wrong.

mod actor;
mod api;
mod call;
mod change;
mod cluster;
mod command_line;
mod confirm;
mod conflict;
mod contract;
mod diff;
mod dns;
mod effect;
mod elapsed;
mod endpoint;
mod explain;
mod failover;
mod failure;
mod grpc_status;
mod hint;
mod impact;
mod lookup;
mod network;
mod output;
mod progress;
mod region;
mod route;
mod rule;
mod scaling;
mod service;
mod session;
mod status;
mod unit;
mod view;
mod wait;
mod watch;

use std::process::ExitCode;

pub use actor::actor;
pub use command_line::quote;
pub use confirm::ask;
pub use failure::Failure;
pub use grpc_status::message;
pub use output::{Output, Row};
pub use view::rfc3339;

pub use crate::cli::ClientCommand as Command;
use session::Session;

/// Runs one client command and returns the exit code.
pub fn run(command: Command) -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| {
            let result = runtime.block_on(dispatch(command));
            // A pending name resolution must not delay the exit.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.into_exit_code(),
    }
}

/// Runs one client command.
///
/// # Errors
/// The failure; [`Failure::into_exit_code`] prints it.
pub async fn dispatch(command: Command) -> Result<(), Failure> {
    let mut session = Session::new(command.options())?;
    let result = match command {
        Command::Service(command) => service::run(&session, command).await,
        Command::Region(command) => region::run(&mut session, command).await,
        Command::Api(command) => api::run(&session, command).await,
        Command::Unit(command) => unit::run(&session, command).await,
        Command::Route(args) => route::show(&session, args).await,
        Command::Call(args) => call::run(&session, args).await,
        Command::Dns(command) => dns::run(&session, command).await,
        Command::Network(command) => network::run(&session, command).await,
        Command::Events(args) => watch::events(&session, &args).await,
        Command::Status(args) => status::show(&session, &args).await,
        Command::Cluster(command) => cluster::run(&session, command).await,
        Command::AgentDrain(args) => cluster::drain(&session, args).await,
    };
    if let Err(Failure::Conflict { conflict: Some(conflict), .. }) = &result {
        // The conflict remains the failure, even if its events cannot be printed.
        let _ = conflict::print(session.output, conflict);
    }
    result
}
