//! Accept loop of the ports of an agent.
//!
//! tonic monitors a connection (HTTP/2 keepalive) only after the client has sent the HTTP/2
//! connection preface, and waits for the preface without a timeout. So connections pass through
//! this loop first: a connection without a preface is dropped after a timeout, and the number of
//! half-open connections is limited. Connections that pass are yielded with the preface still to be
//! read. A port that serves HTTP/1 has the same limits; there, the first byte ends the handshake.

mod connection;
mod failures;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

pub use connection::Connection;
pub use failures::AcceptFailures;

use crate::metrics::dropped;

/// Connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Limits of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Timeout for the connection preface, or for the first byte of HTTP/1. Default 10 s.
    pub handshake: Duration,
    /// Maximum number of half-open connections: those without a preface. A further connection drops
    /// the oldest of them, because a healthy client sends its preface within milliseconds. Default
    /// 128.
    pub half_open: usize,
    /// Maximum number of connections, including half-open ones; further connections are dropped.
    /// Each needs a file descriptor, which the log needs, too. Default 1,024.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(10), half_open: 128, connections: 1_024 }
    }
}

/// Returns a stream of the connections of `listener` that have sent their preface. The stream never
/// ends; dropping it closes the half-open connections, and the listener unless it is shared.
pub fn incoming(
    listener: impl Into<Arc<TcpListener>>,
    limits: Limits,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let accept_loop = AcceptLoop::new(listener.into(), Handshake::Http2, limits);
    stream::unfold(accept_loop, |mut accept_loop| async {
        let connection = accept_loop.next().await;
        Some((Ok(connection), accept_loop))
    })
}

/// Returns a stream like [`incoming`], of connections that have sent their first byte, for a server
/// of HTTP/1.
pub fn incoming_http1(
    listener: impl Into<Arc<TcpListener>>,
    limits: Limits,
) -> impl Stream<Item = Connection> + Send {
    let accept_loop = AcceptLoop::new(listener.into(), Handshake::FirstByte, limits);
    stream::unfold(accept_loop, |mut accept_loop| async {
        let connection = accept_loop.next().await;
        Some((connection, accept_loop))
    })
}

/// What a connection sends before it is yielded.
#[derive(Debug, Clone, Copy)]
enum Handshake {
    /// The connection preface of HTTP/2.
    Http2,
    /// Anything.
    FirstByte,
}

struct AcceptLoop {
    listener: Arc<TcpListener>,
    handshake: Handshake,
    limits: Limits,
    permits: Arc<Semaphore>,
    handshakes: JoinSet<Option<Connection>>,
    /// Handles of the handshakes, the oldest first.
    oldest_first: VecDeque<AbortHandle>,
    failures: AcceptFailures,
}

impl AcceptLoop {
    fn new(listener: Arc<TcpListener>, handshake: Handshake, limits: Limits) -> Self {
        let address = listener.local_addr().map_or_else(|_| String::new(), |it| it.to_string());
        Self {
            listener,
            handshake,
            limits,
            permits: Arc::new(Semaphore::new(limits.connections)),
            handshakes: JoinSet::new(),
            oldest_first: VecDeque::new(),
            failures: AcceptFailures::new(address),
        }
    }

    /// Returns the next connection that has sent its preface.
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                Some(finished) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = finished {
                        return connection;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.start_handshake(stream),
                    Err(error) => self.failures.back_off(&error).await,
                },
            }
        }
    }

    fn start_handshake(&mut self, stream: TcpStream) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            dropped("full");
            return;
        };
        self.oldest_first.retain(|handshake| !handshake.is_finished());
        if self.oldest_first.len() >= self.limits.half_open
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
            dropped("crowded_out");
        }
        let limit = self.limits.handshake;
        let task = self.handshakes.spawn(complete(self.handshake, stream, permit, limit));
        self.oldest_first.push_back(task);
    }
}

async fn complete(
    handshake: Handshake,
    mut stream: TcpStream,
    permit: OwnedSemaphorePermit,
    limit: Duration,
) -> Option<Connection> {
    let (read, preface) = match handshake {
        Handshake::Http2 => (timeout(limit, read_preface(&mut stream)).await, &PREFACE[..]),
        Handshake::FirstByte => (timeout(limit, has_first_byte(&stream)).await, &[][..]),
    };
    match read {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            dropped("not_http2");
            return None;
        }
        // The client closed the connection.
        Ok(Err(_)) => return None,
        Err(_) => {
            dropped("silent");
            return None;
        }
    }
    stream.set_nodelay(true).ok()?;
    Some(Connection::new(stream, preface, permit))
}

/// Waits for the first byte, which remains to be read. Always returns true.
async fn has_first_byte(stream: &TcpStream) -> io::Result<bool> {
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(true),
    }
}

/// Returns true if the connection starts with the preface. Returns false at the first byte that
/// differs.
async fn read_preface(stream: &mut TcpStream) -> io::Result<bool> {
    let mut read = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let count = stream.read(&mut read[length..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += count;
        if read[..length] != PREFACE[..length] {
            return Ok(false);
        }
    }
    Ok(true)
}
