//! What the client commands do: ask any agent of a cluster, print data to standard output and
//! everything else to standard error, and say by the exit code what became of it.
//!
//! ```text
//! cli -> Session -> Caller -> any agent        a change: the same request id at every agent
//!                -> view   -> output           what is printed, as tables or JSON
//!                -> Failure                    a line of cause, a line of next step, an exit code
//! ```
//!
//! Nothing here may know how an agent works; it knows the contract in `proto/meridian/v1` only.
//! Start with [`call`] for how endpoints are gone through, then [`failure`] for what can go wrong.

mod actor;
mod api;
mod call;
mod change;
mod cluster;
mod command_line;
mod confirm;
mod conflict;
mod contract;
mod departure;
mod endpoint;
mod explain;
mod failure;
mod lookup;
mod output;
mod refusal;
mod region;
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
pub use failure::Failure;
pub use refusal::words;

pub use crate::cli::ClientCommand as Command;
use crate::cli::GlobalArgs;
use session::Session;

/// Runs one client command to its end and returns the code to exit with.
pub fn run(global: GlobalArgs, command: Command) -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| {
            let result = runtime.block_on(dispatch(global, command));
            // A name that is still being resolved must not keep the process.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.into_exit_code(),
    }
}

/// Does what one client command says.
///
/// # Errors
/// Why it was not done; whoever gets it prints it, by [`Failure::into_exit_code`].
pub async fn dispatch(global: GlobalArgs, command: Command) -> Result<(), Failure> {
    global.check_scope(&command)?;
    let session = Session::new(global)?;
    match command {
        Command::Service(command) => service::run(&session, command).await,
        Command::Region(command) => region::run(&session, command).await,
        Command::Api(command) => api::run(&session, command).await,
        Command::Unit(command) => unit::run(&session, command).await,
        Command::Events(args) => watch::events(&session, &args).await,
        Command::Status => status::show(&session).await,
        Command::Cluster(command) => cluster::run(&session, command).await,
        Command::AgentDrain(args) => cluster::drain(&session, args).await,
    }
}
