//! A listening socket that is handed over: to a unit in a container, which inherits no descriptor.
//!
//! The unit opens a Unix socket and waits. Its agent connects, and sends one byte with the listening
//! socket beside it (unix(7), SCM_RIGHTS). The descriptor stays one of the agent's network, whatever
//! network the container has. The unit does not hold its lock meanwhile: an agent that dies before it
//! has handed the socket over leaves a unit that its next life takes for dead.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use meridian_proto::hand_over;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// For the agent to come. It starts the unit to do just that.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits at `path` for the listening socket.
///
/// # Errors
/// If there cannot be a socket at `path`, or nobody hands one over within half a minute.
pub(crate) async fn listener(path: &Path) -> io::Result<TcpListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no agent handed one over in time");
    let listener = timeout(LIMIT, accept(&socket)).await.map_err(late)??;
    std::fs::remove_file(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn accept(socket: &UnixListener) -> io::Result<TcpListener> {
    loop {
        let (stream, _) = socket.accept().await?;
        match receive(&stream).await {
            Ok(Some(listener)) => return Ok(listener),
            Ok(None) => tracing::warn!("what was handed over is no listening TCP socket"),
            Err(error) => tracing::warn!(%error, "nothing was handed over"),
        }
    }
}

/// What comes beside the first byte of a connection, if it is a listening TCP socket.
async fn receive(stream: &UnixStream) -> io::Result<Option<TcpListener>> {
    let receive = || hand_over::receive(stream, &mut [0]);
    let (_, descriptor) = stream.async_io(Interest::READABLE, receive).await?;
    Ok(descriptor.filter(listens).map(TcpListener::from).filter(|it| it.local_addr().is_ok()))
}

fn listens(descriptor: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(descriptor).unwrap_or(false)
}
