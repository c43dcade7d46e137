//! The unit as a process: inherited descriptors, session and signals.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ListenerSource, UnitConfig};
use crate::fd_passing;
use crate::unit::{BuildError, Unit};

/// Error returned by [`run`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Standard input is not a listening TCP socket.
    #[error(
        "standard input is not a listening TCP socket: units are started by an agent, not by hand"
    )]
    NoListener,
    /// The agent did not pass a listening socket.
    #[error("no listening socket received")]
    NoListenerReceived(#[source] io::Error),
    /// A system call failed.
    #[error("failed to set up the process")]
    Setup(#[source] io::Error),
    /// The unit could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Runs this process as the unit that `config` describes, until it receives SIGTERM, its agent
/// drains it, or no agent can want it anymore. Requires a tokio runtime.
///
/// # Errors
/// If the unit fails to start. Once it serves, it ends without an error.
pub async fn run(config: UnitConfig) -> Result<(), RunError> {
    detach();
    let mut shutdown = Box::pin(terminated().map_err(RunError::Setup)?);
    let listener = match &config.listener {
        ListenerSource::Inherited => inherited_listener()?,
        ListenerSource::Received(path) => {
            let path = config.directory.join(path);
            tokio::select! {
                received = fd_passing::receive_listener(&path) => {
                    received.map_err(RunError::NoListenerReceived)?
                }
                () = shutdown.as_mut() => return Ok(()),
            }
        }
    };
    Unit::build(config, listener)?.run(shutdown).await;
    Ok(())
}

/// Leaves the agent's session, so that what ends that session (Ctrl-C, a closed terminal) does not
/// end the unit.
///
/// The agent cannot do this for its child without `unsafe`. So a Ctrl-C within the few milliseconds
/// before this function runs reaches both processes: the unit does not serve yet, and the agent is
/// exiting too.
fn detach() {
    if let Err(error) = rustix::process::setsid() {
        // Fails only for a process group leader, whose group is its own already.
        tracing::debug!(%error, "failed to create a new session");
    }
}

/// Takes the listening socket that the agent passed as standard input, as inetd(8) does, and
/// replaces standard input with `/dev/null`, so that a draining unit can close the socket.
///
/// Standard input is the one inherited descriptor that both sides can handle without `unsafe`.
///
/// # Errors
/// [`RunError::NoListener`] if standard input is something else, [`RunError::Setup`] if a system
/// call fails.
pub fn inherited_listener() -> Result<TcpListener, RunError> {
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(RunError::Setup)?;
    let listening = rustix::net::sockopt::socket_acceptconn(&input).unwrap_or(false);
    let listener = TcpListener::from(input);
    if !listening || listener.local_addr().is_err() {
        return Err(RunError::NoListener);
    }
    let null = std::fs::File::open("/dev/null").map_err(RunError::Setup)?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| RunError::Setup(error.into()))?;
    listener.set_nonblocking(true).map_err(RunError::Setup)?;
    Ok(listener)
}

/// Completes on the first SIGTERM. From the function call on, SIGINT and SIGHUP are ignored: they
/// are meant for processes at a terminal.
///
/// # Errors
/// If a signal handler cannot be installed.
pub fn terminated() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let ignored = [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    Ok(async move {
        terminate.recv().await;
        drop(ignored);
    })
}
