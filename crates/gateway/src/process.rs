//! The unit as a process: what it inherits, which signals it obeys, whom it outlives.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ListenerSource, UnitConfig};
use crate::handed;
use crate::unit::{BuildError, Unit};

/// Why a unit did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Standard input is not a listening TCP socket.
    #[error(
        "standard input is no listening TCP socket: a unit is started by an agent, not by hand"
    )]
    NoListener,
    /// No listening socket was handed over.
    #[error("no listening socket was handed over")]
    NotHanded(#[source] io::Error),
    /// A call to the system failed.
    #[error("the process could not be set up")]
    Setup(#[source] io::Error),
    /// It could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Runs this process as the unit that `config` describes, until SIGTERM or its agent ends it, or no
/// agent can want it. Needs a tokio runtime.
///
/// # Errors
/// If the unit could not start. Once it serves, it ends without an error.
pub async fn run(config: UnitConfig) -> Result<(), RunError> {
    detach();
    let mut shutdown = Box::pin(terminated().map_err(RunError::Setup)?);
    let listener = match &config.listener {
        ListenerSource::Inherited => inherited_listener()?,
        ListenerSource::Handed(path) => {
            let path = config.directory.join(path);
            tokio::select! {
                handed = handed::listener(&path) => handed.map_err(RunError::NotHanded)?,
                () = shutdown.as_mut() => return Ok(()),
            }
        }
    };
    Unit::build(config, listener)?.run(shutdown).await;
    Ok(())
}

/// Leaves the agent's session, so that what ends that one (Ctrl-C, a closed terminal) does not end
/// the unit.
///
/// The agent cannot do this for its child without `unsafe`, so for the few milliseconds until here a
/// Ctrl-C reaches both: the unit does not serve yet, and the agent is ending too.
fn detach() {
    if let Err(error) = rustix::process::setsid() {
        // Only a leader of a process group gets here: its group is its own already.
        tracing::debug!(%error, "the session could not be left");
    }
}

/// Takes the listening socket that the agent gave this process as its standard input, as inetd(8)
/// does, and puts `/dev/null` in its place: a draining unit must be able to let go of it.
///
/// Standard input is the one inherited descriptor that both sides can handle without `unsafe`.
///
/// # Errors
/// [`RunError::NoListener`] if standard input is something else.
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

/// Ends with the first SIGTERM. From the call on, SIGINT and SIGHUP have no effect: they are meant
/// for those who sit at a terminal.
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
