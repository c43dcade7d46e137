//! Binding the listening socket of a service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use meridian_transport::PortHolder;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::time::{Instant, sleep};

use crate::driver::StartError;

/// Maximum number of connections that wait to be accepted. The system limits it further
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Maximum time to wait for an address in use: a unit closes its socket shortly after its drain
/// starts.
const IN_USE_LIMIT: Duration = Duration::from_millis(500);
/// Delay between two attempts to bind.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Checks that a program could listen on `address`, possibly together with others that share the
/// port.
pub(super) fn probe(address: SocketAddr) -> io::Result<()> {
    open(address, true).map(drop)
}

/// Binds `address` and listens. All units of the service accept from this one socket: with one
/// socket per unit (SO_REUSEPORT), the connections queued on a socket would be lost when it closes.
///
/// `overlapping` are the sockets of the same service at addresses that include this one, or are part
/// of it: its units move from there to here. The system permits both only if both sockets agree.
pub(super) fn bind(
    address: SocketAddr,
    overlapping: &[Arc<TcpListener>],
) -> io::Result<TcpListener> {
    let share = |is_shared| -> io::Result<()> {
        let mut others = overlapping.iter().map(|other| SockRef::from(&**other));
        others.try_for_each(|other| other.set_reuse_port(is_shared))
    };
    share(true)?;
    let socket = open(address, !overlapping.is_empty()).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        socket.set_reuse_port(false)?;
        Ok(socket.into())
    });
    // A process of the same user could join the port as long as both sockets permit it.
    share(false)?;
    socket
}

/// Repeats `bind` while the address is in use, for at most [`IN_USE_LIMIT`].
pub(super) async fn retry_in_use<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let limit = Instant::now() + IN_USE_LIMIT;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < limit => {
                sleep(RETRY_DELAY).await;
            }
            done => return done,
        }
    }
}

/// Describes why `address` cannot be listened on, with the process that holds it.
pub(super) async fn describe(address: SocketAddr, source: io::Error) -> StartError {
    if source.kind() != io::ErrorKind::AddrInUse {
        return StartError::Listen { address, source };
    }
    let holder = tokio::task::spawn_blocking(move || PortHolder::of(address)).await;
    StartError::PortHeld { address, holder: holder.ok().flatten() }
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT must not block the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
