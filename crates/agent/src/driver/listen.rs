//! Binding the listening socket of a service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use meridian_transport::PortHolder;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{Instant, sleep};

use crate::driver::StartError;

/// Connections that wait for a unit to accept them. The system caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// A unit lets go of its socket a moment after it was told to drain.
const IN_USE_LIMIT: Duration = Duration::from_millis(500);
const IN_USE_PAUSE: Duration = Duration::from_millis(10);

/// Whether a program could open `address` for itself, also beside others that share the port.
pub(super) async fn probe(address: SocketAddr) -> Result<(), StartError> {
    free(address, || open(address, true).map(drop)).await
}

/// Binds `address` and listens. All units of the service accept from this one socket: with a socket
/// for each (SO_REUSEPORT), those that wait at one that closes would be lost.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    free(address, || {
        let socket = open(address, false)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    })
    .await
}

/// Tries `bind` until `address` is free, for a moment.
async fn free<T>(address: SocketAddr, bind: impl Fn() -> io::Result<T>) -> Result<T, StartError> {
    let limit = Instant::now() + IN_USE_LIMIT;
    loop {
        match bind() {
            Ok(bound) => return Ok(bound),
            Err(source) if source.kind() != io::ErrorKind::AddrInUse => {
                return Err(StartError::Listen { address, source });
            }
            Err(_) if Instant::now() < limit => sleep(IN_USE_PAUSE).await,
            Err(_) => break,
        }
    }
    let holder = tokio::task::spawn_blocking(move || PortHolder::of(address)).await;
    Err(StartError::PortHeld { address, holder: holder.ok().flatten() })
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier life that still fade away must not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
