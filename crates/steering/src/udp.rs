//! UDP: sockets, and the loop that serves one of them.
//!
//! Each address has a socket per core (`SO_REUSEPORT`: the kernel spreads clients over them), and
//! each socket a thread, which receives and sends up to [`batch::MESSAGES`] messages with one system
//! call each. A socket of an unspecified address receives the address that was asked with each
//! message (`IP_PKTINFO`), and responds from it.

mod batch;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::metrics::Transport;
use crate::responder::Responder;
use batch::{Inbox, Outbox};

/// Maximum number of sockets of an address. More threads would take processors from the units.
const MAX_SOCKETS: usize = 8;
/// Size of the buffers of a socket: some 10 ms of queries at the highest rate of a core. The system
/// may limit them further (`net.core.rmem_max`).
const SOCKET_BUFFER_BYTES: usize = 2 << 20;
/// Interval between two checks for shutdown while no query arrives.
const STOP_INTERVAL: Duration = Duration::from_millis(200);
/// Delay after an error of the socket other than a timeout, such as a lack of memory.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Opens the sockets of an address.
///
/// # Errors
/// If the address is in use, or does not belong to this machine.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    // Shared ports would let a second process of the same user take over half of the clients.
    drop(UdpSocket::bind(address)?);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (0..cores.min(MAX_SOCKETS)).map(|_| open(address)).collect()
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    // Best effort: the system limits both.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.bind(&address.into())?;
    socket.set_read_timeout(Some(STOP_INTERVAL))?;
    Ok(socket.into())
}

/// Serves a socket in a thread of its own until `stop` is cancelled. Cancels it if the thread ends
/// for another reason, which is a panic.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn serve(
    socket: UdpSocket,
    responder: Arc<Responder>,
    stop: CancellationToken,
) -> io::Result<thread::JoinHandle<()>> {
    let thread = thread::Builder::new().name("dns".to_owned());
    thread.spawn(move || {
        let _stop_others = stop.clone().drop_guard();
        run(&socket, &responder, &stop);
    })
}

fn run(socket: &UdpSocket, responder: &Responder, stop: &CancellationToken) {
    let local = socket.local_addr().unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into());
    let (mut inbox, mut outbox) = (Inbox::new(local), Outbox::new(local));
    let mut is_failing = false;
    while !stop.is_cancelled() {
        match inbox.receive(socket) {
            Ok(()) => is_failing = false,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%local, %error, "cannot receive DNS queries; retrying");
                }
                thread::sleep(RETRY_DELAY);
                continue;
            }
        }
        for (query, sender) in inbox.queries() {
            outbox.push(sender, socket, |out| respond(responder, query, sender.address, out));
        }
        outbox.flush(socket);
        let unsent = outbox.take_unsent();
        if unsent > 0 {
            responder.metrics.unsent.increment(unsent);
        }
    }
}

/// Appends the response to a datagram to `out`. Returns false if there is none.
pub(crate) fn respond(
    responder: &Responder,
    datagram: &[u8],
    sender: SocketAddr,
    out: &mut Vec<u8>,
) -> bool {
    // A response to port 0 reaches nobody.
    sender.port() != 0
        && responder.respond(datagram, sender.ip().to_canonical(), Transport::Udp, out)
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
