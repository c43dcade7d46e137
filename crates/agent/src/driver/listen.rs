//! Binding the listening socket of a service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use meridian_transport::PortHolder;
use socket2::{Domain, Protocol, Socket, Type};
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
pub(super) async fn probe(address: SocketAddr) -> Result<(), StartError> {
    free(address, || open(address, true).map(drop)).await
}

/// Binds `address` and listens. All units of the service accept from this one socket: with one
/// socket per unit (SO_REUSEPORT), the connections queued on a socket would be lost when it closes.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    free(address, || {
        let socket = open(address, false)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    })
    .await
}

/// Retries `bind` while `address` is in use, for at most [`IN_USE_LIMIT`].
async fn free<T>(address: SocketAddr, bind: impl Fn() -> io::Result<T>) -> Result<T, StartError> {
    let limit = Instant::now() + IN_USE_LIMIT;
    loop {
        match bind() {
            Ok(bound) => return Ok(bound),
            Err(source) if source.kind() != io::ErrorKind::AddrInUse => {
                return Err(StartError::Listen { address, source });
            }
            Err(_) if Instant::now() < limit => sleep(RETRY_DELAY).await,
            Err(_) => break,
        }
    }
    let holder = tokio::task::spawn_blocking(move || PortHolder::of(address)).await;
    Err(StartError::PortHeld { address, holder: holder.ok().flatten() })
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT must not block the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
