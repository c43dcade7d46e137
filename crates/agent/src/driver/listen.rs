//! Binding the listening socket of a service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{Instant, sleep};

use super::Holder;
use crate::driver::StartError;

/// Connections that wait for a unit to accept them. The system caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// A unit lets go of its socket a moment after it was told to drain.
const IN_USE_LIMIT: Duration = Duration::from_millis(500);
const IN_USE_PAUSE: Duration = Duration::from_millis(10);

/// Binds `address` and listens. All units of the service accept from this one socket: with a socket
/// for each (SO_REUSEPORT), those that wait at one that closes would be lost.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let limit = Instant::now() + IN_USE_LIMIT;
    loop {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(source) if source.kind() != io::ErrorKind::AddrInUse => {
                return Err(StartError::Listen { address, source });
            }
            Err(_) if Instant::now() < limit => sleep(IN_USE_PAUSE).await,
            Err(_) => break,
        }
    }
    let holder = tokio::task::spawn_blocking(move || Holder::of(address)).await;
    Err(StartError::PortHeld { address, holder: holder.ok().flatten() })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier life that still fade away must not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
