//! Receiving the listening socket over a Unix socket: for a unit in a container, which inherits no
//! descriptor.
//!
//! The unit opens a Unix socket and waits. Its agent connects and sends one byte with the listening
//! socket attached (unix(7), SCM_RIGHTS). The socket stays in the agent's network namespace,
//! whatever network the container has. The unit does not hold its lock while it waits, so if the
//! agent dies before it sends the socket, its next process run considers the unit dead.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use meridian_proto::fd_passing;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Time for the agent to connect, which it does right after it started the unit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits at `path` for the listening socket.
///
/// # Errors
/// If no socket can be bound at `path`, or no listening socket arrives within half a minute.
pub(crate) async fn receive_listener(path: &Path) -> io::Result<TcpListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    let timed_out =
        |_| io::Error::new(io::ErrorKind::TimedOut, "timed out waiting for the agent to send one");
    let listener = timeout(TIMEOUT, accept(&socket)).await.map_err(timed_out)??;
    std::fs::remove_file(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn accept(socket: &UnixListener) -> io::Result<TcpListener> {
    loop {
        let (stream, _) = socket.accept().await?;
        match receive(&stream).await {
            Ok(Some(listener)) => return Ok(listener),
            Ok(None) => tracing::warn!("ignoring a descriptor that is not a listening TCP socket"),
            Err(error) => tracing::warn!(%error, "failed to receive a descriptor"),
        }
    }
}

/// Receives the descriptor that is attached to the first byte of a connection. Returns `None`
/// unless it is a listening TCP socket.
async fn receive(stream: &UnixStream) -> io::Result<Option<TcpListener>> {
    let receive = || fd_passing::receive(stream, &mut [0]);
    let (_, descriptor) = stream.async_io(Interest::READABLE, receive).await?;
    Ok(descriptor
        .filter(is_listening)
        .map(TcpListener::from)
        .filter(|listener| listener.local_addr().is_ok()))
}

fn is_listening(descriptor: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(descriptor).unwrap_or(false)
}
